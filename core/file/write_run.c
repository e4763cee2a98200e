/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * write_run.c - content goes to new extents, or in place (in_place.c).
 *
 * Copy on write: space, device write, then one or more joins that replace what the file maps there
 * by then; what is replaced is decided in the join, not before. The group's reservation is held
 * from allocation until the reference is queued, so that relocation misses nothing. If the old
 * mapping has many pieces, each join replaces some: every state in between is a valid file.
 */
#include "core/file/promise.h"
#include "core/file/write_run.h"

#include "core/extent/csum_tree.h"
#include "core/extent/extent_alloc.h"
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume.h"

#define EXTENT_MAX MIB(128)
#define DROP_BATCH 4
/* Pieces dropped, the new one, its checksums, the inode. */
#define COW_ITEMS (DROP_BATCH + 4)

int write_run_slice(const struct write_run *run, u64 start, u64 end, struct iovec *out)
{
	u64 skip = start - run->start, len = end - start;
	int n = 0;

	for (int i = 0; i < run->iov_count && len; i++) {
		u64 have = run->iov[i].iov_len;

		if (skip >= have) {
			skip -= have;
			continue;
		}
		have = MIN(have - skip, len);
		out[n++] = (struct iovec){(u8 *)run->iov[i].iov_base + skip, have};
		skip = 0;
		len -= have;
	}
	return n;
}

static int write_slice(const struct write_run *run, u64 start, u64 end, u64 logical)
{
	struct iovec iov[RUN_IOV_MAX];
	int n = write_run_slice(run, start, end, iov);

	return volume_write(run->inode->fs->vol, logical, iov, n);
}

#define RUN_KEYS(run, start, end, logical, group)                                                  \
	.ino = (run)->inode->ino, .root = (run)->inode->root->id, .off = (start),                  \
	.len = (end) - (start), .bytenr = (logical), .bg = (group)

/* In two halves while a test has an eye on it. */
static int write_halves(const struct write_run *run, u64 start, u64 end, u64 logical, u64 group)
{
#ifdef BTRFUSE_TEST
	u64 ss = run->inode->fs->sectorsize, middle = ALIGN_DOWN(start + (end - start) / 2, ss);

	if (SP_ARMED() && middle > start) {
		int r = write_slice(run, start, middle, logical);

		SP("wr.io_mid", RUN_KEYS(run, start, end, logical, group));
		if (r < 0)
			return r;
		logical += middle - start;
		start = middle;
	}
#endif
	return write_slice(run, start, end, logical);
}

int write_run_io(const struct write_run *run, u64 start, u64 end, u64 logical, u64 group)
{
	int r = SP_FAIL("wr.io_pre", RUN_KEYS(run, start, end, logical, group));

	if (r == 0)
		r = write_halves(run, start, end, logical, group);
	if (r < 0)
		return r;
	TRACE("data.written", RUN_KEYS(run, start, end, logical, group));
	SP("wr.io_post", RUN_KEYS(run, start, end, logical, group));
	return 0;
}

u8 *write_run_csums(const struct write_run *run, u64 start, u64 end)
{
	struct fs *fs = run->inode->fs;
	u64 ss = fs->sectorsize, at = start - run->start;
	u8 *csums = buffer_get((end - start) / ss * fs->csum_size), *out = csums;
	u64 left = end - start;

	for (int i = 0; out && i < run->iov_count && left; i++) {
		u64 have = run->iov[i].iov_len;

		for (; at < have && left; at += ss, left -= ss, out += fs->csum_size) {
			u8 one[CSUM_SIZE_MAX];

			csum_compute(fs->csum_type, (const u8 *)run->iov[i].iov_base + at, ss, one);
			memcpy(out, one, fs->csum_size);
		}
		at -= have;
	}
	return csums;
}

int write_run_join(const struct write_run *run, unsigned items, struct trans *ret)
{
	int r = trans_join(run->inode->fs, items, ret);

	if (r == -ENOSPC && run->dirty)
		r = trans_join_release(run->inode->fs, items, ret);
	return r;
}

int write_run_arrived(struct write_run *run, struct trans *trans, u64 start, u64 end)
{
	struct inode *inode = run->inode;
	int r;

	if (run->dirty)
		file_state_clean(run->st, start, end);
	r = inode_change_begin(inode, trans);
	if (r < 0)
		return r;
	if (run->new_size)
		inode->a.size = MAX(inode->a.size, MIN(end, run->new_size));
	inode_change_end(inode, trans);
	file_state_touch_meta(run->st, trans);
	return 0;
}

