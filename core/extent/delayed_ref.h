/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * delayed_ref.h - changes of extent references that are not in the extent tree yet.
 *
 * Who changes a pointer to an extent queues the reference change; settle and exclusive sections
 * apply the queue. The true state of an extent is its item plus what is queued for its address.
 *
 * Locks: a queue mutex a shard (RANK_DREF_QUEUE, short, allowed under a tree lock) covers the
 * queue; a reference mutex a shard (RANK_NODE_REF, by address) makes "read the count and queue the
 * consequences" and "apply and dequeue" one step each. Nobody holds two reference mutexes.
 */
#ifndef CORE_EXTENT_DELAYED_REF_H
#define CORE_EXTENT_DELAYED_REF_H

#include "disk/base/lock.h"
#include "disk/base/types.h"
#include "disk/format/key.h"

struct fs;
struct trans;
struct delayed_refs;

/* Values are the on-disk types, inline and keyed. */
enum ref_kind {
	REF_TREE_BLOCK = 176,   /* root */
	REF_DATA = 178,         /* root, ino, offset */
	REF_SHARED_BLOCK = 182, /* parent */
	REF_SHARED_DATA = 184,  /* parent */
};

/* One holder of an extent. Members that the kind does not use are zero. */
struct ref {
	enum ref_kind kind;
	u64 root;
	u64 parent;
	u64 ino;
	u64 offset; /* file offset minus offset inside the extent, may wrap below zero */
};

struct ref_count {
	struct ref ref;
	s64 count;
};

static inline struct ref ref_tree_block(u64 root, u64 parent)
{
	if (parent)
		return (struct ref){.kind = REF_SHARED_BLOCK, .parent = parent};
	return (struct ref){.kind = REF_TREE_BLOCK, .root = root};
}

/* @parent: the leaf that holds the file extent, if that is a full backref, otherwise 0. */
static inline struct ref ref_data(u64 root, u64 parent, u64 ino, u64 offset)
{
	if (parent)
		return (struct ref){.kind = REF_SHARED_DATA, .parent = parent};
	return (struct ref){.kind = REF_DATA, .root = root, .ino = ino, .offset = offset};
}

/* By kind, then holder. */
int ref_cmp(const struct ref *a, const struct ref *b);

int delayed_refs_create(struct delayed_refs **ret) _must_check_;
void delayed_refs_destroy(struct delayed_refs *d); /* accepts NULL; forgets what is queued */

/*
 * Adds (@count > 0) or drops (< 0) references of an existing extent. @len is the extent's whole
 * length (nodesize for a node), @level a node's level, 0 for data. Opposite changes cancel out.
 * Does not wait, allowed under a tree lock. -ENOMEM, -EUCLEAN (contradicts what is queued).
 */
_must_check_ int dref_add(struct trans *trans, u64 logical, u64 len, u8 level, bool is_data,
			  const struct ref *ref, int count);

/* The same for a node that may lose its last holder, when simple quotas want to know who paid for
 * it: the owner in its header. @count > 0: so many less. */
_must_check_ int dref_drop_node(struct trans *trans, u64 logical, u8 level, u64 owner,
				const struct ref *ref, int count);

/*
 * A newly allocated extent with its first reference: its item will be created. @extent_flags
 * BTRFS_EXTENT_FLAG_DATA, or _TREE_BLOCK and perhaps BTRFS_BLOCK_FLAG_FULL_BACKREF. @first_key:
 * a node's first key (for images without skinny metadata), NULL for data. Further references of
 * it go through dref_add. If they all go again before the run, no item is ever made.
 */
_must_check_ int dref_add_new(struct trans *trans, u64 logical, u64 len, u8 level, u64 extent_flags,
			      const struct ref *ref, const struct key *first_key);

/* A new data extent that several files point to already. All its holders come in one step: nobody
 * may see it with one holder and take it for his own (data_extent_shared). @owner as the item of
 * the extent whose place it takes names one (extent_info.h), or 0; @generation: what its item says,
 * 0: the running transaction. */
_must_check_ int dref_add_new_shared(struct trans *trans, u64 logical, u64 len, u64 owner,
				     u64 generation, const struct ref_count *refs, u32 nr);

/* dref_add_new() for a node that moved and kept its generation: the item says that generation, since
 * scrub wants both to be equal. */
_must_check_ int dref_add_moved_node(struct trans *trans, u64 logical, u8 level, u64 extent_flags,
				     u64 owner, const struct ref *ref, const struct key *first_key,
				     u64 generation);

/* Sets flags (BTRFS_BLOCK_FLAG_FULL_BACKREF) in a node's extent item. */
_must_check_ int dref_set_flags(struct trans *trans, u64 logical, u8 level, u64 extent_flags);

/*
 * Applies everything, in address order, until the queue is empty (applying queues more). Tells
 * core/space of extents that came and went, deletes checksums of freed data. Only with joins
 * blocked (settle, exclusive section). Any error means abort.
 */
_must_check_ int delayed_refs_run(struct trans *trans);

/* The same until @deadline_ns (CLOCK_MONOTONIC) at the latest; what is left stays queued. */
_must_check_ int delayed_refs_run_some(struct trans *trans, u64 deadline_ns);

/* Number of extents with something queued. */
u64 delayed_refs_count(struct fs *fs);

/*
 * The trace for quotas: while delayed_refs_trace() says so, every extent whose holders among subvolumes
 * may have changed is noted, unless trans->neutral says that they stay the same. Switching it off drops
 * the notes. Joins blocked.
 */
struct touched_set;
void delayed_refs_trace(struct fs *fs, bool on);
bool delayed_refs_traced(struct fs *fs);
u64 delayed_refs_touched(struct fs *fs);
/* Moves all notes into @into. Joins blocked. -ENOMEM: notes are lost. */
_must_check_ int delayed_refs_take_touched(struct fs *fs, struct touched_set *into);
/* The extent is elsewhere now: its note, if there is one, goes along (1). 0, -ENOMEM. */
_must_check_ int delayed_refs_move_touched(struct fs *fs, u64 from, u64 to);
/* Notes both places, as of an extent that went and one that came. -ENOMEM. */
_must_check_ int delayed_refs_touch_moved(struct fs *fs, u64 from, u64 to, u64 len);

/* What is queued for one extent. */
struct dref_sum {
	bool queued;
	bool create; /* no item in the tree yet */
	u64 len;
	u8 level;
	u64 flags_set; /* to be or-ed in; with create: all flags */
	s64 total;     /* change of the reference count */
	bool others;   /* of holders other than the one asked about */
};

/* Looks the queue up; with @ref also the queued change of that one holder. */
struct dref_sum dref_peek(struct fs *fs, u64 logical, const struct ref *ref, s64 *ref_change);

/* The mutex that makes a decision about @logical's count one step. */
struct mutex *ref_mutex(struct fs *fs, u64 logical);

#endif
