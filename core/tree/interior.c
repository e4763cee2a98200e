/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interior.c - pointers in the writable nodes of a path: inserting, removing, growing, shrinking.
 *
 * Invariant: the key of a pointer is the first key of its child, at every level. Splits go from
 * the bottom up, which one lock a tree allows: every node above is on the path and writable.
 * Pointers that move between two nodes of one tree need no new references, since all of them
 * count for the tree's root.
 */
#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/tree_internal.h"
#include "disk/base/log.h"

void path_fix_low_key(struct path *path, int level)
{
	struct key key = node_key(path->nodes[level]->data, 0);

	for (level++; level < NODE_LEVEL_MAX && path->nodes[level]; level++) {
		node_set_key(path->nodes[level]->data, (u32)path->slots[level], &key);
		if (path->slots[level] > 0)
			return;
	}
}

/* The tree gets a new top that points to the old one. */
static int path_grow_root(struct trans *trans, struct path *path, int level)
{
	struct root *root = path->root;
	struct extent_buffer *old = root->node, *top;
	struct key key = node_key(old->data, 0);
	int rc;

	if (level >= NODE_LEVEL_MAX) {
		log_fault("tree %llu: level %d is one too many", (unsigned long long)root->id,
			  level);
		return -EUCLEAN;
	}
	rc = tree_block_alloc(trans, root, (u8)level, &key, &top);
	if (rc < 0)
		return rc;
	interior_insert_ptr(top->data, 0, &key, old->logical, old->generation);
	root->node = top;
	eb_put(old);
	path->nodes[level] = eb_get(top);
	path->slots[level] = 0;
	trans_mark_root_dirty(trans, root);
	return 0;
}

/* Where to divide a full node; who appends leaves a full one behind. */
static u32 interior_split_at(u32 n, u32 slot)
{
	return slot + 1 + n / 8 >= n ? MIN(slot + 1, n - 1) : n / 2;
}

/* Moves the upper part of a full node into a new one. */
static int path_split_interior(struct trans *trans, struct path *path, int level)
{
	_cleanup_eb_ struct extent_buffer *right = NULL;
	struct extent_buffer *left = path->nodes[level];
	u32 n = node_nritems(left->data);
	u32 at = interior_split_at(n, (u32)path->slots[level]);
	struct key key = node_key(left->data, at);
	int rc = path_reserve_ptr(trans, path, level + 1);

	if (!rc)
		rc = tree_block_alloc(trans, path->root, (u8)level, &key, &right);
	if (rc < 0)
		return rc;
	interior_copy_ptrs(right->data, 0, left->data, at, n - at);
	interior_remove_ptrs(left->data, at, n - at);
	path_insert_ptr(path, level + 1, &key, right);
	if (path->slots[level] >= (int)at) {
		path->slots[level] -= (int)at;
		path->slots[level + 1]++;
		path->nodes[level] = TAKE(right);
		eb_put(left);
	}
	return 0;
}

int path_reserve_ptr(struct trans *trans, struct path *path, int level)
{
	if (level >= NODE_LEVEL_MAX || !path->nodes[level])
		return path_grow_root(trans, path, level);
	if (node_nritems(path->nodes[level]->data) < NODE_PTRS_MAX(trans->fs->nodesize))
		return 0;
	return path_split_interior(trans, path, level);
}

void path_insert_ptr(struct path *path, int level, const struct key *key,
		     const struct extent_buffer *child)
{
	interior_insert_ptr(path->nodes[level]->data, (u32)path->slots[level] + 1, key,
			    child->logical, child->generation);
}

void path_remove_ptr(struct path *path, int level, int slot)
{
	interior_remove_ptrs(path->nodes[level]->data, (u32)slot, 1);
	if (slot == 0)
		path_fix_low_key(path, level);
}

int path_collapse_root(struct trans *trans, struct path *path)
{
	struct root *root = path->root;
	_cleanup_eb_ struct extent_buffer *old = root->node;
	int level = old->level;

	root->node = eb_get(path->nodes[level - 1]);
	eb_put(path->nodes[level]);
	path->nodes[level] = NULL;
	trans_mark_root_dirty(trans, root);
	return tree_block_free(trans, root, old);
}
