/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * read.c - reading a file: dirty sectors from memory, the rest through the mapping.
 *
 * A read holds the range shared and, from mapping lookup to the bytes in its buffer, an epoch: the
 * space it looks at is not reused meanwhile. Relocation may move an extent at any moment, so a
 * missing or wrong checksum first means to look the mapping up again; only if it still says the
 * same is the data bad, and repaired from another copy if there is one. Several compressed extents
 * in one read are read and decompressed side by side.
 */
#include "core/extent/csum_tree.h"
#include "core/file/file.h"
#include "core/file/file_extent.h"
#include "core/file/file_read.h"
#include "core/fs.h"
#include "core/trans/epoch.h"
#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/base/work_pool.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume.h"

#define READ_MAPPINGS 16
#define READ_PIECE MIB(1)
#define READ_SECTORS (READ_PIECE / 4096)
#define LOOKUPS_MAX 100

/* For repair, too. */
bool extent_still_mapped(void *ctx)
{
	const struct extent_read *rd = ctx;
	struct file_mapping now;
	int r = file_extent_lookup(rd->inode->root, rd->inode->ino, rd->m->off, &now);

	return r == 0 && file_mapping_same(&now, rd->m);
}

static int missing_csum(const struct inode *inode, u64 logical)
{
	log_fault("root %llu inode %llu: data at %llu has no checksum",
		  (unsigned long long)inode->root->id, (unsigned long long)inode->ino,
		  (unsigned long long)logical);
	return -EIO;
}

/* One piece of at most READ_PIECE bytes. -EAGAIN: the mapping has changed. */
static int read_piece(struct extent_read *rd, u64 logical, u64 len, u8 *buf)
{
	struct fs *fs = rd->inode->fs;
	u8 csums[READ_SECTORS * CSUM_SIZE_MAX];
	bool present[READ_SECTORS];
	u64 sectors = len / fs->sectorsize;
	int have, r;

	if (file_nodatasum(rd->inode) || fs->opt.rescue & RESCUE_DATA_CSUMS)
		return volume_read_data(fs->vol, logical, len, NULL, NULL, buf, extent_still_mapped, rd);
	memset(present, 0, sectors);
	have = csum_lookup(fs, logical, len, csums, present);
	if (have < 0)
		return have;
	if ((u64)have < sectors)
		return extent_still_mapped(rd) ? missing_csum(rd->inode, logical) : -EAGAIN;
	r = volume_read_data_quiet(fs->vol, logical, len, csums, present, buf);
	if (r != -EIO)
		return r;
	if (!extent_still_mapped(rd))
		return -EAGAIN;
	return volume_read_data(fs->vol, logical, len, csums, present, buf, extent_still_mapped, rd);
}

