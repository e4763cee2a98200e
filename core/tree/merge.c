/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * merge.c - nodes that lose items: joined with a sibling, or dropped when empty.
 *
 * Joining is best effort: it happens on the way down of a search that is about to delete, uses
 * siblings that are cached, and leaves slack so that the next insertion does not split again. The
 * left of two nodes stays. Dropping an empty leaf is not optional.
 */
#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/tree_internal.h"

/* In bytes. */
static u32 node_fill(const struct extent_buffer *eb)
{
	if (eb->level)
		return node_nritems(eb->data) * (u32)sizeof(struct btrfs_key_ptr);
	return leaf_used(eb->data, eb->fs->nodesize);
}

static void node_append_all(struct extent_buffer *left, const struct extent_buffer *right)
{
	u32 n = node_nritems(left->data), count = node_nritems(right->data);

	if (left->level)
		interior_copy_ptrs(left->data, n, right->data, 0, count);
	else
		leaf_copy_items(left->data, left->fs->nodesize, n, right->data, 0, count);
}

/* Path at one of two writable neighbours, @slot the left one's in the parent. */
static int path_join(struct trans *trans, struct path *path, int level, int slot,
		     struct extent_buffer *left, struct extent_buffer *right)
{
	node_append_all(left, right);
	if (path->nodes[level] != left) {
		path->nodes[level] = eb_get(left);
		eb_put(right);
	}
	path_remove_ptr(path, level + 1, slot + 1);
	path->slots[level + 1] = slot;
	/* An empty left node has taken over keys that differ from its pointer's. */
	if (node_nritems(left->data))
		path_fix_low_key(path, level);
	return tree_block_free(trans, path->root, right);
}

/* Would the child at @slot and path->nodes[level] make one node that is not full? */
static bool sibling_fits(struct path *path, int level, int slot)
{
	struct extent_buffer *node = path->nodes[level], *eb;
	u32 fill;

	if (slot < 0 || slot >= (int)node_nritems(path->nodes[level + 1]->data))
		return false;
	if (path_child_at(path, level + 1, slot, &eb) < 0)
		return false;
	fill = node_fill(node) + node_fill(eb);
	eb_put(eb);
	return fill <= LEAF_DATA(node->fs->nodesize) / 4 * 3;
}

/* 1: joined. */
static int path_try_join(struct trans *trans, struct path *path, int level, int slot)
{
	_cleanup_eb_ struct extent_buffer *sibling = NULL;
	/* What is on the path must outlive its place there. */
	_cleanup_eb_ struct extent_buffer *node = eb_get(path->nodes[level]);
	int own = path->slots[level + 1], rc;

	if (!sibling_fits(path, level, slot))
		return 0;
	rc = path_cow_sibling(trans, path, level + 1, slot, &sibling);
	if (rc < 0 || !sibling)
		return rc;
	rc = slot < own ? path_join(trans, path, level, slot, sibling, node)
			: path_join(trans, path, level, own, node, sibling);
	return rc < 0 ? rc : 1;
}

int path_merge_thin(struct trans *trans, struct path *path, int level)
{
	const struct extent_buffer *node = path->nodes[level];
	int slot, rc;

	if (node == path->root->node || node_fill(node) > LEAF_DATA(node->fs->nodesize) / 4)
		return 0;
	slot = path->slots[level + 1];
	rc = path_try_join(trans, path, level, slot - 1);
	if (!rc)
		rc = path_try_join(trans, path, level, slot + 1);
	return MIN(rc, 0);
}

/* Nodes of the path from level @from down to @to leave the tree. */
static int path_free_nodes(struct trans *trans, struct path *path, int from, int to)
{
	for (int level = from; level >= to; level--) {
		int rc = tree_block_free(trans, path->root, path->nodes[level]);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The leaf held all that the tree had: it stays, empty, as the root. */
static int path_empty_tree(struct trans *trans, struct path *path)
{
	struct extent_buffer *leaf = path->nodes[0];
	struct root *root = path->root;
	int top = root->node->level, rc;

	leaf_remove_items(leaf->data, leaf->fs->nodesize, 0, node_nritems(leaf->data));
	path->slots[0] = 0;
	if (top == 0)
		return 0;
	rc = path_free_nodes(trans, path, top, 1);
	eb_put(root->node);
	root->node = eb_get(leaf);
	trans_mark_root_dirty(trans, root);
	for (int level = 1; level <= top; level++) {
		eb_put(path->nodes[level]);
		path->nodes[level] = NULL;
	}
	return rc;
}

int path_drop_leaf(struct trans *trans, struct path *path)
{
	int top = path->root->node->level, level = 1, rc;

	while (level <= top && node_nritems(path->nodes[level]->data) == 1)
		level++;
	if (level > top)
		return path_empty_tree(trans, path);
	path_remove_ptr(path, level, path->slots[level]);
	rc = path_free_nodes(trans, path, level - 1, 0);
	path_release(path);
	return rc;
}
