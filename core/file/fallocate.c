/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fallocate.c - preallocating space and punching holes.
 *
 * Both write back what is dirty first and then work on the mapping with the range held
 * exclusively. Preallocation promises all the space before it takes any; it fills holes only.
 * Punching zeroes the partial sectors at its ends as content and drops the rest, some items in
 * each transaction: every state in between is a file with a smaller hole. Zeroing a range is both,
 * with all the space promised before the first byte goes.
 */
#include <linux/falloc.h>

#include "core/extent/extent_alloc.h"
#include "core/file/file.h"
#include "core/file/file_extent.h"
#include "core/file/file_state.h"
#include "core/file/promise.h"
#include "core/fs.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "disk/base/sync_point.h"

#define EXTENT_MAX MIB(128)
#define BATCH 8
#define PUNCH_ITEMS (2 * BATCH + 2)
#define PREALLOC_ITEMS (2 * BATCH + 4)

static bool is_hole(const struct file_mapping *m)
{
	return m->type == MAPPING_HOLE;
}

/* Bytes of holes in [start, end). */
static s64 hole_bytes(struct inode *inode, u64 start, u64 end)
{
	u64 sum = 0;

	while (start < end) {
		struct file_mapping m;
		int r = file_extent_lookup(inode->root, inode->ino, start, &m);
		u64 to;

		if (r < 0)
			return r;
		to = MIN(end, mapping_end(&m));
		sum += is_hole(&m) ? to - start : 0;
		start = to;
	}
	return (s64)sum;
}

/* Tells the kernel to look for preallocated extents before it copies. */
static int set_prealloc_flag(struct inode *inode, struct trans *trans)
{
	int r = inode_change_begin(inode, trans);

	if (r < 0)
		return r;
	inode->a.flags |= BTRFS_INODE_PREALLOC;
	inode_change_end(inode, trans);
	return 0;
}

/* Explicit hole items under [start, end) go; there is nothing else. */
static int drop_holes(struct trans *trans, struct inode *inode, u64 start, u64 end)
{
	u64 done;
	int r;

	if (fs_has_incompat(inode->fs, BTRFS_FEATURE_INCOMPAT_NO_HOLES))
		return 0;
	r = file_extent_drop(trans, inode, start, end, BATCH, &done);
	return r < 0 ? r : done == end ? 0 : -EAGAIN;
}

static int prealloc_joined(struct trans *trans, struct inode *inode, u64 start,
			   const struct data_alloc *at)
{
	struct file_mapping m = {
		.type = MAPPING_PREALLOC, .off = start, .len = at->len,
		.disk_bytenr = at->logical, .disk_bytes = at->len, .ram_bytes = at->len,
		.generation = trans->transid,
	};
	int r = drop_holes(trans, inode, start, start + at->len);

	if (r == 0)
		r = data_extent_new(trans, at->logical, at->len, inode->root->id, inode->ino,
				    start);
	if (r == 0)
		r = file_extent_insert(trans, inode, &m);
	if (r == 0)
		r = set_prealloc_flag(inode, trans);
	if (r < 0)
		trans_abort(trans, r, "preallocating");
	return r;
}

/* One extent of at most @len bytes, promised before, into the hole at @start: its length. */
static s64 prealloc_extent(struct inode *inode, u64 start, u64 len, u64 *promised)
{
	_cleanup_trans_ struct trans trans = {};
	struct fs *fs = inode->fs;
	struct data_alloc at;
	int r = space_alloc_data(fs, MIN(len, EXTENT_MAX), fs->sectorsize, &at);

	if (r < 0)
		return r;
	*promised -= at.len;
	r = trans_join(fs, PREALLOC_ITEMS, &trans);
	if (r < 0) {
		data_alloc_undo(inode, at.logical, at.len);
		block_group_reservation_put(at.bg);
		return r;
	}
	r = prealloc_joined(&trans, inode, start, &at);
	file_state_touch_meta(atomic_load(&inode->file), &trans);
	block_group_reservation_put(at.bg);
	return r < 0 ? r : (s64)at.len;
}

/* All holes of [start, end). *promised goes down with each extent. */
static int prealloc_holes(struct inode *inode, u64 start, u64 end, u64 *promised)
{
	while (start < end) {
		struct file_mapping m;
		int r = file_extent_lookup(inode->root, inode->ino, start, &m);
		u64 to;
		s64 n;

		if (r < 0)
			return r;
		to = MIN(end, mapping_end(&m));
		if (!is_hole(&m)) {
			start = to;
			continue;
		}
		n = prealloc_extent(inode, start, to - start, promised);
		if (n < 0)
			return (int)n;
		start += (u64)n;
	}
	return 0;
}

static int prealloc_range(struct inode *inode, u64 start, u64 end)
{
	s64 need = hole_bytes(inode, start, end);
	u64 promised;
	int r;

	if (need <= 0)
		return MIN(need, 0);
	r = data_promise(inode, (u64)need);
	if (r < 0)
		return r;
	promised = (u64)need;
	r = prealloc_holes(inode, start, end, &promised);
	data_unpromise(inode, promised);
	return r;
}

static int allocate(struct inode *inode, struct file_state *st, u64 off, u64 len, bool keep_size)
{
	u64 ss = inode->fs->sectorsize, size = inode_size(inode), end = off + len;
	int r = 0;

	if (end > size) /* even if the size is kept, as in the kernel */
		r = keep_size ? file_zero_end(inode, st, size) : file_expand(inode, st, size, end);
	if (r == 0)
		r = prealloc_range(inode, ALIGN_DOWN(off, ss), ALIGN_UP(end, ss));
	return r < 0 ? r : file_written(inode, keep_size ? 0 : end);
}

