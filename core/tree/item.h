/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * item.h - changing a tree: copy-on-write searches and item operations.
 *
 * The caller has joined a transaction with enough metadata reserved and holds no tree lock.
 * A search may do device I/O (lock dropped) and starts again then; once it has returned with the
 * write lock, the operations on the path do not wait. An error from an operation on a path, or
 * any but -EEXIST, -ENOENT and -EAGAIN from a search, may have left the tree valid but changed:
 * abort the transaction. Errors: -EIO, -ENOMEM, -ENOSPC, -EUCLEAN; -EAGAIN only with cached_only.
 */
#ifndef BTRFUSE_CORE_TREE_ITEM_H
#define BTRFUSE_CORE_TREE_ITEM_H

#include "core/tree/search.h"

struct trans;

/*
 * As tree_search, with the write lock and every node of the path copied where the rule asks for
 * it. @ins_len > 0: something will be inserted or extended (the operations make the room
 * themselves); < 0: something will be deleted (thin nodes are merged on the way down); 0: changed
 * in place.
 */
_must_check_ int tree_search_cow(struct trans *trans, struct root *root, const struct key *key,
				 int ins_len, struct path *path);

/* First item >= key / last item <= key: 0 exact, 1 other, -ENOENT. ins_len <= 0. */
_must_check_ int tree_search_cow_next(struct trans *trans, struct root *root, const struct key *key,
				      int ins_len, struct path *path);
_must_check_ int tree_search_cow_prev(struct trans *trans, struct root *root, const struct key *key,
				      int ins_len, struct path *path);

/*
 * From a write-locked path to the next item (slot + 1), write-locked again: 0, 1 none (path
 * released), <0. Within the leaf it is free; else it unlocks and searches for the next leaf's
 * first key (what others insert in between is missed). With the slot at the leaf's end (after
 * tree_delete): what follows.
 */
_must_check_ int tree_next_cow(struct trans *trans, struct path *path, int ins_len);

/* New item, data zeroed, path write-locked at it. -EEXIST: path write-locked at the old one. */
_must_check_ int tree_insert_empty(struct trans *trans, struct root *root, const struct key *key,
				   u32 size, struct path *path);
_must_check_ int tree_insert(struct trans *trans, struct root *root, const struct key *key,
			     const void *data, u32 size);
/* Overwrites (size may change) or inserts. */
_must_check_ int tree_put(struct trans *trans, struct root *root, const struct key *key,
			  const void *data, u32 size);

/* At a slot of a write-locked path where @key belongs (after a search that returned 1, or next
 * to a neighbour known under this lock); makes room. Path at the new item, data zeroed. */
_must_check_ int tree_insert_here(struct trans *trans, struct path *path, const struct key *key,
				  u32 size);

/*
 * Deletes the item at the path (or @count of them in this leaf). The path stays write-locked with
 * the slot at what followed in the leaf (maybe path_at_end); when the leaf became empty and was
 * removed, the path is released (path->lock == PATH_UNLOCKED) and the caller searches again. An
 * emptied tree keeps one empty leaf, and the path.
 */
_must_check_ int tree_delete(struct trans *trans, struct path *path);
_must_check_ int tree_delete_range_in_leaf(struct trans *trans, struct path *path, int count);
/* Every item of the tree, which keeps one empty leaf. */
_must_check_ int tree_delete_all(struct trans *trans, struct root *root);
_must_check_ int tree_delete_key(struct trans *trans, struct root *root, const struct key *key);

/* Grows the item at the path by @delta zero bytes at its end; makes room itself. */
_must_check_ int tree_extend_item(struct trans *trans, struct path *path, u32 delta);

/* Shrinks it to @new_size, cutting the end or (from_front) the beginning. */
void tree_truncate_item(struct trans *trans, struct path *path, u32 new_size, bool from_front);

/* The item's data from @offset on become a new item behind it, with @key; path at the new one. */
_must_check_ int tree_split_item(struct trans *trans, struct path *path, const struct key *key,
				 u32 offset);

/* A copy of the item behind it, with @key; path at the copy. */
_must_check_ int tree_duplicate_item(struct trans *trans, struct path *path, const struct key *key);

/* New key for the item at the path, between its neighbours' keys (asserted). */
void tree_set_key(struct trans *trans, struct path *path, const struct key *key);

/*
 * Copies the node at @level on the way to @key to a new address, writable or not, if it is the
 * one at @logical (0: whichever it is). 0 copied, 1 no such node there now.
 */
_must_check_ int tree_cow_node(struct trans *trans, struct root *root, const struct key *key,
			       u8 level, u64 logical);

#endif
