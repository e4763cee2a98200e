/* SPDX-License-Identifier: GPL-2.0-or-later */
/* space_impl.h - what the files of core/space share. Private to this folder.
 *
 * Locks, outermost first: table lock > space mutex > a group's mutex. None of them is held over
 * device I/O or a wait for another thread, so all are allowed under a tree lock.
 * Invariant: the sums of a space_info are the sums over its groups, since counters of a group are
 * changed inside GROUP_EDIT_SCOPE only.
 */
#ifndef CORE_SPACE_SPACE_IMPL_H
#define CORE_SPACE_SPACE_IMPL_H

#include "core/space/rb_tree.h"
#include "core/space/space.h"
#include "disk/volume/volume.h"

#define GROUP_CHUNK_OBJECTID 256 /* FIRST_CHUNK_TREE: in group items, chunk keys, dev extents */

enum space_kind { SPACE_DATA, SPACE_METADATA, SPACE_SYSTEM, SPACE_KINDS };

RB_HEAD(group_table, block_group);

/* All groups of one kind. Under the space mutex. */
struct space_info {
	u64 total, used, reserved, pinned;
	u64 readonly;    /* free bytes of read-only groups */
	u64 free;        /* of the others: could be handed out */
	u64 free_loaded; /* of these, in groups whose free space is in memory */
	u64 reclaimable; /* pinned in groups that are not read-only */
	u64 excluded;
	u64 promised;
	u64 profile;     /* what the next chunk gets */
	bool converting; /* @profile is what a conversion wants: groups of it serve first, with new chunks before
			  * others */
	u64 hint;        /* the group that served the last allocation */
	unsigned run_pause; /* nodes to hand out before a long run is looked for again */
};

/* A chunk whose removal is not known to be durable and unseen. */
struct removed_chunk {
	SLIST_ENTRY(removed_chunk) link;
	u64 logical;
	u64 transid;
};

struct space {
	struct fs *fs;
	bool mixed; /* constant: data and metadata share groups; all of it is SPACE_METADATA */

	struct rwlock table_lock; /* RANK_GROUP_TABLE */
	struct group_table groups;
	u64 chunk_count[SPACE_KINDS]; /* chunks made since mount: two who lack space make one */
	u64 logical_end; /* of the highest chunk removed since mount */

	struct mutex lock; /* RANK_SPACE; all below */
	struct cond changed;
	struct space_info info[SPACE_KINDS];
	TAILQ_HEAD(, block_group) pending;
	TAILQ_HEAD(, block_group) dirty;
	SLIST_HEAD(, removed_chunk) removed;
	bool writing_items;   /* a commit writes group items */
	unsigned waiters;     /* for promises to be given back */
	bool removing_unused; /* space_remove_unused() runs */
	u64 global_reserve;
	u64 tree_bytes; /* of the trees that a commit changes by itself */
	u64 raw_room;   /* device bytes in no chunk, as chunks could use them */
	u64 meta_room;  /* metadata that they could hold */
};

/* ---- space_info.c ---- */

enum space_kind space_kind_of(u64 flags);
u64 space_kind_flag(const struct space *s, enum space_kind kind);

/* The kind whose groups hold file data. */
static inline enum space_kind space_data_kind(const struct space *s)
{
	return s->mixed ? SPACE_METADATA : SPACE_DATA;
}

static inline struct space_info *group_info(struct space *s, const struct block_group *bg)
{
	return &s->info[space_kind_of(bg->flags)];
}

/* Bytes that the group could hand out now. Group mutex held. */
u64 group_free_bytes(const struct block_group *bg);

/* Locks space and group for a change of the group's counters, and brings the sums up to date. */
struct block_group *group_edit_begin(struct block_group *bg);
void group_edit_end(struct block_group **bg);
#define GROUP_EDIT_SCOPE(bg)                                                                       \
	__attribute__((cleanup(group_edit_end), unused)) struct block_group *group_edit_scope_ =  \
		group_edit_begin(bg)

/* The same in pieces: both mutexes held. */
void group_sums_sub(struct block_group *bg);
void group_sums_add(struct block_group *bg);

/* Recomputes the global reserve. In settle or at mount; space mutex not held. */
void space_update_global(struct fs *fs);

