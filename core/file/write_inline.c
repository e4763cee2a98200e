/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * write_inline.c - a small file's content into its tree: as it is, or compressed if that is wanted.
 * The limits are the kernel's: at most a sector of content, 2 KiB of it stored, the whole file.
 */
#include "core/file/file_extent.h"
#include "core/file/promise.h"
#include "core/file/write_run.h"
#include "core/fs.h"
#include "core/inode/compression.h"
#include "core/space/reservation.h"
#include "core/trans/transaction.h"
#include "disk/base/buffer.h"
#include "disk/codec/compress.h"

#define INLINE_MAX 2048
#define INLINE_ITEMS 3
/* Leaf header, item header and the inline extent's own, of the room that a leaf has. */
#define INLINE_OVERHEAD (101 + 25 + 21)

/* What is to be stored; @len 0: nothing. */
struct stored {
	const void *data;
	u32 len;
	u8 compression;
};

/* May what the file maps now be replaced by one inline extent? Only its first sector may be
 * mapped, and not to preallocated space. */
static int fits_mapping(struct inode *inode)
{
	struct file_mapping m[3];
	int n = file_extent_lookup_range(inode->root, inode->ino, 0, UINT64_MAX, m, 3);

	if (n < 0)
		return n;
	if (m[0].type == MAPPING_PREALLOC)
		return 0;
	if (n == 1)
		return m[0].implied || mapping_end(&m[0]) <= inode->fs->sectorsize;
	return n == 2 && mapping_end(&m[0]) <= inode->fs->sectorsize && m[1].implied;
}

/* Is the dirty run the whole file, and small enough? */
static bool is_whole_file(const struct write_run *run, u64 size)
{
	u32 ss = run->inode->fs->sectorsize;

	return run->start == 0 && run->end == ss && size && size <= ss &&
	       !file_wants_no_inline(run->inode);
}

static u32 stored_max(const struct fs *fs)
{
	return MIN((u32)INLINE_MAX, fs->nodesize - INLINE_OVERHEAD);
}

/* Bytes in @buf; 0: not to be compressed. */
static int pack(struct write_run *run, u32 size, u8 *buf, u8 *type)
{
	struct fs *fs = run->inode->fs;
	const void *data = run->iov[0].iov_base;
	struct compression_choice c;
	int n;

	if (file_maybe_in_place(run->inode) || !compression_choose(run->inode, &c))
		return 0;
	if (!c.force && !compress_promising(data, size))
		return 0;
	n = compress_data(c.type, c.level, fs->sectorsize, data, size, buf,
			  MIN(stored_max(fs), size - 1));
	if (n == 0 && !c.forgive)
		compression_give_up(run->inode);
	*type = c.type;
	return MAX(n, 0);
}

static struct stored choose(struct write_run *run, u32 size, u8 *buf)
{
	struct fs *fs = run->inode->fs;
	u8 type = COMPRESS_NONE;
	int n = pack(run, size, buf, &type);

	if (n)
		return (struct stored){buf, (u32)n, type};
	if (size > stored_max(fs) || size >= fs->sectorsize)
		return (struct stored){};
	return (struct stored){run->iov[0].iov_base, size, COMPRESS_NONE};
}

static int store(struct write_run *run, u32 size, const struct stored *s)
{
	_cleanup_trans_ struct trans trans = {};
	u64 end;
	int r;

	if (s->compression)
		compression_announce(run->inode->fs, s->compression);
	r = write_run_join(run, INLINE_ITEMS, &trans);
	if (r < 0)
		return r;
	r = file_extent_drop(&trans, run->inode, 0, run->end, 2, &end);
	if (r == 0)
		r = file_extent_insert_inline(&trans, run->inode, s->data, s->len, s->compression,
					      size);
	if (r < 0)
		return r;
	r = write_run_arrived(run, &trans, run->start, run->end);
	if (r < 0)
		trans_abort(&trans, r, "updating a written inode");
	return r;
}

int write_inline(struct write_run *run, u64 size)
{
	u8 buf[INLINE_MAX];
	struct stored s;
	int r = is_whole_file(run, size) ? fits_mapping(run->inode) : 0;

	if (r <= 0)
		return r;
	s = choose(run, (u32)size, buf);
	if (!s.len)
		return 0;
	r = store(run, (u32)size, &s);
	if (r < 0)
		return r;
	run->pos = run->end;
	data_unpromise(run->inode, run->promised);
	run->promised = 0;
	return 1;
}
