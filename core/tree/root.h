/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * root.h - one tree: its lock and its top node.
 *
 * The lock covers every node of the tree. At most one tree lock per thread; the extent tree may
 * be locked for reading inside another. core/subvol/root_table.c creates, finds and
 * frees roots.
 */
#ifndef BTRFUSE_CORE_TREE_ROOT_H
#define BTRFUSE_CORE_TREE_ROOT_H

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "core/tree/extent_buffer.h"
#include "disk/base/lock.h"

struct log_nodes;

struct root {
	struct fs *fs;
	u64 id;
	bool shareable; /* a subvolume: its nodes may be shared with snapshots */
	struct log_nodes *log; /* a log tree: who keeps its nodes, which are outside of the extent tree */
	_Atomic u32 refs;

	struct rwlock lock;
	/* under lock */
	struct extent_buffer *node; /* referenced */
	u64 last_snapshot;	    /* nodes younger than this and without RELOC are ours alone */
	u64 force_cow_transid;	    /* nothing is changed in place in this transaction */

	/* core/trans: under the transaction's mutex */
	bool dirty;
	TAILQ_ENTRY(root) dirty_link;

	/* core/subvol: under the root table's mutex, or frozen in a commit */
	struct btrfs_root_item item;
	TAILQ_ENTRY(root) table_link;

	_Atomic u64 next_ino; /* core/inode; 0: not looked up yet */
	_Atomic bool orphans_done; /* core/inode: this mount has cleaned up */
};

#endif
