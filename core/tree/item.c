/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * item.c - item operations on write-locked paths, see item.h.
 *
 * Each operation leaves the tree complete: keys above are right, no leaf but a root is empty.
 * Where an operation fails the path is released, since the caller can only abort.
 */
#include "core/tree/item.h"

#include <assert.h>

#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/tree_internal.h"

static u8 *path_leaf(const struct path *path)
{
	assert(path->lock == PATH_WRITE && path->nodes[0]);
	return path->nodes[0]->data;
}

int tree_insert_here(struct trans *trans, struct path *path, const struct key *key, u32 size)
{
	int rc = path_make_room(trans, path, key, size, false);

	if (rc < 0) {
		path_release(path);
		return rc;
	}
	leaf_insert_item(path_leaf(path), trans->fs->nodesize, (u32)path->slots[0], key, size);
	if (path->slots[0] == 0)
		path_fix_low_key(path, 0);
	return 0;
}

int tree_insert_empty(struct trans *trans, struct root *root, const struct key *key, u32 size,
		      struct path *path)
{
	int rc = tree_search_cow(trans, root, key, (int)size, path);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return -EEXIST;
	return tree_insert_here(trans, path, key, size);
}

int tree_insert(struct trans *trans, struct root *root, const struct key *key, const void *data,
		u32 size)
{
	_cleanup_path_ struct path path = {};
	int rc = tree_insert_empty(trans, root, key, size, &path);

	if (rc < 0)
		return rc;
	if (size)
		memcpy(path_data(&path), data, size);
	return 0;
}

static int tree_resize_item(struct trans *trans, struct path *path, u32 size)
{
	if (size > path_size(path))
		return tree_extend_item(trans, path, size - path_size(path));
	tree_truncate_item(trans, path, size, false);
	return 0;
}

int tree_put(struct trans *trans, struct root *root, const struct key *key, const void *data,
	     u32 size)
{
	_cleanup_path_ struct path path = {};
	int rc = tree_insert_empty(trans, root, key, size, &path);

	if (rc == -EEXIST)
		rc = tree_resize_item(trans, &path, size);
	if (rc < 0)
		return rc;
	memcpy(path_data(&path), data, size);
	return 0;
}

int tree_delete_range_in_leaf(struct trans *trans, struct path *path, int count)
{
	u8 *leaf = path_leaf(path);

	assert(count >= 0 && path->slots[0] + count <= path_nritems(path));
	if (!count)
		return 0;
	if (count == path_nritems(path))
		return path_drop_leaf(trans, path);
	leaf_remove_items(leaf, trans->fs->nodesize, (u32)path->slots[0], (u32)count);
	if (path->slots[0] == 0)
		path_fix_low_key(path, 0);
	return 0;
}

int tree_delete(struct trans *trans, struct path *path)
{
	return tree_delete_range_in_leaf(trans, path, 1);
}

int tree_delete_all(struct trans *trans, struct root *root)
{
	struct key first = KEY_MIN;

	for (;;) {
		_cleanup_path_ struct path path = {};
		int r = tree_search_cow_next(trans, root, &first, -1, &path);

		if (r < 0)
			return r == -ENOENT ? 0 : r;
		r = tree_delete_range_in_leaf(trans, &path, (int)path_nritems(&path));
		if (r < 0)
			return r;
	}
}

int tree_delete_key(struct trans *trans, struct root *root, const struct key *key)
{
	_cleanup_path_ struct path path = {};
	int rc = tree_search_cow(trans, root, key, -1, &path);

	if (rc < 0)
		return rc;
	return rc ? -ENOENT : tree_delete(trans, &path);
}

int tree_extend_item(struct trans *trans, struct path *path, u32 delta)
{
	struct key key = path_key(path);
	int rc;

	assert(path->lock == PATH_WRITE && !path_at_end(path));
	rc = path_make_room(trans, path, &key, delta, true);
	if (rc < 0) {
		path_release(path);
		return rc;
	}
	leaf_grow_item(path_leaf(path), (u32)path->slots[0], delta);
	return 0;
}

void tree_truncate_item(struct trans *trans, struct path *path, u32 new_size, bool from_front)
{
	assert(new_size <= path_size(path));
	leaf_shrink_item(path_leaf(path), (u32)path->slots[0], new_size, from_front);
}

/* A copy of the item's data from @offset on, to be freed. */
static void *path_copy_data(const struct path *path, u32 offset)
{
	u32 size = path_size(path) - offset;
	void *copy = malloc(MAX(size, 1u));

	if (copy)
		memcpy(copy, (const u8 *)path_data(path) + offset, size);
	return copy;
}

static int tree_insert_behind(struct trans *trans, struct path *path, const struct key *key,
			      const void *data, u32 size)
{
	int rc;

	path->slots[0]++;
	rc = tree_insert_here(trans, path, key, size);
	if (rc < 0)
		return rc;
	memcpy(path_data(path), data, size);
	return 0;
}

int tree_split_item(struct trans *trans, struct path *path, const struct key *key, u32 offset)
{
	u32 size = path_size(path) - offset;
	_cleanup_free_ void *tail = path_copy_data(path, offset);

	if (!tail) {
		path_release(path);
		return -ENOMEM;
	}
	tree_truncate_item(trans, path, offset, false);
	return tree_insert_behind(trans, path, key, tail, size);
}

int tree_duplicate_item(struct trans *trans, struct path *path, const struct key *key)
{
	u32 size = path_size(path);
	_cleanup_free_ void *data = path_copy_data(path, 0);

	if (!data) {
		path_release(path);
		return -ENOMEM;
	}
	return tree_insert_behind(trans, path, key, data, size);
}

void tree_set_key(struct trans *trans, struct path *path, const struct key *key)
{
	u8 *leaf = path_leaf(path);
	u32 slot = (u32)path->slots[0];

	if (slot > 0) {
		struct key before = node_key(leaf, slot - 1);

		assert(key_cmp(&before, key) < 0);
	}
	if (slot + 1 < node_nritems(leaf)) {
		struct key after = node_key(leaf, slot + 1);

		assert(key_cmp(key, &after) < 0);
	}
	node_set_key(leaf, slot, key);
	if (slot == 0)
		path_fix_low_key(path, 0);
}
