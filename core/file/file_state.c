/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_state.c - life of a file's state, and the size that is safe to show on disk.
 *
 * Invariant: disk_size only ever covers bytes that are zero, a hole or on the device: it moves up
 * to the first dirty sector behind it, when it is asked for and before a sector becomes dirty, so
 * that it never falls behind what had arrived before. While a truncate removes extents it follows these down, so
 * a crash leaves a file cut somewhere in between and never stale bytes behind its end.
 */
#include "core/file/file_state.h"

#include "core/file/file.h"
#include "core/file/promise.h"
#include "core/fs.h"
#include "core/space/reservation.h"
#include "core/trans/transaction.h"
#include "disk/format/ondisk.h"

static struct file_state *state_new(struct inode *inode)
{
	struct file_state *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	range_locks_init(&st->ranges);
	mutex_init(&st->lock, RANK_CACHE);
	cond_init(&st->changed);
	dirty_map_init(&st->map, inode->fs->sectorsize);
	st->disk_size = inode_size(inode);
	st->inode = inode;
	return st;
}

static void state_free(struct file_state *st)
{
	dirty_map_destroy(&st->map);
	cond_destroy(&st->changed);
	mutex_destroy(&st->lock);
	range_locks_destroy(&st->ranges);
	free(st);
}

struct file_state *file_state_get(struct inode *inode)
{
	struct file_state *st = atomic_load(&inode->file), *none = NULL;

	if (likely(st))
		return st;
	st = state_new(inode);
	if (!st)
		return NULL;
	if (atomic_compare_exchange_strong(&inode->file, &none, st))
		return st;
	state_free(st);
	return none;
}

void file_state_free(struct inode *inode)
{
	struct file_state *st = atomic_exchange(&inode->file, NULL);

	if (!st)
		return;
	flusher_account(inode->fs, st->map.window_count, 0);
	state_free(st);
}

int file_hold(struct inode *inode, struct range_lock *ret)
{
	struct file_state *st = file_state_get(inode);

	if (!st)
		return -ENOMEM;
	range_lock(&st->ranges, ret, 0, UINT64_MAX, true);
	return 0;
}

void file_state_clean(struct file_state *st, u64 start, u64 end)
{
	u64 before, after;

	mutex_lock(&st->lock);
	before = st->map.window_count;
	dirty_map_clear(&st->map, start, end);
	after = st->map.window_count;
	mutex_unlock(&st->lock);
	flusher_account(st->inode->fs, before, after);
}

/* Of @size, what is not behind a dirty sector. Lock held. */
static u64 disk_size_raise(struct file_state *st, u64 size)
{
	u64 start, end;

	if (dirty_map_next(&st->map, ALIGN_DOWN(st->disk_size, st->inode->fs->sectorsize),
			   UINT64_MAX, &start, &end))
		size = MIN(size, MAX(st->disk_size, start));
	st->disk_size = size;
	return size;
}

int file_state_dirty(struct file_state *st, u64 start, u64 end)
{
	u64 size = inode_size(st->inode), before, after;
	int r;

	mutex_lock(&st->lock);
	(void)disk_size_raise(st, size);
	before = st->map.window_count;
	r = dirty_map_set(&st->map, start, end);
	after = st->map.window_count;
	mutex_unlock(&st->lock);
	flusher_account(st->inode->fs, before, after);
	if (r == 0)
		flusher_add(st->inode);
	return r;
}

u64 file_state_dirty_bytes(struct file_state *st, u64 start, u64 end)
{
	MUTEX_SCOPE(&st->lock);

	return dirty_map_count(&st->map, start, end);
}

void file_state_touch_meta(struct file_state *st, const struct trans *trans)
{
	u64 transid = trans ? trans->transid : trans_running_id(st->inode->fs) + 1;
	u64 old = atomic_load(&st->meta_transid);

	while (old < transid && !atomic_compare_exchange_weak(&st->meta_transid, &old, transid))
		;
}

u64 file_disk_size_of(struct inode *inode, u64 size)
{
	struct file_state *st = atomic_load(&inode->file);

	if (!st)
		return size;
	MUTEX_SCOPE(&st->lock);
	return st->truncating ? MAX(size, st->truncate_pos) : disk_size_raise(st, size);
}

u64 file_disk_size(struct inode *inode)
{
	/* Before the map: a size that is seen has its dirty bits set already. */
	return file_disk_size_of(inode, inode_size(inode));
}

bool file_state_size_lags(struct file_state *st)
{
	u64 size = inode_size(st->inode);

	MUTEX_SCOPE(&st->lock);
	return st->disk_size < size;
}

u64 file_unflushed_bytes(struct inode *inode)
{
	struct file_state *st = atomic_load(&inode->file);

	return st ? file_state_dirty_bytes(st, 0, UINT64_MAX) : 0;
}

void file_discard(struct inode *inode)
{
	struct file_state *st = atomic_load(&inode->file);
	u64 bytes;

	if (!st)
		return;
	bytes = file_state_dirty_bytes(st, 0, UINT64_MAX);
	file_state_clean(st, 0, UINT64_MAX);
	data_unpromise(inode, bytes);
}

int file_check_write(struct inode *inode, u64 off, u64 len)
{
	if (off + len < off || off + len > (u64)INT64_MAX)
		return -EFBIG;
	return inode_check_rw(inode);
}

int file_written(struct inode *inode, u64 size)
{
	struct timespec now = inode_now();
	bool grows;
	int r = inode_change_begin(inode, NULL);

	if (r < 0)
		return r;
	grows = inode->a.size < size;
	inode->a.size = MAX(inode->a.size, size);
	inode->a.mtime = now;
	inode->a.ctime = now;
	inode->a.sequence++;
	inode_change_end(inode, NULL);
	if (grows)
		file_state_touch_meta(atomic_load(&inode->file), NULL);
	return 0;
}

static u64 inode_flags(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);

	return inode->a.flags;
}

static bool flags_in_place(u64 flags)
{
	return (flags & BTRFS_INODE_NODATACOW) && (flags & BTRFS_INODE_NODATASUM);
}

bool file_nodatasum(struct inode *inode)
{
	return (inode_flags(inode) & BTRFS_INODE_NODATASUM) != 0;
}

bool file_nodatacow(struct inode *inode)
{
	return flags_in_place(inode_flags(inode));
}

bool file_maybe_in_place(struct inode *inode)
{
	u64 flags = inode_flags(inode);

	return flags_in_place(flags) || (flags & BTRFS_INODE_PREALLOC);
}

bool file_wants_no_inline(struct inode *inode)
{
	return (inode_flags(inode) & BTRFS_INODE_NODATACOW) != 0;
}
