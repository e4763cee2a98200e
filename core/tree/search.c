/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * search.c - walking down and along a read-locked tree, see search.h.
 *
 * Every step under the lock uses cached nodes only; a miss unlocks, reads and starts over. A path
 * moves along the leaves by remembering the key that it must go beyond, never a place.
 */
#include <assert.h>

#include "core/fs.h"
#include "core/tree/tree_internal.h"
#include "disk/base/log.h"

int path_refuse_empty(const struct path *path, int level)
{
	const struct extent_buffer *eb = path->nodes[level];

	if (level == 0 || node_nritems(eb->data))
		return 0;
	log_fault("tree %llu: interior node %llu level %d: no pointers",
		  (unsigned long long)path->root->id, (unsigned long long)eb->logical, level);
	return -EUCLEAN;
}

/* Locks and walks down. 0 exact, 1 not, -EAGAIN with path->miss set. */
static int search_once(struct path *path, const struct key *key, u8 lowest)
{
	struct root *root = path->root;
	bool exact;
	int level, rc;

	rwlock_rdlock(&root->lock);
	path->lock = PATH_READ;
	level = root->node->level;
	path->nodes[level] = eb_get(root->node);
	path->lowest_level = (u8)MIN(level, (int)lowest);
	for (;; level--) {
		exact = node_find_slot(path->nodes[level]->data, key, &path->slots[level]);
		if (level == path->lowest_level)
			return !exact;
		rc = path_refuse_empty(path, level);
		if (!rc)
			rc = path_descend(path, level);
		if (rc < 0)
			return rc;
	}
}

/* search_once() until nothing is missing; keeps path->kept. */
static int search_again(struct path *path, const struct key *key, u8 lowest)
{
	int rc;

	for (;;) {
		rc = search_once(path, key, lowest);
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

int tree_find_level(struct root *root, const struct key *key, u8 level, struct path *path)
{
	path_release(path);
	if (!root) /* a rescue mount goes without this tree */
		return -EIO;
	path->root = root;
	path->want = *key;
	return search_again(path, key, level);
}

int tree_search(struct root *root, const struct key *key, struct path *path)
{
	return tree_find_level(root, key, 0, path);
}

int tree_search_next(struct root *root, const struct key *key, struct path *path)
{
	int rc = tree_search(root, key, path);

	if (rc <= 0 || !path_at_end(path))
		return rc;
	rc = tree_next(path);
	if (rc == 0)
		return 1;
	if (rc < 0)
		return rc;
	path_release(path);
	return -ENOENT;
}

int tree_search_prev(struct root *root, const struct key *key, struct path *path)
{
	int rc = tree_search(root, key, path);

	if (rc <= 0)
		return rc;
	rc = tree_prev(path);
	if (rc == 0)
		return 1;
	if (rc < 0)
		return rc;
	path_release(path);
	return -ENOENT;
}

/* From a level with another child on that side down to the nearest leaf. 1: there is none. */
static int path_step_leaf(struct path *path, int step)
{
	int level = 1, rc;

	assert(path->lock == PATH_READ); /* a write-locked path would get nodes that are not ours */
	for (; level < NODE_LEVEL_MAX && path->nodes[level]; level++) {
		int slot = path->slots[level] + step;

		if (slot >= 0 && slot < (int)node_nritems(path->nodes[level]->data))
			break;
	}
	if (level >= NODE_LEVEL_MAX || !path->nodes[level])
		return 1;
	path->slots[level] += step;
	for (; level > 0; level--) {
		rc = path_descend(path, level);
		if (!rc)
			rc = path_refuse_empty(path, level - 1);
		if (rc < 0)
			return rc;
		path->slots[level - 1] =
			step > 0 ? 0 : MAX((int)node_nritems(path->nodes[level - 1]->data) - 1, 0);
	}
	return 0;
}

/* After a failed step: 0 with the path searched for @key anew (slot at the first item >= it). */
static int path_resume(struct path *path, const struct key *key, int rc)
{
	if (rc == -EAGAIN && path->cached_only) {
		path_unlock(path);
		return -EAGAIN;
	}
	if (rc == -EAGAIN)
		rc = path_read_miss(path);
	if (rc < 0) {
		path_release(path);
		return rc;
	}
	rc = search_again(path, key, 0);
	return rc < 0 ? rc : 0;
}

/* The smallest key that the next item may have. */
static struct key path_beyond(const struct path *path)
{
	int n = path_nritems(path);
	struct key last;

	if (!n)
		return path->want;
	last = key_next(node_key(path->nodes[0]->data, (u32)n - 1));
	return key_cmp(&last, &path->want) < 0 ? path->want : last;
}

int tree_next(struct path *path)
{
	int rc;

	if (!path_at_end(path))
		path->slots[0]++;
	while (path_at_end(path)) {
		struct key beyond = path_beyond(path);

		rc = path_step_leaf(path, 1);
		if (rc == 1)
			return 1;
		if (rc < 0)
			rc = path_resume(path, &beyond, rc);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Moves to the item before; 1: none. */
static int path_step_back(struct path *path)
{
	int rc;

	while (path->slots[0] == 0) {
		struct key limit =
			path_nritems(path) ? node_key(path->nodes[0]->data, 0) : path->want;

		rc = path_step_leaf(path, -1);
		if (rc == 1)
			return 1;
		if (!rc && path_nritems(path))
			return 0;
		if (rc < 0)
			rc = path_resume(path, &limit, rc);
		if (rc < 0)
			return rc;
	}
	path->slots[0]--;
	return 0;
}

int tree_prev(struct path *path)
{
	int rc = path_step_back(path);

	if (!rc)
		path->want = path_key(path); /* tree_next may go on from here */
	return rc;
}

int tree_lookup(struct root *root, const struct key *key, void *buf, u32 size)
{
	_cleanup_path_ struct path path = {};
	int rc = tree_search(root, key, &path);

	if (rc < 0)
		return rc;
	if (rc)
		return -ENOENT;
	memcpy(buf, path_data(&path), MIN(size, path_size(&path)));
	return (int)path_size(&path);
}
