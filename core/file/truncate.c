/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * truncate.c - setting a file's size.
 *
 * Shrinking removes extents from the end backwards, some in each transaction, and the size on disk
 * follows them down (file_state's truncate_pos): after a crash the file ends somewhere between old
 * and new size and nothing stale lies behind its end. The part of the last sector behind the new
 * end stays as it is on disk; growing zeroes it (expand.c). Never needs space that it does not
 * get: the global reserve serves it.
 */
#include "core/file/file.h"
#include "core/file/file_extent.h"
#include "core/file/file_state.h"
#include "core/file/promise.h"
#include "core/fs.h"
#include "core/space/reservation.h"
#include "core/trans/transaction.h"
#include "disk/base/sync_point.h"

#define CUT_BATCH 8
#define CUT_ITEMS (2 * CUT_BATCH + 1)

static void follow_down(struct inode *inode, u64 pos)
{
	struct file_state *st = atomic_load(&inode->file);

	if (!st)
		return;
	MUTEX_SCOPE(&st->lock);
	st->truncate_pos = MIN(st->truncate_pos, pos);
}

/* One transaction's worth: 1 done, 0 more to do. */
static int cut_some(struct inode *inode, u64 size)
{
	_cleanup_trans_ struct trans trans = {};
	u64 from = UINT64_MAX;
	int done, r = trans_join_release(inode->fs, CUT_ITEMS, &trans);

	if (r < 0)
		return r;
	done = file_extent_cut_tail(&trans, inode, size, CUT_BATCH, &from);
	if (done < 0)
		return done;
	follow_down(inode, from);
	r = inode_mark_dirty(inode, &trans);
	return r < 0 ? r : done;
}

int file_truncate_items(struct inode *inode, u64 size)
{
	int r;

	do
		r = cut_some(inode, size);
	while (r == 0);
	return MIN(r, 0);
}

static int set_size(struct inode *inode, u64 size, bool stamp)
{
	struct timespec now = inode_now();
	int r = inode_change_begin(inode, NULL);

	if (r < 0)
		return r;
	inode->a.size = size;
	if (stamp) {
		inode->a.mtime = now;
		inode->a.ctime = now;
		inode->a.sequence++;
	}
	inode_change_end(inode, NULL);
	return 0;
}

/* Dirty sectors behind the new end go, with their promise of space. */
static void forget_dirty(struct inode *inode, struct file_state *st, u64 size)
{
	u64 from = ALIGN_UP(size, (u64)inode->fs->sectorsize);
	u64 bytes = file_state_dirty_bytes(st, from, UINT64_MAX), room;
	u8 *tail;

	file_state_clean(st, from, UINT64_MAX);
	data_unpromise(inode, bytes);
	if (from == size || !file_state_dirty_bytes(st, from - inode->fs->sectorsize, from))
		return;
	MUTEX_SCOPE(&st->lock);
	tail = dirty_map_at(&st->map, size, &room);
	memset(tail, 0, from - size);
}

static void truncate_begin(struct inode *inode, struct file_state *st)
{
	u64 disk_size = file_disk_size(inode);

	MUTEX_SCOPE(&st->lock);
	st->truncating = true;
	st->truncate_pos = disk_size;
}

/* Where it ended: behind @size only after an error. */
static u64 truncate_end(struct file_state *st, u64 size, int err)
{
	MUTEX_SCOPE(&st->lock);

	if (err < 0)
		size = MAX(size, st->truncate_pos);
	st->truncating = false;
	st->disk_size = MIN(st->disk_size, size);
	return size;
}

static int shrink(struct inode *inode, struct file_state *st, u64 old_size, u64 size)
{
	int r;

	SP("tr.drop", .ino = inode->ino, .root = inode->root->id, .off = size);
	truncate_begin(inode, st);
	r = set_size(inode, size, size != old_size);
	if (r == 0) {
		forget_dirty(inode, st, size);
		r = file_truncate_items(inode, size);
	}
	if (r < 0)
		(void)!set_size(inode, truncate_end(st, size, r), false);
	else
		(void)truncate_end(st, size, 0);
	return r < 0 ? r : inode_mark_dirty(inode, NULL);
}

static int grow(struct inode *inode, struct file_state *st, u64 old_size, u64 size)
{
	int r = file_expand(inode, st, old_size, size);

	if (r == 0)
		r = file_add_holes(inode, ALIGN_UP(old_size, (u64)inode->fs->sectorsize),
				   ALIGN_UP(size, (u64)inode->fs->sectorsize));
	return r < 0 ? r : set_size(inode, size, true);
}

int file_truncate_locked(struct inode *inode, u64 size)
{
	struct file_state *st = file_state_get(inode);
	_cleanup_range_ struct range_lock range = {};
	u64 old_size;
	int r;

	if (!st)
		return -ENOMEM;
	r = file_check_write(inode, 0, size);
	if (r < 0)
		return r;
	old_size = inode_size(inode);
	if (GUARD(inflight_wait))
		range_lock(&st->ranges, &range,
			   ALIGN_DOWN(MIN(old_size, size), (u64)inode->fs->sectorsize), UINT64_MAX,
			   true);
	if (size > old_size)
		r = grow(inode, st, old_size, size);
	else
		r = shrink(inode, st, old_size, size);
	file_state_touch_meta(st, NULL);
	range_unlock(&range);
	flusher_remove_if_clean(inode);
	return r;
}

int file_truncate(struct inode *inode, u64 size)
{
	WRLOCK_SCOPE(&inode->lock);

	return file_truncate_locked(inode, size);
}