/* Drops whole sectors, dirty ones and extents. */
static int punch_sectors(struct inode *inode, struct file_state *st, u64 start, u64 end)
{
	u64 dirty = file_state_dirty_bytes(st, start, end), from = start;

	SP("pu.drop", .ino = inode->ino, .root = inode->root->id, .off = start, .len = end - start);
	file_state_clean(st, start, end);
	data_unpromise(inode, dirty);
	while (start < end) {
		_cleanup_trans_ struct trans trans = {};
		int r = trans_join_release(inode->fs, PUNCH_ITEMS, &trans);

		if (r < 0)
			return r;
		r = file_extent_drop(&trans, inode, start, end, BATCH, &start);
		if (r < 0)
			return r;
		file_state_touch_meta(st, &trans);
	}
	end = MIN(end, ALIGN_UP(inode_size(inode), (u64)inode->fs->sectorsize));
	return from < end ? file_add_holes(inode, from, end) : 0;
}

/* Zeroes [off, end) of one block. What is only preallocated stays so if @zeroing. */
static int zero_in_block(struct inode *inode, struct file_state *st, u64 off, u64 end, u64 size,
			 bool zeroing)
{
	u64 ss = inode->fs->sectorsize, block = ALIGN_DOWN(off, ss);
	struct file_mapping m;
	int r = file_extent_lookup(inode->root, inode->ino, off, &m);

	if (r < 0 || (zeroing && m.type == MAPPING_PREALLOC &&
		      !file_state_dirty_bytes(st, block, block + ss)))
		return r;
	return file_zero_partial(inode, st, off, end - off, size);
}

/* Everything in memory of the range has been flushed, the zeros aside that a growing file got behind
 * its old end. @zeroing: for zero_range(), which fills the holes. */
static int punch(struct inode *inode, struct file_state *st, u64 off, u64 end, bool zeroing)
{
	u64 ss = inode->fs->sectorsize, size = inode_size(inode);
	u64 first = ALIGN_UP(off, ss), last = ALIGN_DOWN(end, ss);
	u64 content_end = MIN(end, size);
	s64 holes = hole_bytes(inode, ALIGN_DOWN(off, ss), ALIGN_UP(end, ss));
	int r = 0;

	if (holes < 0)
		return (int)holes;
	if (!zeroing && (u64)holes == ALIGN_UP(end, ss) - ALIGN_DOWN(off, ss))
		return 0; /* no change, so no new mtime */
	if (off < MIN(first, content_end))
		r = zero_in_block(inode, st, off, MIN(first, content_end), size, zeroing);
	if (r == 0 && first < last)
		r = punch_sectors(inode, st, first, last);
	if (r == 0 && last >= first && last < content_end)
		r = zero_in_block(inode, st, last, content_end, size, zeroing);
	return r < 0 ? r : file_written(inode, 0);
}

static int zero_range(struct inode *inode, struct file_state *st, u64 off, u64 len, bool keep_size)
{
	u64 ss = inode->fs->sectorsize, end = off + len, size = inode_size(inode);
	u64 first = ALIGN_DOWN(off, ss), last = ALIGN_UP(end, ss), promised = last - first;
	int r = data_promise(inode, promised);

	if (r < 0)
		return r;
	if (end > size)
		r = keep_size ? file_zero_end(inode, st, size) : file_expand(inode, st, size, end);
	if (r == 0)
		r = punch(inode, st, off, end, true);
	if (r == 0)
		r = prealloc_holes(inode, first, last, &promised);
	data_unpromise(inode, promised);
	return r < 0 ? r : file_written(inode, keep_size ? 0 : end);
}

static int fallocate_locked(struct inode *inode, int mode, u64 off, u64 len)
{
	struct file_state *st = file_state_get(inode);
	_cleanup_range_ struct range_lock range = {};
	u64 ss = inode->fs->sectorsize, start;
	int r;

	if (!st)
		return -ENOMEM;
	start = ALIGN_DOWN(MIN(off, inode_size(inode)), ss);
	r = GUARD(inflight_wait) ? file_flush_range(inode, start, ALIGN_UP(off + len, ss)) : 0;
	if (r < 0)
		return r;
	if (GUARD(inflight_wait))
		range_lock(&st->ranges, &range, start, ALIGN_UP(off + len, ss), true);
	if (mode & FALLOC_FL_PUNCH_HOLE)
		return punch(inode, st, off, off + len, false);
	if (mode & FALLOC_FL_ZERO_RANGE)
		return zero_range(inode, st, off, len, mode & FALLOC_FL_KEEP_SIZE);
	return allocate(inode, st, off, len, mode & FALLOC_FL_KEEP_SIZE);
}

static int fallocate_once(struct inode *inode, int mode, u64 off, u64 len)
{
	int r;

	WRLOCK_SCOPE(&inode->lock);
	r = fallocate_locked(inode, mode, off, len);
	flusher_remove_if_clean(inode);
	return r;
}

int file_fallocate(struct inode *inode, int mode, u64 off, u64 len)
{
	int r;

	if ((mode & ~FALLOC_FL_KEEP_SIZE) && mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) &&
	    (mode & ~FALLOC_FL_KEEP_SIZE) != FALLOC_FL_ZERO_RANGE)
		return -EOPNOTSUPP;
	if (!len)
		return -EINVAL;
	r = file_check_write(inode, off, len);
	if (r < 0)
		return r;
	r = fallocate_once(inode, mode, off, len);
	/* what was overwritten since the last commit still counts against the quota */
	if (r == -EDQUOT && fs_sync(inode->fs) == 0)
		r = fallocate_once(inode, mode, off, len);
	return r;
}
