/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_table.h - the groups in memory. Private to core/quota.
 *
 * A group of level 0 stands for the subvolume with its number; groups above have members. The
 * kernel makes relations upwards only, others are not taken over, so there are no circles.
 */
#ifndef CORE_QUOTA_QGROUP_TABLE_H
#define CORE_QUOTA_QGROUP_TABLE_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "core/quota/qgroup_roots.h"
#include "core/quota/qgroup_touched.h"
#include "core/space/rb_tree.h"
#include "disk/base/lock.h"
#include "disk/format/ondisk.h"

struct reason;
struct trans;

#ifndef BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE
#define BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE (1ULL << 3)
#endif
#define QGROUP_STATUS_SIZE 32u      /* full accounting */
#define QGROUP_STATUS_ENABLE_GEN 32u /* where simple quotas keep it */

struct qgroup {
	RB_ENTRY(qgroup) link;
	u64 id;
	u64 rfer, excl;
	u64 limit_flags, max_rfer, max_excl;
	u64 promised; /* to writers: no extent yet */
	u64 made;     /* extents of this transaction, not in rfer yet */
	bool dirty;   /* the item says something else */
	struct qgroup **parents;
	u32 parent_count;

	/* while met: see qgroup_meet() */
	SLIST_ENTRY(qgroup) met;
	bool listed;
	u64 visit;
	u32 before, after;
};

RB_HEAD(qgroup_tree, qgroup);
SLIST_HEAD(qgroup_list, qgroup);

struct quota {
	struct fs *fs;
	struct mutex lock; /* RANK_QUOTA: groups and flags; settling alone changes the rest */
	struct cond scanned; /* a rescan has ended */
	struct qgroup_tree groups;
	_Atomic bool on; /* changed in exclusive sections */
	u64 flags;  /* of the status item */
	u64 rescan; /* extents from here on are still to be scanned, while the flag says so */
	_Atomic bool held;   /* the scan does not go on */
	u64 enable_gen; /* simple: extents made before do not count */
	bool gave_up;   /* accounting failed in this mount: marked inconsistent */
	u64 visits;

	struct committed_trees committed;
	struct root **removed_trees; /* of quotas that were switched off: who reads one holds on to it */
	u32 removed_count;
	struct touched_set moved; /* logical: where to; before: where from */
};

static inline bool quota_is_on(const struct quota *q)
{
	return q && atomic_load(&q->on);
}

static inline bool quota_is_simple(const struct quota *q)
{
	return q->flags & BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE;
}

static inline bool quota_rescanning(const struct quota *q)
{
	return q->flags & BTRFS_QGROUP_STATUS_FLAG_RESCAN;
}

/* All of these: lock held, or nobody else about. */

struct qgroup *qgroup_find(struct quota *q, u64 id);
/* The group @id, a new one if there is none. -ENOMEM. */
_must_check_ int qgroup_get(struct quota *q, u64 id, struct qgroup **ret);
/* @child becomes a member of @parent. -ENOMEM. */
_must_check_ int qgroup_link(struct qgroup *child, struct qgroup *parent);
void qgroup_unlink(struct qgroup *child, struct qgroup *parent);
/* It has no members. */
void qgroup_forget(struct quota *q, struct qgroup *group);
void qgroup_table_free(struct quota *q);
/* All sums are zero, and the scan begins. */
void quota_begin_rescan(struct quota *q);

/* By number. */
struct qgroup *qgroup_next(struct qgroup *group); /* NULL at the end */
struct qgroup *qgroup_first(struct quota *q);

/*
 * Adds the group of @root and all groups above it to @met, as far as they are not in it, and counts
 * @root once in `before` or `after` of each. qgroup_part() ends what this began.
 */
void qgroup_meet(struct quota *q, u64 root, struct qgroup_list *met, bool after);
void qgroup_part(struct qgroup_list *met);

/* qgroup_limit.c: may @root have @bytes more? Takes the lock. */
bool quota_allows(struct fs *fs, u64 root, u64 bytes);
/* Members have come or gone: groups above subvolumes have promised what these have. */
void quota_spread_promises(struct quota *q);

/* qgroup_items.c: the quota tree */
_must_check_ int qgroup_items_load(struct quota *q, struct reason *why);
_must_check_ int qgroup_items_write(struct trans *trans, struct quota *q);
/* The status item of a new tree; a group's items; relations, in both directions; a group's limits. */
_must_check_ int qgroup_items_begin(struct trans *trans, struct quota *q);
_must_check_ int qgroup_items_add(struct trans *trans, struct quota *q, u64 id);
_must_check_ int qgroup_items_remove(struct trans *trans, struct quota *q, u64 id);
_must_check_ int qgroup_items_relate(struct trans *trans, struct quota *q, u64 child, u64 parent);
_must_check_ int qgroup_items_unrelate(struct trans *trans, struct quota *q, u64 child, u64 parent);
_must_check_ int qgroup_items_limit(struct trans *trans, struct quota *q,
				    const struct qgroup *group);

/* qgroup_switch.c: -EBUSY if there is a subvolume @id. */
_must_check_ int qgroup_refuse_living(struct fs *fs, u64 id);

/* qgroup_account.c: the sums of full accounting */
_must_check_ int qgroup_account(struct quota *q);

#endif
