/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_tree.c - reading a group's free space, and the two forms behind one interface.
 *
 * Invariants: extent_count is the number of free runs in the whole group; runs of the extent form
 * never touch (they are merged when one is added); a group in bitmap form has every bitmap.
 * The tree is changed by the commit or an exclusive section alone; each function leaves it unlocked.
 * The forms are in free_space_extents.c and free_space_maps.c.
 */
#include "core/space/free_space_tree.h"

#include <errno.h>

#include "core/fs.h"
#include "core/space/free_space_bitmap.h"
#include "core/space/free_space_form.h"
#include "core/space/free_space_scan.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"

int free_space_bad(const struct free_group *g, u64 logical, const char *what)
{
	log_fault("free-space tree: group %llu: at %llu: %s", (unsigned long long)g->start,
		  (unsigned long long)logical, what);
	return -EUCLEAN;
}

static struct key info_key(const struct free_group *g)
{
	return KEY(g->start, BTRFS_FREE_SPACE_INFO_KEY, g->end - g->start);
}

/* Fills in count and form from the group's info item. */
static int info_read(struct free_group *g)
{
	struct btrfs_free_space_info info;
	struct key key = info_key(g);
	int r = tree_lookup(g->fs->fst_root, &key, &info, sizeof(info));

	if (r == -ENOENT)
		return free_space_bad(g, g->start, "no free space info item");
	if (r < 0)
		return r;
	if (r != (int)sizeof(info))
		return free_space_bad(g, g->start, "free space info item of a wrong size");
	g->count = get_le32(&info.extent_count);
	g->bitmaps = get_le32(&info.flags) & BTRFS_FREE_SPACE_USING_BITMAPS;
	return 0;
}

static int info_write(struct trans *trans, const struct free_group *g)
{
	struct btrfs_free_space_info info;
	struct key key = info_key(g);

	put_le32(&info.extent_count, (u32)g->count);
	put_le32(&info.flags, g->bitmaps ? BTRFS_FREE_SPACE_USING_BITMAPS : 0);
	return tree_put(trans, g->fs->fst_root, &key, &info, sizeof(info));
}

static int free_group_open(struct free_group *g, struct fs *fs, u64 group, u64 length)
{
	*g = (struct free_group){.fs = fs, .start = group, .end = group + length};
	return info_read(g);
}

/* Adds the runs of one bitmap item. */
static int read_bitmap(const struct free_group *g, const struct path *path, const struct key *key,
		       struct free_extents *ret)
{
	u32 sector = g->fs->sectorsize;
	u32 bits = (u32)(key->offset / sector), to;
	const u8 *map = path_data(path);

