/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flush.c - write-back of one file's dirty sectors.
 *
 * One write-back a file at a time (`flushing`), run by run: a run is contiguous and at most
 * RUN_BYTES. It shares the range: readers go on reading the memory, writers of that range wait, so
 * the bytes are stable while they are checksummed and written. A file that fits is stored inline,
 * as the kernel does. When write-back fails the data is given up and the next fsync says so:
 * keeping it would block every writer sooner or later.
 */
#include "core/file/file.h"
#include "core/file/file_extent.h"
#include "core/file/promise.h"
#include "core/file/write_run.h"
#include "core/fs.h"
#include "core/space/reservation.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define RUN_BYTES MIB(16)

static void flush_begin(struct file_state *st)
{
	MUTEX_SCOPE(&st->lock);

	while (st->flushing)
		cond_wait(&st->changed, &st->lock);
	st->flushing = true;
}

static void flush_end(struct file_state *st)
{
	MUTEX_SCOPE(&st->lock);

	st->flushing = false;
	cond_broadcast(&st->changed);
}

static bool find_run(struct file_state *st, u64 pos, u64 limit, u64 *start, u64 *end)
{
	MUTEX_SCOPE(&st->lock);

	if (!dirty_map_next(&st->map, pos, limit, start, end))
		return false;
	*end = MIN(*end, *start + RUN_BYTES);
	return true;
}

static void give_up(struct write_run *run, int err)
{
	struct inode *inode = run->inode;

	if (err != -EROFS)
		log_fault("root %llu inode %llu: writing back [%llu, %llu): %s",
			  (unsigned long long)inode->root->id, (unsigned long long)inode->ino,
			  (unsigned long long)run->pos, (unsigned long long)run->end,
			  strerror(-err));
	mutex_lock(&run->st->lock);
	run->st->writeback_error = err;
	mutex_unlock(&run->st->lock);
	file_state_clean(run->st, run->pos, run->end);
}

/* The range is locked and [start, end) dirty. */
static int flush_run(struct inode *inode, struct file_state *st, u64 start, u64 end)
{
	struct iovec iov[RUN_IOV_MAX];
	struct write_run run = {.inode = inode, .st = st, .start = start, .end = end, .pos = start,
				.promised = end - start, .dirty = true, .iov = iov};
	u64 size = inode_size(inode);
	int r;

	mutex_lock(&st->lock);
	run.iov_count = dirty_map_iov(&st->map, start, end, iov, RUN_IOV_MAX);
	mutex_unlock(&st->lock);
	r = write_inline(&run, size);
	if (r == 0)
		r = write_run(&run);
	if (r < 0) {
		data_unpromise(inode, run.promised);
		give_up(&run, r);
	}
	return MIN(r, 0);
}

/* Somebody writes back, and nobody waits for him: only with the guard fsync_inflight off. */
static bool left_to_others(struct file_state *st)
{
	if (GUARD(fsync_inflight))
		return false;
	MUTEX_SCOPE(&st->lock);
	return st->flushing;
}

/* The first dirty run at or behind *pos: 1 written, 0 none, <0. *pos moves behind it. */
static int flush_next(struct inode *inode, struct file_state *st, u64 *pos, u64 limit)
{
	_cleanup_range_ struct range_lock range = {};
	u64 start, end, now, stop;
	int r = 0;

	if (!find_run(st, *pos, limit, &start, &end) || left_to_others(st))
		return 0;
	range_lock(&st->ranges, &range, start, end, false);
	flush_begin(st);
	if (find_run(st, start, end, &now, &stop))
		r = flush_run(inode, st, now, stop);
	else
		stop = end;
	flush_end(st);
	*pos = stop;
	return r < 0 ? r : 1;
}

int file_flush_range(struct inode *inode, u64 start, u64 end)
{
	struct file_state *st = atomic_load(&inode->file);
	u64 pos = ALIGN_DOWN(start, (u64)inode->fs->sectorsize), last;
	int r = 0, more;

	if (!st)
		return 0;
	/* Not what somebody appends while we write. */
	mutex_lock(&st->lock);
	last = dirty_map_end(&st->map);
	mutex_unlock(&st->lock);
	end = ALIGN_UP(MIN(end, last), (u64)inode->fs->sectorsize); /* dirty sectors are whole */
	do {
		more = flush_next(inode, st, &pos, end);
		if (more < 0 && r == 0)
			r = more;
	} while (more);
	flusher_remove_if_clean(inode);
	return r;
}

int file_flush(struct inode *inode)
{
	return file_flush_range(inode, 0, UINT64_MAX);
}
