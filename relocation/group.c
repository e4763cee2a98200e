/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group.c - see group.h. */
#include "relocation/group.h"

#include <errno.h>
#include <linux/btrfs_tree.h>

#include "core/fs.h"
#include "core/space/block_group.h"
#include "core/space/free_space_cache.h"
#include "core/space/space.h"
#include "core/subvol/cleaner.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "relocation/data.h"

#define PASSES_MAX 16
#define UNPIN_WAIT_MS 2000

static bool is_data(const struct block_group *bg)
{
	return bg->flags & BTRFS_BLOCK_GROUP_DATA;
}

/* Mixed groups hold both. */
static int move_out(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
		    struct pace *pace, u64 *moved, u64 *stuck)
{
	int r = is_data(bg) ? data_pass(fs, bg, stop, pace, moved, stuck) : 0;

	if (r == 0 && bg->flags & ~BTRFS_BLOCK_GROUP_DATA & BTRFS_BLOCK_GROUP_TYPE_MASK)
		r = metadata_pass(fs, bg, stop, pace, moved);
	return r;
}

/* Passes until one finds nothing: what a commit in between put there is moved as well. */
static int empty_group(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
		       struct pace *pace)
{
	for (int pass = 0; pass < PASSES_MAX; pass++) {
		u64 moved = 0, stuck = 0;
		int r = move_out(fs, bg, stop, pace, &moved, &stuck);

		if (r < 0)
			return r;
		if (stuck)
			return -EIO;
		if (!moved)
			return 0;
	}
	return -EBUSY;
}

/* The profile of the last data group would be forgotten with it. */
static int keep_one_data_group(struct fs *fs, const struct block_group *bg)
{
	struct block_group *other;

	if (!is_data(bg))
		return 0;
	for (u64 at = 0; (other = block_group_next(fs, at)); at = other->logical + other->length) {
		bool stays = other != bg && is_data(other) && !block_group_is_ro(other);

		block_group_put(other);
		if (stays)
			return 0;
	}
	return space_alloc_chunk(fs, bg->flags & BTRFS_BLOCK_GROUP_TYPE_MASK);
}

/* 1: something lives in the group again, it must be scanned anew. */
static int try_remove(struct fs *fs, struct block_group *bg)
{
	struct trans trans;
	int end, r = trans_exclusive_begin(fs, BLOCK_GROUP_REMOVE_ITEMS, &trans);

	if (r < 0)
		return r;
	SP("rl.remove", .bg = bg->logical);
	r = block_group_remove(&trans, bg);
	if (r < 0 && r != -EBUSY)
		trans_abort(&trans, r, "removing a block group");
	end = trans_exclusive_end(&trans, r == 0);
	if (r == -EBUSY)
		return end < 0 ? end : 1;
	return r < 0 ? r : end;
}

/* What was moved out is pinned until it is durable and unseen; then the group is empty. */
static int remove_emptied(struct fs *fs, struct block_group *bg)
{
	int r = keep_one_data_group(fs, bg);

	if (r == 0)
		r = trans_reclaim(fs);
	if (r < 0)
		return r;
	block_group_wait_unpinned(bg, UNPIN_WAIT_MS);
	return try_remove(fs, bg);
}

static int empty_and_remove(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
		       struct pace *pace)
{
	int r = 1;

	for (int round = 0; r == 1 && round < PASSES_MAX; round++) {
		if (stop_asked(stop))
			return -ECANCELED;
		r = empty_group(fs, bg, stop, pace);
		if (r == 0)
			r = remove_emptied(fs, bg);
	}
	return r == 1 ? -EBUSY : r;
}

static int relocate_readonly(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
		       struct pace *pace)
{
	struct trans held = {};
	/* Guard hold_trans (there is none in the design): with it off one waits for writers while joined. */
	int r = GUARD(hold_trans) ? 0 : trans_join(fs, 1, &held);

	if (r == 0) /* nobody may be asked while joined */
		r = block_group_drain(bg, GUARD(hold_trans) ? stop->stopped : NULL, stop->ctx);
	trans_end(&held);
	if (r < 0)
		return r;
	SP("rl.drained", .bg = bg->logical);
	/* from here on the extent tree lists whatever is in the group */
	r = trans_commit(fs);
	return r < 0 ? r : empty_and_remove(fs, bg, stop, pace);
}

static int relocate_held(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
			 struct pace *pace)
{
	int r;

	SP("rl.ro_pre", .bg = bg->logical);
	/* inodes of the old free-space cache are not worth moving */
	r = is_data(bg) ? free_space_cache_drop(fs) : 0;
	if (r == 0)
		r = block_group_set_ro(fs, bg);
	if (r < 0)
		return r;
	SP("rl.ro", .bg = bg->logical);
	r = relocate_readonly(fs, bg, stop, pace);
	if (r < 0 && GUARD(ro_undo))
		block_group_clear_ro(fs, bg);
	return r;
}

int group_relocate(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
		       struct pace *pace)
{
	int r = cleaner_hold(fs, stop->stopped, stop->ctx);

	if (r < 0)
		return r;
	r = relocate_held(fs, bg, stop, pace);
	cleaner_release(fs);
	return r;
}
