/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_info.h - what the extent tree and the queue say about one extent.
 */
#ifndef CORE_EXTENT_EXTENT_INFO_H
#define CORE_EXTENT_EXTENT_INFO_H

#include "core/extent/delayed_ref.h"
#include "core/tree/path.h"

struct extent_info {
	u64 logical;
	u64 length;
	u64 refs;
	u64 flags;      /* BTRFS_EXTENT_FLAG_*, BTRFS_BLOCK_FLAG_FULL_BACKREF */
	u64 generation; /* 0 while the item is only queued */
	u64 owner;      /* data with an owner reference (simple quotas): who pays; else 0 */
	u8 level;       /* nodes */
};

/*
 * Item plus queue. Takes the reference mutex for the look; may do device I/O, so no tree lock
 * held. 0, -ENOENT (no such extent, or all its references are gone), <0.
 */
_must_check_ int extent_info(struct fs *fs, u64 logical, struct extent_info *ret);

/*
 * The same for a caller that holds ref_mutex(fs, logical) and perhaps a subvolume's tree lock:
 * looks at cached nodes only. -EAGAIN: release everything, tree_miss_read(@miss), start again.
 */
_must_check_ int extent_info_cached(struct fs *fs, u64 logical, struct extent_info *ret,
				    struct tree_miss *miss);

/* Every holder of an extent as the extent tree says, keyed ones included. */
struct ref_list {
	struct extent_info info;
	struct ref_count *v;
	u32 count;
	u32 room;
};

/*
 * Reads item and references, not the queue: for exclusive sections, whose beginning has applied
 * it. -ENOENT, <0 (then *ret is empty). ref_list_free() gives it back.
 */
_must_check_ int extent_refs_list(struct fs *fs, u64 logical, struct ref_list *ret);
/* The same from another state of the extent tree. */
_must_check_ int extent_refs_list_in(struct root *extent_root, u64 logical, struct ref_list *ret);
void ref_list_free(struct ref_list *list);
#define _cleanup_ref_list_ __attribute__((cleanup(ref_list_free)))

/*
 * May the file extent of (@root, @ino) with file offset minus extent offset @extent_file_off
 * overwrite the data extent in place? 0: every reference, queued ones included, is exactly this
 * one. 1: somebody else holds it, too, or did in the last durable state (after a crash he would
 * hold it again), or it is gone. <0: error. Says nothing of references that a shared leaf implies:
 * the caller compares the item's generation with last_snapshot. May do device I/O; no tree lock
 * held.
 */
_must_check_ int data_extent_shared(struct fs *fs, u64 logical, u64 len, u64 root, u64 ino,
				    u64 extent_file_off);

/*
 * Calls @cb for each extent item (data and nodes) that begins in [@start, @end), ascending, from
 * the tree only. No lock is held in @cb; items that change meanwhile may be seen or not. @cb
 * returns 0 to go on, anything else ends the scan and is returned.
 */
_must_check_ int extent_scan(struct fs *fs, u64 start, u64 end,
			     int (*cb)(void *ctx, const struct extent_info *info), void *ctx);

#endif
