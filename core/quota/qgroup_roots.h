/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_roots.h - which subvolumes hold an extent, in one state of the trees.
 *
 * References name a tree or a parent node; a node that snapshots share stands for all of them. So
 * the way goes up from the extent to the root nodes. A node that is younger than its tree's last
 * snapshot has no other holder, which ends most ways at once; what was found out about a node is
 * remembered as long as the state is.
 *
 * Two states: as the last commit left the trees, and as they are. In the latter nobody may change
 * them: joins blocked and queued references applied. May do device I/O; no tree lock held.
 */
#ifndef CORE_QUOTA_QGROUP_ROOTS_H
#define CORE_QUOTA_QGROUP_ROOTS_H

#include "core/quota/qgroup_root_set.h"

struct fs;
struct root;

/* Where a top node is, as a superblock or root item would say it. */
struct tree_top {
	u64 logical;
	u64 generation;
	u8 level;
};

/* The trees of the last commit, from which everything else of it can be found. */
struct committed_trees {
	struct tree_top extent_tree;
	struct tree_top root_tree;
};

struct node_roots {
	u64 logical; /* 0: an empty slot */
	const struct root_set *set;
};

struct held_root {
	u64 id;
	struct root *root; /* NULL: there is no such tree */
};

struct tree_state {
	struct fs *fs;
	struct root_sets *sets;
	struct root *extent_root;
	struct root *root_tree; /* NULL: the state of now */
	struct held_root *roots; /* by number */
	size_t root_count, root_room;
	struct node_roots *memo; /* hash with open addressing */
	size_t memo_count, memo_room;
};

/* Opens the state of @trees, or that of now (@trees NULL). Sets come from @sets, which outlives
 * the state. -EIO, -ENOMEM. tree_state_close() in any case. */
_must_check_ int tree_state_open(struct tree_state *st, struct fs *fs, struct root_sets *sets,
				 const struct committed_trees *trees);
void tree_state_close(struct tree_state *st);
#define _cleanup_tree_state_ _cleanup_(tree_state_close)

/* The subvolumes that hold the extent at @logical: *ret, empty if there is no such extent.
 * -EUCLEAN: a reference leads nowhere; -EIO, -ENOMEM. */
_must_check_ int extent_roots(struct tree_state *st, u64 logical, const struct root_set **ret);

#endif