/* ---- group_table.c ---- */

struct block_group *group_create(struct fs *fs, const struct chunk *chunk); /* refs 1; or NULL */
/* Table lock held for writing; the table takes a reference. */
void group_table_insert(struct space *s, struct block_group *bg);
void group_table_remove(struct space *s, struct block_group *bg);
void group_table_init(struct space *s);
void group_table_clear(struct space *s);
u64 space_chunk_count(struct space *s, enum space_kind kind);

/* Puts @bg on the list of those whose item is written by the commit. Space and group mutex held. */
void group_mark_dirty(struct space *s, struct block_group *bg);

/* ---- group_load.c ---- */

/* One at a time reads or changes the group's items in the free-space tree. Waits: no tree lock. */
void group_tree_lock(struct block_group *bg);
void group_tree_unlock(struct block_group *bg);

/* Reads the free space of the group unless that was done. 0, -EIO, -EUCLEAN, -ENOMEM. */
_must_check_ int group_load(struct block_group *bg);
/* Loads one more group of @kind that has free space: 1 if there was one, 0 if all are loaded. */
_must_check_ int group_load_another(struct fs *fs, enum space_kind kind);
/* A group that was just made: all free. */
_must_check_ int group_load_fresh(struct block_group *bg, const struct chunk *chunk);

/* ---- chunk_alloc.c ---- */

/* Makes a chunk unless another was made since @chunk_count was read. */
_must_check_ int chunk_alloc(struct fs *fs, enum space_kind kind, u64 chunk_count);
/* Changing the chunk tree takes nodes of the system kind: makes sure of them before, with a
 * new chunk if need be. -ENOSPC: leave the chunk tree alone. */
_must_check_ int space_ensure_system(struct fs *fs);
/* Recomputes raw_room and meta_room. */
int chunk_room_refresh(struct fs *fs);
/* The room as metadata bytes, after @raw device bytes went to data. Space mutex held. */
u64 chunk_meta_room(const struct space *s, u64 raw);
/* Devices that new chunks may go to. */
unsigned space_writable_devices(struct fs *fs);
/* What the next chunk of each kind gets: the most redundant profile in use that the devices are
 * enough for, as the kernel does. Takes table lock and space mutex. */
void space_update_profiles(struct fs *fs);

/* ---- chunk_items.c ---- */

_must_check_ int chunk_items_insert(struct trans *trans, const struct chunk *chunk);
_must_check_ int chunk_items_delete(struct trans *trans, const struct chunk *chunk);
/* sys_chunk_array of fs->super from the chunk map, without chunk @without (0: with all). */
_must_check_ int chunk_sys_array_rebuild(struct fs *fs, u64 without);

/* ---- group_items.c ---- */

_must_check_ int group_item_insert(struct trans *trans, struct block_group *bg);
_must_check_ int group_item_delete(struct trans *trans, struct block_group *bg);

/* ---- group_remove.c ---- */

/* Space was handed out there that is in no tree yet: who takes the group away now takes it from under
 * a writer. Group mutex held. */
bool group_awaits_extents(const struct block_group *bg);

/* ---- group_unused.c ---- */

/* Removes empty groups of kinds other than @wanted, durably: 1 if there were any, 0, or negative
 * errno. Reads and commits; holds and takes no promise of the caller's. */
_must_check_ int space_remove_unused(struct fs *fs, enum space_kind wanted);

/* ---- reservation.c ---- */

/* With a new data chunk of @raw device bytes, would metadata that is promised still fit? Space mutex
 * held; @queued from space_queued_bytes() before. */
bool space_meta_covered(struct space *s, u64 queued, u64 raw);
/* What applying the queued references may need beyond the global reserve. No lock held. */
u64 space_queued_bytes(struct fs *fs);
/* Does what was promised fit into groups that are not read-only? Space mutex held; @queued as above. */
bool space_promises_fit(struct space *s, enum space_kind kind, u64 queued);
/* Makes space of @kind, in every way there is, until enough() says so: 0 or -ENOSPC. May read and
 * commit. */
_must_check_ int space_make_until(struct fs *fs, enum space_kind kind, bool (*enough)(void *arg),
				  void *arg);

#endif
