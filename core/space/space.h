/* SPDX-License-Identifier: GPL-2.0-or-later */
/* space.h - handing out, taking back and accounting the bytes of a file system.
 *
 * An extent's life: handed out by space_alloc_*() (reserved); space_extent_added() when its item
 * enters the extent tree (used); space_extent_freed() when the item leaves it (pinned, and free in
 * the free-space tree); space_unpin() when that is durable and unseen (free).
 */
#ifndef CORE_SPACE_SPACE_H
#define CORE_SPACE_SPACE_H

#include "core/space/block_group.h"
#include "core/space/reservation.h"
#include "disk/base/reason.h"
#include "disk/base/types.h"

struct fs;
struct trans;
struct space;

/* ---- mount ---- */

/* Reads the group item of every chunk. Free space is read at first use. */
_must_check_ int space_load(struct fs *fs, struct reason *why);
void space_destroy(struct fs *fs); /* accepts a half-loaded one */

/* ---- allocation ---- */

struct data_alloc {
	u64 logical;
	u64 len;
	struct block_group *bg; /* referenced, reservation held: block_group_reservation_put() */
};

/* Hands out one data extent of at most @want and at least @min bytes; space_reserve_data() promised
 * @want before and the returned length of that promise is consumed. May read and make a chunk; no
 * tree lock. -ENOSPC if no run of @min is free. */
_must_check_ int space_alloc_data(struct fs *fs, u64 want, u64 min, struct data_alloc *ret);

/* [@logical, +@len), part of what space_alloc_data() gave, will never be referenced: free again at
 * once. The promise is not restored; the reservation is still to be put. */
void space_data_alloc_undo(struct fs *fs, u64 logical, u64 len);

/* Hands out one node for the chunk tree (@system) or any other. Allowed under a tree lock: never
 * reads; groups were loaded when space was reserved. */
_must_check_ int space_alloc_tree_block(struct fs *fs, bool system, u64 *ret_logical);

/* Hands out what was handed out before a crash: [@logical, +@len) is reserved as if space_alloc_*() had
 * given it. -ENOENT (nothing changed): not free as a whole, or no group of its kind holds it. Reads;
 * no tree lock. */
_must_check_ int space_claim(struct fs *fs, u64 logical, u64 len, bool data);
/* Brings the free space of all groups for nodes into memory: space_alloc_tree_block() reads nothing. */
_must_check_ int space_load_for_nodes(struct fs *fs);

/* ---- changes of the extent tree, told while delayed references run ---- */

_must_check_ int space_extent_added(struct trans *trans, u64 logical, u64 len, bool data);
_must_check_ int space_extent_freed(struct trans *trans, u64 logical, u64 len);
/* Handed out and dropped within one transaction: never was an item. */
_must_check_ int space_alloc_cancelled(struct trans *trans, u64 logical, u64 len);

/* ---- commit ---- */

/* There are chunks that the trees do not know yet. */
bool space_chunks_pending(struct fs *fs);
/* Writes chunk, device extents, group, free-space items of chunks made since. 1 if there was one. */
_must_check_ int space_commit_pending_chunks(struct trans *trans);
/* Writes changed group items and the free-space tree. 1 if there was something, 0 when settled. */
_must_check_ int space_write_dirty_groups(struct trans *trans);
/* What transactions up to @transid freed may be used again: they are durable, and every epoch that
 * could have seen it is over. Removed chunks are forgotten. */
void space_unpin(struct fs *fs, u64 transid);
/* Wakes those who wait in block_group_set_ro() after a commit failed. */
void space_commit_failed(struct fs *fs);

/* ---- chunks ---- */

/* Makes a chunk of type @type (one of DATA, METADATA, SYSTEM; the profile is added, the one in use)
 * in memory; its items are written by the next commit. Never reads; allowed under a tree lock.
 * -ENOSPC if no device has room. */
_must_check_ int space_alloc_chunk(struct fs *fs, u64 type);

/* From now on chunks of type @type (one bit) are made with @profile (BTRFS_BLOCK_GROUP_* bits, single:
 * none), and groups that have it serve before those that do not. */
void space_convert(struct fs *fs, u64 type, u64 profile);
/* Back to the rule: the profile of the groups that there are, the redundant one if there are two. */
void space_convert_end(struct fs *fs, u64 type);
/* The profiles that groups of @type have, as BTRFS_BLOCK_GROUP_* bits. */
u64 space_profiles(struct fs *fs, u64 type);

/* ---- numbers ---- */

struct space_stat {
	u64 total_bytes; /* raw size of the device divided by the data profile's copies */
	u64 free_bytes;
	u64 avail_bytes;
};

/* As statfs(2) of the kernel's btrfs computes them. */
void space_statfs(struct fs *fs, struct space_stat *ret);

/* Sums over the groups of one type, for btrfs filesystem df and tests. */
struct space_usage {
	u64 total, used, reserved, pinned, readonly, promised;
};
void space_usage(struct fs *fs, u64 type, struct space_usage *ret);

#endif
