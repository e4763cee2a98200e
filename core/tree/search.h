/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * search.h - finding places in a tree, for reading.
 *
 * All of these release @path first, take the tree's read lock and return with it held, except on
 * negative returns, which leave the path released. They may do device I/O (never under the lock)
 * unless path->cached_only; no other tree lock may be held, the extent tree's exception aside.
 * Common errors: -EIO, -ENOMEM, -EUCLEAN; -EAGAIN only with cached_only.
 */
#ifndef BTRFUSE_CORE_TREE_SEARCH_H
#define BTRFUSE_CORE_TREE_SEARCH_H

#include "core/tree/path.h"

/* 0: at the item. 1: not there, slot is where it would be inserted (maybe path_at_end). */
_must_check_ int tree_search(struct root *root, const struct key *key, struct path *path);

/* First item >= key: 0 exact, 1 a greater one, -ENOENT. */
_must_check_ int tree_search_next(struct root *root, const struct key *key, struct path *path);

/* Last item <= key: 0 exact, 1 a smaller one, -ENOENT. */
_must_check_ int tree_search_prev(struct root *root, const struct key *key, struct path *path);

/* Stops at @level, or at the root if the tree is lower: path->nodes[path->lowest_level], slot of
 * the child that covers @key (or of the item). 0 exact, 1 not. */
_must_check_ int tree_find_level(struct root *root, const struct key *key, u8 level,
				 struct path *path);

/*
 * Next or previous item of a read-locked path: 0 at it, 1 none (path still locked where it was at
 * the leaf's end or start), <0. A cache miss unlocks, reads and goes on from the current key, so
 * earlier pointers into items are void after every call. An item removed meanwhile does not hurt.
 * A path that tree_search left at a leaf's end is fine: the next item is what follows.
 * For a write-locked path see tree_next_cow.
 */
_must_check_ int tree_next(struct path *path);
_must_check_ int tree_prev(struct path *path);

/* Copies an item out: its size (at most @size bytes are copied), -ENOENT, <0. */
_must_check_ int tree_lookup(struct root *root, const struct key *key, void *buf, u32 size);

#endif
