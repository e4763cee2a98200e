/* SPDX-License-Identifier: GPL-2.0-or-later */
/* block_group.h - a block group in memory, its gate, and the table of all groups.
 *
 * The gate keeps writers in place and whoever copies the group apart. A writer takes its
 * token under the tree lock that shows it the mapping; the test of read-only and the increment are
 * one step under the group's mutex. It keeps the token through the I/O and the item update, so that
 * one drain covers everything. Taking a token never waits.
 *
 * Invariants: free + used + reserved + pinned + excluded = length; after block_group_drain() of a
 * read-only group there is no token and no reservation, and none can appear.
 */
#ifndef CORE_SPACE_BLOCK_GROUP_H
#define CORE_SPACE_BLOCK_GROUP_H

#include <bsd/sys/tree.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "core/space/free_extents.h"
#include "disk/base/lock.h"
#include "disk/base/types.h"

struct fs;
struct trans;

/* Space freed by one transaction, not reusable yet. */
struct pinned_set {
	SLIST_ENTRY(pinned_set) link;
	u64 transid;
	struct free_extents extents;
};

struct block_group {
	/* Constant. */
	struct fs *fs;
	u64 logical;
	u64 length;
	u64 flags;    /* BTRFS_BLOCK_GROUP_*: type and profile */
	u64 excluded; /* bytes of superblock stripes: never handed out, though the tree has them free */
	atomic_uint refs;

	RB_ENTRY(block_group) table_link; /* table lock */
	TAILQ_ENTRY(block_group) pending_link; /* space mutex */
	TAILQ_ENTRY(block_group) dirty_link;   /* space mutex */

	struct mutex lock; /* RANK_GROUP; all below */
	struct cond changed;

	unsigned ro_count;       /* nests: relocation and scrub */
	unsigned nocow_writers;  /* tokens: writers in place */
	unsigned reservations;   /* allocated data extents whose reference is not queued yet */
	bool removed;
	bool leaving; /* a balance is going to empty it: others are filled first */

	/* Changed with the space mutex held as well, so that the sums per type stay exact. */
	u64 used;     /* in the extent tree */
	u64 reserved; /* handed out, not in the extent tree yet */
	u64 pinned;
	bool loaded;

	struct free_extents free; /* if loaded: what may be handed out */
	u64 cursor;               /* where the last allocation ended */
	SLIST_HEAD(, pinned_set) pinned_sets;

	struct free_extents tree_take; /* to be taken out of the free-space tree by this commit */
	struct free_extents tree_give; /* to be put in */
	bool on_dirty_list;  /* item or free-space tree to be written */
	bool pending;        /* chunk and group items not written yet */
	bool tree_missing;   /* no FREE_SPACE_INFO yet */
	bool tree_unbuilt;   /* the whole free-space tree is being made: fill in from the extent tree */
	bool tree_busy;      /* somebody reads or changes the free-space items: group_tree_lock() */
};

/* ---- references and the table ---- */

struct block_group *block_group_ref(struct block_group *bg);
void block_group_put(struct block_group *bg); /* NULL is accepted */
static inline void block_group_putp(struct block_group **bg) { block_group_put(*bg); }
#define _cleanup_group_ _cleanup_(block_group_putp)

/* The group that holds @logical, or NULL. Referenced. */
struct block_group *block_group_find(struct fs *fs, u64 logical);
/* The first group that starts at @logical or behind, or NULL. Referenced. For walks in order. */
struct block_group *block_group_next(struct fs *fs, u64 logical);
/* The last group that starts before @logical, or NULL. Referenced. For walks downwards. */
struct block_group *block_group_prev(struct fs *fs, u64 logical);

/* ---- the gate ---- */

/* Takes a token for writing in place to [@logical, +@len): true, and *ret is the referenced group;
 * false if the group is read-only, gone, or does not hold the whole range: do not write there.
 * Never waits; allowed under a tree lock. */
_must_check_ bool block_group_writer_get(struct fs *fs, u64 logical, u64 len,
					 struct block_group **ret);
/* Gives token and reference back. */
void block_group_writer_put(struct block_group *bg);
/* An extent of space_alloc_data() has its reference queued, or was given back: gives reservation
 * and reference back. Call it before trans_end() of the join that queued the reference. */
void block_group_reservation_put(struct block_group *bg);

/* Nests. New writers in place and allocations are refused from now on. If a commit is just writing
 * group items, waits for it to end. Makes sure that what was promised still fits elsewhere: -ENOSPC,
 * and nothing changed, otherwise. Holds nothing, not joined. */
_must_check_ int block_group_set_ro(struct fs *fs, struct block_group *bg);
void block_group_clear_ro(struct fs *fs, struct block_group *bg);
bool block_group_is_ro(struct block_group *bg);
/* What is written goes elsewhere if it can, so that it need not be moved again. */
void block_group_set_leaving(struct block_group *bg, bool leaving);

/* Waits until @bg, read-only, has no reservation and no writer in place. Holds nothing.
 * 0, or -ECANCELED as soon as @cancelled (may be NULL) says so (asked every 50 ms). */
_must_check_ int block_group_drain(struct block_group *bg, bool (*cancelled)(void *ctx), void *ctx);

/* ---- removal ---- */

/* Nothing used, reserved or pinned. */
bool block_group_is_empty(struct block_group *bg);
/* Waits up to @timeout_ms until nothing is pinned any more. Nothing held, no epoch. */
bool block_group_wait_unpinned(struct block_group *bg, int timeout_ms);

/* Removes an empty read-only group: chunk, device extents, group item and free-space items, in this
 * transaction. Its space on the device and its address are reused only when that is durable and all
 * epochs are over. -EBUSY (nothing changed) if it is not empty, is not written yet, has tokens, or
 * the chunk tree has no room for the change;
 * any other failure is after a tree change: abort. Joined, best in an exclusive section; reserve
 * BLOCK_GROUP_REMOVE_ITEMS. Ends the caller's read-only count; his reference stays. */
#define BLOCK_GROUP_REMOVE_ITEMS 16
_must_check_ int block_group_remove(struct trans *trans, struct block_group *bg);

#endif