int extent_read_bytes(struct extent_read *rd, u64 logical, u64 len, u8 *buf)
{
	SP("rd.io", .ino = rd->inode->ino, .off = rd->m->off, .len = len, .bytenr = logical,
	   .root = rd->inode->root->id);
	for (u64 done = 0; done < len; done += READ_PIECE) {
		int r = read_piece(rd, logical + done, MIN(READ_PIECE, len - done), buf + done);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_extent(struct inode *inode, const struct file_mapping *m, u64 start, u64 end,
		       u8 *buf)
{
	struct extent_read rd = {.inode = inode, .m = m};

	if (m->compression)
		return extent_read_compressed(&rd, start, end, buf);
	return extent_read_bytes(&rd, mapping_logical(m) + (start - m->off), end - start, buf);
}

static int unreadable(const struct inode *inode, const struct file_mapping *m)
{
	static _Atomic bool told;

	if (!atomic_exchange(&told, true))
		log_fault("root %llu inode %llu: encoded extents are not supported",
			  (unsigned long long)inode->root->id, (unsigned long long)inode->ino);
	return -EOPNOTSUPP;
}

static int read_mapping(struct inode *inode, const struct file_mapping *m, u64 start, u64 end,
			u8 *buf)
{
	int r;

	if (m->other_encoding)
		return unreadable(inode, m);
	if (m->type == MAPPING_REG)
		return read_extent(inode, m, start, end, buf);
	memset(buf, 0, end - start);
	if (m->type != MAPPING_INLINE)
		return 0;
	if (start)
		return -EUCLEAN; /* inline beyond the first sector: the checkers refuse that */
	r = file_extent_read_inline(inode->root, inode->ino, buf, (u32)(end - start));
	return MIN(r, 0);
}

/* A mapping and the part of it that is wanted. */
struct read_task {
	struct inode *inode;
	const struct file_mapping *m;
	u64 start, end;
	u8 *buf;
	int r;
};

static void read_task_run(void *item)
{
	struct read_task *t = item;

	t->r = read_mapping(t->inode, t->m, t->start, t->end, t->buf);
}

/* More than one is worth other cores: decompressing is. */
static bool worth_spreading(const struct file_mapping *m, int n)
{
	int compressed = 0;

	for (int i = 0; i < n; i++)
		compressed += m[i].type == MAPPING_REG && m[i].compression;
	return compressed > 1;
}

static int read_tasks(struct fs *fs, struct read_task *t, int n, bool spread)
{
	int r = 0;

	if (spread)
		work_pool_run(fs->workers, read_task_run, t, sizeof(*t), (size_t)n);
	for (int i = 0; r == 0 && i < n; i++) {
		if (!spread)
			read_task_run(&t[i]);
		r = t[i].r;
	}
	return r;
}

/* One lookup's worth of [start, end): how far it got, or <0. */
static s64 read_some(struct inode *inode, u64 start, u64 end, u8 *buf)
{
	struct file_mapping m[READ_MAPPINGS];
	struct read_task task[READ_MAPPINGS];
	u64 pos = start;
	int n, tasks = 0, r;
	EPOCH_SCOPE(inode->fs);

	n = file_extent_lookup_range(inode->root, inode->ino, start, end, m, READ_MAPPINGS);
	if (n < 0)
		return n;
	SP("rd.lookup", .ino = inode->ino, .off = start, .len = end - start,
	   .root = inode->root->id, .bytenr = m[0].disk_bytenr);
	for (int i = 0; i < n && pos < end; i++) {
		u64 to = MIN(end, mapping_end(&m[i]));

		task[tasks++] = (struct read_task){inode, &m[i], pos, to, buf + (pos - start), 0};
		pos = to;
	}
	r = read_tasks(inode->fs, task, tasks, worth_spreading(m, n));
	return r < 0 ? r : (s64)(pos - start);
}

int file_read_mapped(struct inode *inode, u64 start, u64 end, u8 *buf)
{
	int lookups = 0;

	while (start < end) {
		s64 n = read_some(inode, start, end, buf);

		if (n == -EAGAIN && lookups++ < LOOKUPS_MAX)
			continue;
		if (n < 0)
			return n == -EAGAIN ? -EIO : (int)n;
		start += (u64)n;
		buf += n;
	}
	return 0;
}


/* Is @pos dirty, and up to where is that the same? Copies dirty bytes out at once. */
static bool take_dirty(struct file_state *st, u64 pos, u64 end, u8 *buf, u64 *ret_end)
{
	u64 start = end, stop = end;
	bool dirty;

	mutex_lock(&st->lock);
	dirty = dirty_map_next(&st->map, pos, end, &start, &stop) && start == pos;
	if (dirty) {
		u64 len;
		const u8 *from = dirty_map_at(&st->map, pos, &len);

		stop = MIN(stop, pos + len);
		memcpy(buf, from, stop - pos);
	}
	mutex_unlock(&st->lock);
	*ret_end = dirty ? stop : MIN(start, end);
	return dirty;
}

/* Whole sectors of [start, end). */
static int read_sectors(struct inode *inode, struct file_state *st, u64 start, u64 end, u8 *buf)
{
	while (start < end) {
		u64 stop;

		if (!take_dirty(st, start, end, buf, &stop)) {
			int r = file_read_mapped(inode, start, stop, buf);

			if (r < 0)
				return r;
		}
		buf += stop - start;
		start = stop;
	}
	return 0;
}

/* Through a buffer of our own: for ends that are not sector aligned and unaligned memory. */
static int read_bounced(struct inode *inode, struct file_state *st, u64 off, u64 len, u8 *buf)
{
	u32 ss = inode->fs->sectorsize;

	while (len) {
		u64 start = ALIGN_DOWN(off, (u64)ss), end = ALIGN_UP(off + len, (u64)ss);
		_cleanup_buffer_ u8 *tmp = NULL;
		u64 n;
		int r;

		end = MIN(end, start + KIB(128));
		tmp = buffer_get(end - start);
		if (!tmp)
			return -ENOMEM;
		r = read_sectors(inode, st, start, end, tmp);
		if (r < 0)
			return r;
		n = MIN(len, end - off);
		memcpy(buf, tmp + (off - start), n);
		buf += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* [off, off + len) lies inside the file; @room bytes may be written to @buf. */
static int read_range(struct inode *inode, struct file_state *st, u64 off, u64 len, u64 room,
		      u8 *buf)
{
	u64 ss = inode->fs->sectorsize, direct;
	int r;

	if (!IS_ALIGNED(off, ss) || !IS_ALIGNED((uintptr_t)buf, BUFFER_ALIGN))
		return read_bounced(inode, st, off, len, buf);
	direct = ALIGN_UP(len, ss);
	if (direct > room)
		direct = ALIGN_DOWN(len, ss);
	r = read_sectors(inode, st, off, off + direct, buf);
	if (r < 0 || direct >= len)
		return r;
	return read_bounced(inode, st, off + direct, len - direct, buf + direct);
}

/* Names the file, once: whoever rescues wants to know which ones are not whole. */
static void tell_fault(const struct inode *inode, struct file_state *st, u64 off, u32 len, int err)
{
	if (atomic_exchange(&st->fault_told, true))
		return;
	log_fault("root %llu inode %llu: cannot be read whole: %s at %llu + %u",
		  (unsigned long long)inode->root->id, (unsigned long long)inode->ino,
		  strerror(-err), (unsigned long long)off, len);
}

int file_read(struct inode *inode, u64 off, u32 len, void *buf, u32 flags)
{
	struct file_state *st = file_state_get(inode);
	_cleanup_range_ struct range_lock range = {};
	u64 ss = inode->fs->sectorsize, size;
	int r;

	if (!st)
		return -ENOMEM;
	size = inode_size(inode);
	if (off >= size || !len)
		return 0;
	range_lock(&st->ranges, &range, ALIGN_DOWN(off, ss), ALIGN_UP(off + len, ss), false);
	size = inode_size(inode);
	if (off >= size)
		return 0;
	r = read_range(inode, st, off, MIN(len, size - off), len, buf);
	if (r == -EIO || r == -EUCLEAN)
		tell_fault(inode, st, off, len, r);
	return r < 0 ? r : (int)MIN(len, size - off);
}
