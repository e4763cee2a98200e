/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree_internal.h - shared by the files of core/tree and nobody else.
 */
#ifndef BTRFUSE_CORE_TREE_INTERNAL_H
#define BTRFUSE_CORE_TREE_INTERNAL_H

#include "core/tree/item.h"
#include "core/tree/path.h"

/* Slot of the item, of where it would go, or (interior) of the child that covers the key. True if
 * the key itself is there. */
bool node_find_slot(const void *node, const struct key *key, int *ret);

/* path.c; the tree is locked */

/* The cached child at a slot of path->nodes[level], referenced; -EAGAIN not cached, -EUCLEAN. */
_must_check_ int path_child_at(struct path *path, int level, int slot, struct extent_buffer **ret);

/* path->nodes[level - 1] becomes the child at path->slots[level]. -EAGAIN: path->miss is set. */
_must_check_ int path_descend(struct path *path, int level);

/* -EUCLEAN for an interior node without pointers. */
_must_check_ int path_refuse_empty(const struct path *path, int level);

/* cow.c */

/* Makes path->nodes[level] writable; the nodes above are. -EAGAIN: path->miss is set. */
_must_check_ int path_cow(struct trans *trans, struct path *path, int level);

/* The same for the child at a slot of the writable path->nodes[level], which is not on the path:
 * cached nodes only, best effort. The writable node, referenced, or NULL in *ret; <0 real error. */
_must_check_ int path_cow_sibling(struct trans *trans, struct path *path, int level, int slot,
				  struct extent_buffer **ret);

/* interior.c; every node of the path from the root down to the named level is writable */

/* First key of path->nodes[level] has changed: tell the nodes above. */
void path_fix_low_key(struct path *path, int level);

/* Room for one more pointer in path->nodes[level] (which may be absent: the tree grows). */
_must_check_ int path_reserve_ptr(struct trans *trans, struct path *path, int level);

/* A pointer to @child right behind path->slots[level], where room was reserved. path->nodes and
 * slots still lead to the old child. */
void path_insert_ptr(struct path *path, int level, const struct key *key,
		     const struct extent_buffer *child);

/* Removes the pointer at a slot of path->nodes[level], which has others too. */
void path_remove_ptr(struct path *path, int level, int slot);

/* The root of a tree has one child, on the path and writable: the child becomes the root. */
_must_check_ int path_collapse_root(struct trans *trans, struct path *path);

/* merge.c */

/* The leaf of the path is to go: takes it and what has no other child above it out of the tree.
 * Releases the path; an emptied tree keeps the leaf and the path. */
_must_check_ int path_drop_leaf(struct trans *trans, struct path *path);

/* Joins path->nodes[level] with a cached sibling if that leaves one well-filled node. May change
 * path->nodes[level] and the slot above. */
_must_check_ int path_merge_thin(struct trans *trans, struct path *path, int level);

/* leaf_split.c */

/* Room in the leaf for a new item of @size data bytes at the slot, or (@extend) for the item at
 * the slot to grow by @size. */
_must_check_ int path_make_room(struct trans *trans, struct path *path, const struct key *key,
				u32 size, bool extend);

/* leaf_ops.c: pure, on raw leaves. Nothing checks for room. */
u32 leaf_used(const void *leaf, u32 nodesize);
void leaf_insert_item(void *leaf, u32 nodesize, u32 slot, const struct key *key, u32 size);
void leaf_remove_items(void *leaf, u32 nodesize, u32 slot, u32 count);
void leaf_copy_items(void *dst, u32 nodesize, u32 dst_slot, const void *src, u32 src_slot,
		     u32 count);
void leaf_grow_item(void *leaf, u32 slot, u32 delta);
void leaf_shrink_item(void *leaf, u32 slot, u32 new_size, bool from_front);
/* Bytes, headers included, of the items [from, to). */
u32 leaf_items_bytes(const void *leaf, u32 from, u32 to);

/* node_ops.c: the same for interior nodes */
void interior_insert_ptr(void *node, u32 slot, const struct key *key, u64 logical, u64 generation);
void interior_remove_ptrs(void *node, u32 slot, u32 count);
void interior_copy_ptrs(void *dst, u32 dst_slot, const void *src, u32 src_slot, u32 count);

#endif
