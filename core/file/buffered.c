/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * buffered.c - content into the dirty map.
 *
 * Every dirty sector has a promise of data space, taken before it becomes dirty, so write-back
 * cannot run out. A sector that is written in part is read first; what lies behind the file's end
 * in it is zero. When no space can be promised, what can be overwritten in place is written
 * through at once instead.
 * Locks: the caller holds the range exclusively, so that the bytes of the sectors are ours while
 * they are filled in, outside the mutex.
 */
#include "core/file/file_extent.h"
#include "core/file/promise.h"
#include "core/file/write_run.h"
#include "core/fs.h"
#include "core/space/reservation.h"
#include "disk/base/buffer.h"

struct edges {
	u8 *head, *tail; /* contents of a first or last sector that is written in part, or NULL */
};

static void edges_free(struct edges *e)
{
	buffer_put(e->head);
	buffer_put(e->tail);
}

/* The sector at @at as readers see it: zero behind @size. */
static int read_sector(struct inode *inode, u64 at, u64 size, u8 **ret)
{
	u64 ss = inode->fs->sectorsize;
	_cleanup_buffer_ u8 *buf = buffer_get(ss);
	int r = 0;

	if (!buf)
		return -ENOMEM;
	if (at < size)
		r = file_read_mapped(inode, at, at + ss, buf);
	if (r < 0)
		return r;
	if (at + ss > size) {
		u64 keep = size > at ? size - at : 0;

		memset(buf + keep, 0, ss - keep);
	}
	*ret = TAKE(buf);
	return 0;
}

static int edges_read(struct inode *inode, struct file_state *st, u64 off, u64 end, u64 size,
		      struct edges *e)
{
	u64 ss = inode->fs->sectorsize;
	u64 first = ALIGN_DOWN(off, ss), last = ALIGN_DOWN(end, ss);
	bool tail = end != last && last + ss > first;
	int r = 0;

	if (off != first && !file_state_dirty_bytes(st, first, first + ss))
		r = read_sector(inode, first, size, &e->head);
	if (r < 0 || !tail || (last == first && off != first))
		return r;
	if (!file_state_dirty_bytes(st, last, last + ss))
		r = read_sector(inode, last, size, &e->tail);
	return r;
}

/* Copies into dirty memory. @from NULL: zeroes. */
static void fill(struct file_state *st, u64 off, const u8 *from, u64 len)
{
	while (len) {
		u64 room;
		u8 *to;

		mutex_lock(&st->lock);
		to = dirty_map_at(&st->map, off, &room);
		mutex_unlock(&st->lock);
		room = MIN(room, len);
		if (from)
			memcpy(to, from, room);
		else
			memset(to, 0, room);
		off += room;
		len -= room;
		from = from ? from + room : NULL;
	}
}

/* Promises space for the sectors of [start, end) that are not dirty yet and makes them so. */
static int make_dirty(struct inode *inode, struct file_state *st, u64 start, u64 end)
{
	u64 bytes = end - start - file_state_dirty_bytes(st, start, end);
	int r = 0;

	if (bytes)
		r = data_promise(inode, bytes);
	if (r < 0)
		return r;
	r = file_state_dirty(st, start, end);
	if (r < 0)
		data_unpromise(inode, bytes);
	return r;
}

static void overlay(u8 *sectors, u64 start, u64 end, const struct edges *e, u64 ss, u64 off,
		    const u8 *buf, u64 len)
{
	if (e->head)
		memcpy(sectors, e->head, ss);
	if (e->tail)
		memcpy(sectors + (end - start - ss), e->tail, ss);
	if (buf)
		memcpy(sectors + (off - start), buf, len);
	else
		memset(sectors + (off - start), 0, len);
}

/* No space to promise: straight to the device where that needs none. */
static int write_through(struct inode *inode, struct file_state *st, u64 off, const u8 *buf,
			 u64 len, const struct edges *e)
{
	u64 ss = inode->fs->sectorsize;
	u64 start = ALIGN_DOWN(off, ss), end = ALIGN_UP(off + len, ss);
	_cleanup_buffer_ u8 *sectors = NULL;
	struct iovec iov;
	struct write_run run = {.inode = inode, .st = st, .start = start, .end = end,
				.new_size = buf ? off + len : 0, .promise_later = true,
				.iov = &iov, .iov_count = 1};

	if (!file_maybe_in_place(inode) || file_state_dirty_bytes(st, start, end))
		return -ENOSPC;
	sectors = buffer_get(end - start);
	if (!sectors)
		return -ENOMEM;
	overlay(sectors, start, end, e, ss, off, buf, len);
	iov = (struct iovec){sectors, end - start};
	return write_run(&run);
}

static int write_buffered(struct inode *inode, struct file_state *st, u64 off, const u8 *buf,
			  u64 len, const struct edges *e)
{
	u64 ss = inode->fs->sectorsize;
	u64 start = ALIGN_DOWN(off, ss), end = ALIGN_UP(off + len, ss);
	int r = make_dirty(inode, st, start, end);

	if (r == -ENOSPC || r == -EDQUOT) {
		int through = write_through(inode, st, off, buf, len, e);

		return through == -ENOSPC ? r : through;
	}
	if (r < 0)
		return r;
	if (e->head)
		fill(st, start, e->head, ss);
	if (e->tail)
		fill(st, end - ss, e->tail, ss);
	fill(st, off, buf, len);
	return 0;
}

int file_write_buffered(struct inode *inode, struct file_state *st, u64 off, const u8 *buf,
			u64 len, u64 old_size)
{
	_cleanup_(edges_free) struct edges e = {};
	int r = edges_read(inode, st, off, off + len, old_size, &e);

	return r < 0 ? r : write_buffered(inode, st, off, buf, len, &e);
}

int file_zero_partial(struct inode *inode, struct file_state *st, u64 off, u64 len, u64 size)
{
	u64 sector = ALIGN_DOWN(off, (u64)inode->fs->sectorsize);
	struct file_mapping m;
	int r;

	if (!file_state_dirty_bytes(st, sector, sector + inode->fs->sectorsize)) {
		r = file_extent_lookup(inode->root, inode->ino, off, &m);
		if (r < 0 || m.type == MAPPING_HOLE)
			return r;
	}
	return file_write_buffered(inode, st, off, NULL, len, size);
}
