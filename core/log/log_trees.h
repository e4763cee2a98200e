/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_trees.h - the log of the running transaction: one tree for each subvolume that has something in it,
 * and the tree of their ROOT_ITEMs, which a superblock points to. Private to core/log.
 *
 * Invariant: what a sync has published stays as it is on the device until the transaction is durable.
 * Locks: the mutex is taken joined, before tree locks; writing and flushing happen without it.
 */
#ifndef CORE_LOG_LOG_TREES_H
#define CORE_LOG_LOG_TREES_H

#include "core/log/log_changes.h"
#include "core/log/log_nodes.h"
#include "core/log/log_record.h"
#include "core/tree/root.h"

#define LOG_SUBVOLS_MAX 16u

struct trans;

/* The log tree of one subvolume. */
struct log_subvol {
	u64 id;
	struct root *tree;
	bool changed; /* its ROOT_ITEM does not say so yet */
};

struct tree_log {
	struct log_changes changes;

	struct mutex lock; /* RANK_TREE_LOG; all below */
	struct cond changed;
	u64 transid; /* whose log this is; 0: nothing has been logged */
	struct log_nodes nodes;
	struct root *top;
	struct log_subvol subvols[LOG_SUBVOLS_MAX];
	unsigned subvol_count;

	u64 next_sync; /* what is logged now becomes durable with this one */
	u64 synced;
	bool syncing;
	struct btrfs_super_block base; /* as it is on the device */
};

/* Puts @rec into the log of @trans. Mutex held. 1: it is too large for that, and unchanged. Negative: the
 * trees are not to be published any more. */
_must_check_ int log_trees_put(struct trans *trans, struct tree_log *log,
			       const struct log_record *rec);

/* Brings the tree of roots up to date. Mutex held. Negative as above. */
_must_check_ int log_trees_settle(struct trans *trans, struct tree_log *log);

/* Forgets trees and nodes, which are pinned. Mutex held. */
_must_check_ int log_trees_drop(struct trans *trans, struct tree_log *log);
void log_trees_free(struct tree_log *log);

#endif