	if (path_size(path) != free_bitmap_size(key->offset, sector))
		return free_space_bad(g, key->objectid, "bitmap of a wrong size");
	for (u32 from = free_bitmap_find(map, 0, bits, true); from < bits;
	     from = free_bitmap_find(map, to, bits, true)) {
		int r;

		to = free_bitmap_find(map, from, bits, false);
		r = free_extents_add(ret, key->objectid + (u64)from * sector,
				     (u64)(to - from) * sector);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_item(const struct free_group *g, const struct path *path, struct free_extents *ret,
		     u64 *runs)
{
	struct key key = path_key(path);
	u8 form = g->bitmaps ? BTRFS_FREE_SPACE_BITMAP_KEY : BTRFS_FREE_SPACE_EXTENT_KEY;
	int r;

	if (key.objectid < g->start || key.offset > g->end - key.objectid)
		return free_space_bad(g, key.objectid, "item reaches out of its group");
	if (key.type != form)
		return free_space_bad(g, key.objectid, "item of a wrong type");
	if (g->bitmaps) {
		r = read_bitmap(g, path, &key, ret);
	} else {
		r = free_extents_add(ret, key.objectid, key.offset);
		(*runs)++;
	}
	return r == -EEXIST ? free_space_bad(g, key.objectid, "free runs overlap") : r;
}

static int read_items(const struct free_group *g, struct free_extents *ret)
{
	struct key key = KEY(g->start, BTRFS_FREE_SPACE_EXTENT_KEY, 0);
	_cleanup_path_ struct path path = {};
	u64 runs = 0;
	int r = tree_search_next(g->fs->fst_root, &key, &path);

	/* 0 and 1 both are "at an item" here; tree_next says 1 for "none". */
	for (r = r == -ENOENT ? 1 : MIN(r, 0); r == 0; r = tree_next(&path)) {
		if (path_key(&path).objectid >= g->end)
			break;
		r = read_item(g, &path, ret, &runs);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (g->bitmaps)
		runs = ret->count;
	if ((s64)runs != g->count)
		return free_space_bad(g, g->start, "number of free runs is not what the info says");
	return 0;
}

int free_space_tree_read(struct fs *fs, u64 group, u64 length, struct free_extents *ret)
{
	struct free_group g;
	int r = free_group_open(&g, fs, group, length);

	if (r == 0)
		r = read_items(&g, ret);
	if (r < 0)
		free_extents_clear(ret);
	return r;
}

int free_space_tree_create(struct trans *trans, u64 group, u64 length)
{
	struct free_group g = {.fs = trans->fs, .start = group, .end = group + length, .count = 1};
	struct key key = KEY(group, BTRFS_FREE_SPACE_EXTENT_KEY, length);
	int r = info_write(trans, &g);

	return r < 0 ? r : tree_insert(trans, g.fs->fst_root, &key, NULL, 0);
}

/* Deletes the items of the group from @type on. */
static int delete_items(struct trans *trans, const struct free_group *g, u8 type)
{
	struct root *root = g->fs->fst_root;
	struct key key = KEY(g->start, type, 0);

	for (;;) {
		_cleanup_path_ struct path path = {};
		int count = 0, r = tree_search_cow_next(trans, root, &key, -1, &path);

		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return r;
		while (path.slots[0] + count < path_nritems(&path) &&
		       node_key(path_node_data(&path), path.slots[0] + count).objectid < g->end)
			count++;
		if (count == 0)
			return 0;
		r = tree_delete_range_in_leaf(trans, &path, count);
		if (r < 0)
			return r;
	}
}

int free_space_tree_delete(struct trans *trans, u64 group, u64 length)
{
	struct free_group g = {.fs = trans->fs, .start = group, .end = group + length};

	return delete_items(trans, &g, BTRFS_FREE_SPACE_INFO_KEY);
}

/* Rewrites the group in the other form. */
static int convert(struct trans *trans, struct free_group *g)
{
	struct free_extents runs;
	int r;

	free_extents_init(&runs);
	r = read_items(g, &runs);
	if (r == 0)
		r = delete_items(trans, g, BTRFS_FREE_SPACE_EXTENT_KEY);
	g->bitmaps = !g->bitmaps;
	g->count = (s64)runs.count;
	if (r == 0)
		r = g->bitmaps ? free_maps_insert(trans, g, &runs) :
				 free_runs_insert(trans, g, &runs);
	free_extents_clear(&runs);
	return r;
}

static int convert_if_due(struct trans *trans, struct free_group *g)
{
	struct free_thresholds t = free_space_thresholds(g->end - g->start, g->fs->sectorsize);

	if (g->bitmaps ? g->count >= (s64)t.low : g->count <= (s64)t.high)
		return 0;
	return convert(trans, g);
}

static int apply(struct trans *trans, struct free_group *g, const struct free_extents *set,
		 int (*change)(struct trans *trans, struct free_group *g, u64 start, u64 end))
{
	for (const struct free_extent *e = free_extents_at(set, 0); e; e = free_extents_next(e)) {
		int r = change(trans, g, e->start, e->start + e->len);

		if (r < 0)
			return r;
	}
	return 0;
}

int free_space_tree_update(struct trans *trans, u64 group, u64 length,
			   const struct free_extents *take, const struct free_extents *give)
{
	struct free_group g, before;
	int r = free_group_open(&g, trans->fs, group, length);

	if (r < 0)
		return r;
	before = g;
	r = apply(trans, &g, take, g.bitmaps ? free_maps_take : free_runs_take);
	if (r == 0)
		r = apply(trans, &g, give, g.bitmaps ? free_maps_give : free_runs_give);
	if (r == 0)
		r = convert_if_due(trans, &g);
	if (r < 0)
		return r;
	if (g.count == before.count && g.bitmaps == before.bitmaps)
		return 0;
	return info_write(trans, &g);
}

int free_space_tree_fill(struct trans *trans, u64 group, u64 length)
{
	struct free_group g = {.fs = trans->fs, .start = group, .end = group + length};
	struct free_extents runs;
	int r;

	free_extents_init(&runs);
	r = free_space_scan(trans->fs, group, length, &runs);
	if (r == 0)
		r = delete_items(trans, &g, BTRFS_FREE_SPACE_INFO_KEY);
	g.count = (s64)runs.count;
	if (r == 0)
		r = free_runs_insert(trans, &g, &runs);
	if (r == 0)
		r = convert_if_due(trans, &g);
	if (r == 0)
		r = info_write(trans, &g);
	free_extents_clear(&runs);
	return r;
}