/* Reference and item for [start, end) of the new extent; the rest of it follows or has come. */
static int extent_map_part(struct write_run *run, struct trans *trans, struct new_extent *e,
			   u64 start, u64 end)
{
	struct inode *inode = run->inode;
	struct file_mapping m = {
		.type = MAPPING_REG, .off = start, .len = end - start,
		.disk_bytenr = e->at.logical, .disk_bytes = e->at.len,
		.extent_off = start - e->start,
		.ram_bytes = e->compression ? e->end - e->start : e->at.len,
		.generation = trans->transid, .compression = e->compression,
	};
	int r = 0;

	if (e->referenced) {
		r = file_extent_append(trans, inode, &m);
		if (r != 0)
			return MIN(r, 0);
		r = data_extent_ref(trans, m.disk_bytenr, m.disk_bytes, inode->root->id, inode->ino,
				    e->start);
	} else {
		r = data_extent_new(trans, m.disk_bytenr, m.disk_bytes, inode->root->id, inode->ino,
				    e->start);
		if (r == 0 && e->csums)
			r = csum_insert(trans, e->at.logical, e->at.len, e->csums);
	}
	if (r < 0) {
		trans_abort(trans, r, "referencing a data extent");
		return r;
	}
	return file_extent_insert(trans, inode, &m);
}

/* One join: replaces as much of what is mapped from run->pos on as fits. */
static int extent_join(struct write_run *run, struct new_extent *e)
{
	_cleanup_trans_ struct trans trans = {};
	u64 start = run->pos, end;
	int r = write_run_join(run, COW_ITEMS, &trans);

	if (r < 0)
		return r;
	r = file_extent_drop(&trans, run->inode, start, e->end, DROP_BATCH, &end);
	if (r < 0)
		return r;
	r = extent_map_part(run, &trans, e, start, end);
	if (r < 0)
		return r;
	TRACE("item.updated", RUN_KEYS(run, start, end, e->at.logical + (start - e->start), e->group));
	if (e->at.bg)
		block_group_reservation_put(TAKE(e->at.bg));
	e->referenced = true;
	run->pos = end;
	r = write_run_arrived(run, &trans, start, end);
	if (r < 0)
		trans_abort(&trans, r, "updating a written inode");
	return r;
}

int new_extent_map(struct write_run *run, struct new_extent *e)
{
	SP("wr.cow_item", RUN_KEYS(run, e->start, e->end, e->at.logical, e->group));
	while (run->pos < e->end) {
		int r = extent_join(run, e);

		if (r < 0)
			return r;
	}
	return 0;
}

void new_extent_put(struct inode *inode, struct new_extent *e)
{
	buffer_put(TAKE(e->csums));
	if (!e->at.bg)
		return;
	data_alloc_undo(inode, e->at.logical, e->at.len);
	block_group_reservation_put(TAKE(e->at.bg));
}

static int extent_write(struct write_run *run, struct new_extent *e)
{
	struct inode *inode = run->inode;
	int r;

	e->group = e->at.bg->logical;
	SP("wr.alloc", RUN_KEYS(run, e->start, e->end, e->at.logical, e->group));
	if (!file_nodatasum(inode)) {
		e->csums = write_run_csums(run, e->start, e->end);
		if (!e->csums)
			return -ENOMEM;
	}
	r = write_run_io(run, e->start, e->end, e->at.logical, e->group);
	if (r < 0)
		return r;
	if (!GUARD(inflight_drain))
		block_group_reservation_put(TAKE(e->at.bg));
	return new_extent_map(run, e);
}

int write_cow(struct write_run *run, u64 len)
{
	struct fs *fs = run->inode->fs;
	struct new_extent e = {.start = run->pos};
	int r;

	len = MIN(len, EXTENT_MAX);
	if (run->promise_later) {
		r = data_promise(run->inode, len);
		if (r < 0)
			return r;
		run->promised += len;
	}
	r = space_alloc_data(fs, len, fs->sectorsize, &e.at);
	if (r < 0)
		return r;
	run->promised -= e.at.len;
	e.end = e.start + e.at.len;
	r = extent_write(run, &e);
	new_extent_put(run->inode, &e);
	if (run->promise_later) {
		data_unpromise(run->inode, run->promised);
		run->promised = 0;
	}
	return r;
}

/* New extents, compressed if that is wanted and pays. Direct writes are not. */
static int write_new(struct write_run *run)
{
	int r = run->dirty ? write_compressed(run) : 0;

	return r ? MIN(r, 0) : write_cow(run, run->end - run->pos);
}

static int write_next(struct write_run *run)
{
	u64 cow = run->end - run->pos;
	s64 n = 0;

	if (!file_maybe_in_place(run->inode))
		return write_new(run);
	n = write_in_place(run, &cow);
	if (n <= 0)
		return n < 0 ? (int)n : write_cow(run, cow);
	run->pos += (u64)n;
	if (!run->promise_later) {
		data_unpromise(run->inode, (u64)n);
		run->promised -= (u64)n;
	}
	return 0;
}

int write_run(struct write_run *run)
{
	int r = 0;

	run->pos = run->start;
	while (run->pos < run->end && r == 0)
		r = write_next(run);
	if (run->promised)
		data_unpromise(run->inode, run->promised);
	run->promised = 0;
	return r;
}
