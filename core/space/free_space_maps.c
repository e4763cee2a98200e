/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_maps.c - a group's free space as bitmaps (address, 200, length).
 *
 * Invariant: the bitmaps cover the group without gap. Relations: free_space_tree.c, which holds the
 * group. Takes the tree's lock inside each tree call only.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/free_space_bitmap.h"
#include "core/space/free_space_form.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"

/* A bitmap item found for an address. */
struct map_at {
	struct key key;
	u8 *bits;
	u32 bit;   /* of the address */
	u32 nbits;
};

static int map_here(const struct free_group *g, struct path *path, u64 logical, struct map_at *ret)
{
	u32 sector = g->fs->sectorsize;

	ret->key = path_key(path);
	if (ret->key.type != BTRFS_FREE_SPACE_BITMAP_KEY || ret->key.objectid < g->start ||
	    logical - ret->key.objectid >= ret->key.offset ||
	    path_size(path) != free_bitmap_size(ret->key.offset, sector))
		return free_space_bad(g, logical, "no bitmap covers it");
	ret->bits = path_data(path);
	ret->bit = (u32)((logical - ret->key.objectid) / sector);
	ret->nbits = (u32)(ret->key.offset / sector);
	return 0;
}

/* 1 if the sector at @logical is free, 0 if it is not or lies outside the group. */
static int sector_free(const struct free_group *g, u64 logical)
{
	struct key want = KEY(logical, BTRFS_FREE_SPACE_BITMAP_KEY, UINT64_MAX);
	_cleanup_path_ struct path path = {};
	struct map_at map;
	int r;

	if (logical < g->start || logical >= g->end)
		return 0;
	r = tree_search_prev(g->fs->fst_root, &want, &path);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT)
		return free_space_bad(g, logical, "no bitmap covers it");
	r = map_here(g, &path, logical, &map);
	return r < 0 ? r : free_bitmap_test(map.bits, map.bit);
}

/* Flips the bits of [@start, @end), all of which were !@set. */
static int flip(struct trans *trans, const struct free_group *g, u64 start, u64 end, bool set)
{
	u32 sector = g->fs->sectorsize;

	while (start < end) {
		struct key want = KEY(start, BTRFS_FREE_SPACE_BITMAP_KEY, UINT64_MAX);
		_cleanup_path_ struct path path = {};
		struct map_at map;
		u32 to;
		int r = tree_search_cow_prev(trans, g->fs->fst_root, &want, 0, &path);

		if (r == -ENOENT)
			return free_space_bad(g, start, "no bitmap covers it");
		if (r >= 0)
			r = map_here(g, &path, start, &map);
		if (r < 0)
			return r;
		to = (u32)MIN((u64)map.nbits, map.bit + (end - start) / sector);
		if (!free_bitmap_all(map.bits, map.bit, to, !set))
			return free_space_bad(g, start, set ? "freed space was free" :
							      "allocated space was not free");
		free_bitmap_fill(map.bits, map.bit, to, set);
		start = map.key.objectid + (u64)to * sector;
	}
	return 0;
}

/* Runs around [@start, @end): 0, 1 or 2. */
static int runs_beside(const struct free_group *g, u64 start, u64 end)
{
	int left = sector_free(g, start - g->fs->sectorsize);
	int right = left < 0 ? left : sector_free(g, end);

	return right < 0 ? right : left + right;
}

int free_maps_take(struct trans *trans, struct free_group *g, u64 start, u64 end)
{
	int beside = runs_beside(g, start, end);

	if (beside < 0)
		return beside;
	g->count += beside - 1;
	return flip(trans, g, start, end, false);
}

int free_maps_give(struct trans *trans, struct free_group *g, u64 start, u64 end)
{
	int beside = runs_beside(g, start, end);

	if (beside < 0)
		return beside;
	g->count += 1 - beside;
	return flip(trans, g, start, end, true);
}

/* Sets the bits of @runs that lie in the bitmap of [@start, @end). */
static void fill_from(u8 *bits, const struct free_extents *runs, u64 start, u64 end, u32 sector)
{
	const struct free_extent *e = free_extents_at(runs, start);

	for (; e && e->start < end; e = free_extents_next(e)) {
		u64 from = MAX(e->start, start), to = MIN(e->start + e->len, end);

		free_bitmap_fill(bits, (u32)((from - start) / sector), (u32)((to - start) / sector),
				 true);
	}
}

int free_maps_insert(struct trans *trans, const struct free_group *g,
		     const struct free_extents *runs)
{
	u32 sector = g->fs->sectorsize;
	u64 span = (u64)sector * FREE_BITMAP_BITS;

	for (u64 start = g->start; start < g->end; start += span) {
		u64 end = MIN(start + span, g->end);
		struct key key = KEY(start, BTRFS_FREE_SPACE_BITMAP_KEY, end - start);
		u8 bits[FREE_BITMAP_BYTES] = {0};
		int r;

		fill_from(bits, runs, start, end, sector);
		r = tree_insert(trans, g->fs->fst_root, &key, bits,
				free_bitmap_size(end - start, sector));
		if (r < 0)
			return r;
	}
	return 0;
}
