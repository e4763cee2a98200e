/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * read_compressed.c - a piece of a compressed extent: all of the extent is read and verified, then
 * decompressed, straight to the reader if he wants all of it.
 */
#include "core/file/file_extent.h"
#include "core/file/file_read.h"
#include "core/file/plain_cache.h"
#include "core/fs.h"
#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/codec/compress.h"

static int bad_extent(const struct extent_read *rd, const char *what)
{
	const struct file_mapping *m = rd->m;
	const char *name = compress_name(m->compression);

	log_fault("root %llu inode %llu: %s extent at %llu (%llu bytes for %llu): %s",
		  (unsigned long long)rd->inode->root->id, (unsigned long long)rd->inode->ino,
		  name ? name : "unknown", (unsigned long long)m->disk_bytenr,
		  (unsigned long long)m->disk_bytes, (unsigned long long)m->ram_bytes, what);
	return -EIO;
}

/* Items are checked when their node is read, each number for itself; these belong together. */
static int check_sizes(const struct extent_read *rd)
{
	const struct file_mapping *m = rd->m;

	if (m->disk_bytes > COMPRESS_MAX || m->ram_bytes > COMPRESS_MAX)
		return bad_extent(rd, "larger than the format allows");
	if (m->len > m->ram_bytes || m->extent_off > m->ram_bytes - m->len)
		return bad_extent(rd, "reaches behind its own end");
	return 0;
}

/* All of the extent's content to @plain. */
static int unpack(struct extent_read *rd, u8 *plain)
{
	const struct file_mapping *m = rd->m;
	_cleanup_buffer_ u8 *packed = buffer_get(m->disk_bytes);
	int r;

	if (!packed)
		return -ENOMEM;
	r = extent_read_bytes(rd, m->disk_bytenr, m->disk_bytes, packed);
	if (r < 0)
		return r;
	r = decompress_data(m->compression, rd->inode->fs->sectorsize, packed, (u32)m->disk_bytes,
			    plain, (u32)m->ram_bytes);
	if (r != -EIO)
		return r;
	return extent_still_mapped(rd) ? bad_extent(rd, "does not decompress") : -EAGAIN;
}

int extent_read_compressed(struct extent_read *rd, u64 start, u64 end, u8 *buf)
{
	const struct file_mapping *m = rd->m;
	u64 from = m->extent_off + (start - m->off), len = end - start;
	_cleanup_buffer_ u8 *plain = NULL;
	int r = check_sizes(rd);

	if (r < 0)
		return r;
	if (len == m->ram_bytes)
		return unpack(rd, buf);
	if (plain_cache_get(rd->inode->fs, m, from, len, buf))
		return 0;
	plain = buffer_get(m->ram_bytes);
	if (!plain)
		return -ENOMEM;
	r = unpack(rd, plain);
	if (r < 0)
		return r;
	memcpy(buf, plain + from, len);
	plain_cache_put(rd->inode->fs, m, TAKE(plain));
	return 0;
}
