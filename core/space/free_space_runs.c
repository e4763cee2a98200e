/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_runs.c - a group's free space as one empty item (address, 199, length) a run.
 *
 * Invariant: runs are disjoint and do not touch. Relations: free_space_tree.c, which holds the group.
 * Takes the tree's lock inside each tree call only.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/free_space_form.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"

static struct key run_key(u64 start, u64 end)
{
	return KEY(start, BTRFS_FREE_SPACE_EXTENT_KEY, end - start);
}

/* Cuts [@start, @to) out of the run @key that @path stands at. */
static int cut_run(struct trans *trans, struct free_group *g, struct path *path, struct key key,
		   u64 start, u64 to)
{
	u64 key_end = key.objectid + key.offset;
	struct key head = run_key(key.objectid, start), tail = run_key(to, key_end);

	if (start > key.objectid)
		tree_set_key(trans, path, &head);
	else if (to < key_end)
		tree_set_key(trans, path, &tail);
	else {
		g->count--;
		return tree_delete(trans, path);
	}
	if (start == key.objectid || to == key_end)
		return 0;
	g->count++;
	path_release(path);
	return tree_insert(trans, g->fs->fst_root, &tail, NULL, 0);
}

int free_runs_take(struct trans *trans, struct free_group *g, u64 start, u64 end)
{
	/* One run holds it all unless another implementation left touching runs. */
	while (start < end) {
		_cleanup_path_ struct path path = {};
		struct key want = KEY(start, BTRFS_FREE_SPACE_EXTENT_KEY, UINT64_MAX), key;
		int r = tree_search_cow_prev(trans, g->fs->fst_root, &want, -1, &path);
		u64 to;

		if (r < 0 && r != -ENOENT)
			return r;
		if (r == -ENOENT)
			return free_space_bad(g, start, "allocated space was not free");
		key = path_key(&path);
		if (key.type != BTRFS_FREE_SPACE_EXTENT_KEY || key.objectid < g->start ||
		    key.objectid + key.offset <= start)
			return free_space_bad(g, start, "allocated space was not free");
		to = MIN(end, key.objectid + key.offset);
		r = cut_run(trans, g, &path, key, start, to);
		if (r < 0)
			return r;
		start = to;
	}
	return 0;
}

/* The run before and the run behind @start, if there are any in the group. */
struct neighbours {
	bool has_left, has_right;
	struct key left, right;
};

static int find_neighbours(const struct free_group *g, u64 start, struct neighbours *ret)
{
	struct key want = KEY(start, BTRFS_FREE_SPACE_EXTENT_KEY, UINT64_MAX);
	_cleanup_path_ struct path path = {};
	int r = tree_search_prev(g->fs->fst_root, &want, &path);

	*ret = (struct neighbours){0};
	if (r < 0)
		return r == -ENOENT ? free_space_bad(g, start, "no info item before a run") : r;
	ret->left = path_key(&path);
	ret->has_left = ret->left.type == BTRFS_FREE_SPACE_EXTENT_KEY &&
			ret->left.objectid >= g->start;
	r = tree_next(&path);
	if (r == 0) {
		ret->right = path_key(&path);
		ret->has_right = ret->right.type == BTRFS_FREE_SPACE_EXTENT_KEY &&
				 ret->right.objectid < g->end;
	}
	return MIN(r, 0);
}

static int rename_run(struct trans *trans, struct root *root, const struct key *from,
		      const struct key *to)
{
	_cleanup_path_ struct path path = {};
	int r = tree_search_cow(trans, root, from, 0, &path);

	if (r == 0)
		tree_set_key(trans, &path, to);
	return r == 1 ? -EUCLEAN : r;
}

int free_runs_give(struct trans *trans, struct free_group *g, u64 start, u64 end)
{
	struct root *root = g->fs->fst_root;
	struct neighbours n;
	struct key merged;
	bool left, right;
	int r = find_neighbours(g, start, &n);

	if (r < 0)
		return r;
	if ((n.has_left && n.left.objectid + n.left.offset > start) ||
	    (n.has_right && n.right.objectid < end))
		return free_space_bad(g, start, "freed space was free");
	left = n.has_left && n.left.objectid + n.left.offset == start;
	right = n.has_right && n.right.objectid == end;
	merged = run_key(left ? n.left.objectid : start,
			 right ? n.right.objectid + n.right.offset : end);
	g->count += 1 - (left ? 1 : 0) - (right ? 1 : 0);
	if (left && right)
		r = tree_delete_key(trans, root, &n.right);
	if (r < 0)
		return r;
	if (left || right)
		return rename_run(trans, root, left ? &n.left : &n.right, &merged);
	return tree_insert(trans, root, &merged, NULL, 0);
}

int free_runs_insert(struct trans *trans, const struct free_group *g,
		     const struct free_extents *runs)
{
	for (const struct free_extent *e = free_extents_at(runs, 0); e; e = free_extents_next(e)) {
		struct key key = run_key(e->start, e->start + e->len);
		int r = tree_insert(trans, g->fs->fst_root, &key, NULL, 0);

		if (r < 0)
			return r;
	}
	return 0;
}
