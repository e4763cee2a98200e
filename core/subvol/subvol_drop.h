/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * subvol_drop.h - deleting a whole tree: a subvolume or snapshot that was deleted, a relocation tree
 * that a kernel left behind.
 *
 * The tree is walked from left to right and never changed: each node gives up its references, is
 * freed when it was the last to hold it, and left to the others when it was not. How far the walk has
 * come stands in the ROOT_ITEM (drop_progress, drop_level: the node at that level whose children before
 * that key are gone) in the same transaction, so it goes on after a crash, here or in the kernel.
 *
 * One thread drops one tree; nobody else uses that tree any more, and no relocation runs (cleaner.h).
 */
#ifndef CORE_SUBVOL_SUBVOL_DROP_H
#define CORE_SUBVOL_SUBVOL_DROP_H

#include "disk/base/types.h"
#include "disk/format/key.h"

struct fs;
struct dead_tree;

/* The first tree at or behind *@key in the root tree that waits to be dropped: *@key becomes that of
 * its ROOT_ITEM. Trees are dead whose item has no reference; relocation trees always are, since what a
 * kernel had moved so far is valid without merging the rest. -ENOENT: none. */
_must_check_ int dead_tree_next(struct fs *fs, struct key *key);

/* Takes the tree up where its item says. -EUCLEAN: what it says cannot be (logged). */
_must_check_ int dead_tree_open(struct fs *fs, const struct key *key, struct dead_tree **ret);

/* One transaction's worth, bounded in references. 1: there is more; 0: the tree and its items are gone.
 * -ENOSPC, -EROFS; -EIO, -EUCLEAN: something in it is unreadable, what is dropped stays dropped. */
_must_check_ int dead_tree_step(struct dead_tree *tree);

void dead_tree_close(struct dead_tree *tree); /* accepts NULL */
#define _cleanup_dead_tree_ _cleanup_(dead_tree_closep)
static inline void dead_tree_closep(struct dead_tree **tree)
{
	dead_tree_close(*tree);
}

#endif
