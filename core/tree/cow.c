/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cow.c - searches that make their path writable, see item.h.
 *
 * The rule: a node is changed in place only if this transaction made it, nobody has
 * submitted it for writing, it has no RELOC flag and its root is not force-cow; otherwise it is
 * copied, parents first, so that the parent that gets the new pointer is always writable. Whether
 * a copy leaves a shared node behind is decided by tree_block_cow(), which may need a node of the
 * extent tree: then everything is released, the node read, and the search begun again. Nodes that
 * were copied before stay copied, so each round gets further.
 */
#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/tree_internal.h"

struct cow_search {
	struct trans *trans;
	const struct key *key;
	int ins_len;
	u8 lowest;
	bool force; /* copy the lowest node in any case, if it is the one at @logical (0: any) */
	u64 logical;
};

static bool node_is_writable(const struct trans *trans, const struct root *root,
			     const struct extent_buffer *eb)
{
	return eb->generation == trans->transid && !eb_test(eb, EB_WRITTEN) &&
	       !(node_flags(eb->data) & BTRFS_HEADER_FLAG_RELOC) &&
	       root->force_cow_transid != trans->transid;
}

static void parent_set_child(struct extent_buffer *parent, int slot,
			     const struct extent_buffer *child)
{
	struct key key = node_key(parent->data, (u32)slot);

	node_set_ptr(parent->data, (u32)slot, &key, child->logical, child->generation);
}

static int path_copy(struct trans *trans, struct path *path, int level)
{
	struct extent_buffer *old = path->nodes[level], *copy;
	struct root *root = path->root;
	int rc = tree_block_cow(trans, root, old, &copy, &path->miss);

	if (rc < 0)
		return rc;
	if (old == root->node) {
		root->node = eb_get(copy);
		eb_put(old);
		trans_mark_root_dirty(trans, root);
	} else {
		parent_set_child(path->nodes[level + 1], path->slots[level + 1], copy);
	}
	path->nodes[level] = copy;
	eb_put(old);
	return 0;
}

int path_cow(struct trans *trans, struct path *path, int level)
{
	if (node_is_writable(trans, path->root, path->nodes[level]))
		return 0;
	return path_copy(trans, path, level);
}

int path_cow_sibling(struct trans *trans, struct path *path, int level, int slot,
		     struct extent_buffer **ret)
{
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	struct tree_miss miss = {};
	struct extent_buffer *copy;
	int rc = path_child_at(path, level, slot, &eb);

	*ret = NULL;
	if (rc < 0)
		return rc == -EAGAIN ? 0 : rc;
	if (node_is_writable(trans, path->root, eb)) {
		*ret = TAKE(eb);
		return 0;
	}
	rc = tree_block_cow(trans, path->root, eb, &copy, &miss);
	tree_miss_drop(&miss);
	if (rc < 0)
		return rc == -EAGAIN ? 0 : rc;
	parent_set_child(path->nodes[level], slot, copy);
	*ret = copy;
	return 0;
}

static int cow_forced(const struct cow_search *cow, struct path *path, int level)
{
	if (level != cow->lowest || (cow->logical && path->nodes[level]->logical != cow->logical))
		return -ENOENT;
	return path_copy(cow->trans, path, level);
}

/* path->nodes[level] has just been reached: writable, well filled, and not the only child of the
 * root. */
static int cow_prepare(const struct cow_search *cow, struct path *path, int level)
{
	const struct extent_buffer *top;
	int rc;

	if (cow->force && level <= cow->lowest)
		return cow_forced(cow, path, level);
	rc = path_cow(cow->trans, path, level);
	if (rc < 0)
		return rc;
	top = path->root->node;
	if (level + 1 == top->level && node_nritems(top->data) == 1)
		return path_collapse_root(cow->trans, path);
	return cow->ins_len < 0 ? path_merge_thin(cow->trans, path, level) : 0;
}

static int cow_once(const struct cow_search *cow, struct path *path)
{
	struct root *root = path->root;
	bool exact;
	int level, rc;

	rwlock_wrlock(&root->lock);
	path->lock = PATH_WRITE;
	level = root->node->level;
	path->nodes[level] = eb_get(root->node);
	path->lowest_level = (u8)MIN(level, (int)cow->lowest);
	for (;; level--) {
		rc = cow_prepare(cow, path, level);
		if (rc < 0)
			return rc;
		exact = node_find_slot(path->nodes[level]->data, cow->key, &path->slots[level]);
		if (level <= path->lowest_level)
			return !exact;
		rc = path_refuse_empty(path, level);
		if (!rc)
			rc = path_descend(path, level);
		if (rc < 0)
			return rc;
	}
}

static int cow_search(const struct cow_search *cow, struct path *path)
{
	int rc;

	for (;;) {
		rc = cow_once(cow, path);
		if (rc >= 0)
			return rc;
		if (rc != -EAGAIN)
			break;
		if (path->cached_only) {
			path_unlock(path);
			return -EAGAIN;
		}
		rc = path_read_miss(path);
		if (rc < 0)
			break;
	}
	path_release(path);
	return rc;
}

int tree_search_cow(struct trans *trans, struct root *root, const struct key *key, int ins_len,
		    struct path *path)
{
	struct cow_search cow = {.trans = trans, .key = key, .ins_len = ins_len};

	path_release(path);
	path->root = root;
	path->want = *key;
	return cow_search(&cow, path);
}

int tree_cow_node(struct trans *trans, struct root *root, const struct key *key, u8 level,
		  u64 logical)
{
	_cleanup_path_ struct path path = {.root = root};
	struct cow_search cow = {
		.trans = trans, .key = key, .lowest = level, .force = true, .logical = logical};
	int rc = cow_search(&cow, &path);

	if (rc == -ENOENT)
		return 1;
	return MIN(rc, 0);
}

int tree_search_cow_next(struct trans *trans, struct root *root, const struct key *key, int ins_len,
			 struct path *path)
{
	int rc = tree_search_cow(trans, root, key, ins_len, path);

	if (rc <= 0 || !path_at_end(path))
		return rc;
	rc = tree_next_cow(trans, path, ins_len);
	if (rc < 0)
		return rc;
	return rc ? -ENOENT : 1;
}

int tree_search_cow_prev(struct trans *trans, struct root *root, const struct key *key, int ins_len,
			 struct path *path)
{
	int rc = tree_search_cow(trans, root, key, ins_len, path);

	if (rc <= 0)
		return rc;
	/* A separator is its child's first key, so slot 0 means: before everything. */
	if (path->slots[0] == 0) {
		path_release(path);
		return -ENOENT;
	}
	path->slots[0]--;
	return 1;
}

static bool path_next_leaf_key(const struct path *path, struct key *ret)
{
	for (int level = 1; level < NODE_LEVEL_MAX && path->nodes[level]; level++) {
		const void *node = path->nodes[level]->data;
		u32 slot = (u32)path->slots[level] + 1;

		if (slot < node_nritems(node)) {
			*ret = node_key(node, slot);
			return true;
		}
	}
	return false;
}

int tree_next_cow(struct trans *trans, struct path *path, int ins_len)
{
	struct root *root = path->root;
	struct key key;
	int rc;

	if (!path_at_end(path))
		path->slots[0]++;
	while (path_at_end(path)) {
		if (!path_next_leaf_key(path, &key)) {
			path_release(path);
			return 1;
		}
		rc = tree_search_cow(trans, root, &key, ins_len, path);
		if (rc < 0)
			return rc;
	}
	return 0;
}
