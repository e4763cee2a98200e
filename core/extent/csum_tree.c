/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csum_tree.c - looking up, storing and deleting data checksums.
 *
 * Invariants: items do not overlap, hold at least one sector and at most csum_item_max_sectors().
 * An item ends where the next begins or before. Writers store disjoint ranges at once: each decides
 * between extending the neighbour and a new item under the tree's write lock.
 */
#include "core/extent/csum_tree.h"

#include "core/extent/csum_item.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"

static struct key csum_key(u64 logical)
{
	return KEY(BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, logical);
}

static bool is_csum(const struct key *key)
{
	return key->objectid == BTRFS_EXTENT_CSUM_OBJECTID && key->type == BTRFS_EXTENT_CSUM_KEY;
}

static u64 item_end(const struct fs *fs, u64 start, u32 size)
{
	return start + (u64)(size / fs->csum_size) * fs->sectorsize;
}

/* The overlap of one item with the range: its sectors. */
static u32 copy_out(const struct fs *fs, const struct path *path, u64 start, u64 logical, u64 end,
		    u8 *csums, bool *present)
{
	u64 from = MAX(start, logical);
	u64 to = MIN(item_end(fs, start, path_size(path)), end);
	u32 count, index;

	if (to <= from)
		return 0;
	count = (u32)((to - from) / fs->sectorsize);
	index = (u32)((from - logical) / fs->sectorsize);
	if (csums)
		memcpy(csums + (size_t)index * fs->csum_size,
		       (const u8 *)path_data(path) +
			       (from - start) / fs->sectorsize * fs->csum_size,
		       (size_t)count * fs->csum_size);
	if (present)
		memset(present + index, true, count * sizeof(*present));
	return count;
}

/* Read-locked at the item that covers @logical or at the next one: 0, 1 none, <0. */
static int search_covering(struct fs *fs, struct root *root, u64 logical, struct path *path)
{
	struct key key = csum_key(logical);
	int r = tree_search(root, &key, path);

	/* What precedes an insertion point is in the same leaf, unless it is the tree's start. */
	if (r == 1 && path->slots[0] > 0) {
		path->slots[0]--;
		key = path_key(path);
		if (is_csum(&key) && item_end(fs, key.offset, path_size(path)) > logical)
			return 0;
		path->slots[0]++;
	}
	if (r == 1)
		r = path_at_end(path) ? tree_next(path) : 0;
	return r;
}

static int walk(struct fs *fs, struct root *root, u64 logical, u64 len, bool any, u8 *csums,
		bool *present)
{
	_cleanup_path_ struct path path = {};
	u64 end = logical + len;
	u32 found = 0;
	int r;

	for (r = search_covering(fs, root, logical, &path); !r; r = tree_next(&path)) {
		struct key key = path_key(&path);

		if (!is_csum(&key) || key.offset >= end)
			break;
		found += copy_out(fs, &path, key.offset, logical, end, csums, present);
		if (any && found)
			break;
	}
	return r < 0 ? r : (int)found;
}

int csum_lookup(struct fs *fs, u64 logical, u64 len, u8 *csums, bool *present)
{
	return csum_lookup_in(fs, fs->csum_root, logical, len, csums, present);
}

int csum_lookup_in(struct fs *fs, struct root *root, u64 logical, u64 len, u8 *csums, bool *present)
{
	if (present)
		memset(present, false, len / fs->sectorsize * sizeof(*present));
	return walk(fs, root, logical, len, false, csums, present);
}

int csum_any(struct fs *fs, u64 logical, u64 len)
{
	int r = walk(fs, fs->csum_root, logical, len, true, NULL, NULL);

	return r > 0 ? 1 : r;
}

/* The key that follows a slot of a locked path, in this leaf or as a parent knows it. */
static bool next_key(const struct path *path, int slot, struct key *ret)
{
	if (slot < path_nritems(path)) {
		*ret = node_key(path->nodes[0]->data, (u32)slot);
		return true;
	}
	for (int level = 1; level < NODE_LEVEL_MAX && path->nodes[level]; level++) {
		const void *node = path->nodes[level]->data;
		u32 next = (u32)path->slots[level] + 1;

		if (next < node_nritems(node)) {
			*ret = node_key(node, next);
			return true;
		}
	}
	return false;
}

/* Sectors from @logical to the next item. */
static u64 gap_sectors(const struct fs *fs, const struct path *path, u64 logical)
{
	struct key next;

	if (!next_key(path, path->slots[0], &next) || !is_csum(&next))
		return UINT64_MAX;
	return (next.offset - logical) / fs->sectorsize;
}

/* The item at the path covers @logical: replaces what it holds. */
static u64 overwrite(struct fs *fs, struct path *path, u64 logical, u64 sectors, const u8 *csums)
{
	u64 start = path_key(path).offset;
	u64 index = (logical - start) / fs->sectorsize;
	u64 count = MIN(path_size(path) / fs->csum_size - index, sectors);

	memcpy((u8 *)path_data(path) + index * fs->csum_size, csums, count * fs->csum_size);
	return count;
}

/* How many of @sectors the item that ends at @logical can take: bounded by the next item, the
 * size of an item, and the leaf's free space, so that appending fills leaves without splits. */
static u64 extend_sectors(const struct fs *fs, const struct path *path, u64 sectors)
{
	u32 max = csum_item_max_sectors(fs->nodesize, fs->csum_size);
	u32 have = path_size(path) / fs->csum_size;
	u64 free = leaf_free_space(path->nodes[0]->data, fs->nodesize) / fs->csum_size;

	if (have >= max)
		return 0;
	sectors = MIN(sectors, free);
	return MIN(sectors, (u64)(max - have));
}

/* Tries the item before the insertion slot: *done sectors went into it, perhaps none. */
static int store_in_previous(struct trans *trans, struct path *path, u64 logical, u64 sectors,
			     const u8 *csums, u64 *done)
{
	struct fs *fs = trans->fs;
	struct key prev = path_key(path);
	u32 size = path_size(path);
	u64 end = item_end(fs, prev.offset, size);
	u32 add;
	int r;

	*done = 0;
	if (!is_csum(&prev) || end < logical)
		return 0;
	if (end > logical) {
		*done = overwrite(fs, path, logical, sectors, csums);
		return 0;
	}
	*done = extend_sectors(fs, path, sectors);
	if (!*done)
		return 0;
	add = (u32)*done * fs->csum_size;
	r = tree_extend_item(trans, path, add);
	if (!r)
		memcpy((u8 *)path_data(path) + size, csums, add);
	return r;
}

/* Path write-locked at the insertion slot of @logical: stores *done > 0 sectors. */
static int store(struct trans *trans, struct path *path, u64 logical, u64 sectors, const u8 *csums,
		 u64 *done)
{
	struct fs *fs = trans->fs;
	struct key key = csum_key(logical);
	u64 gap = gap_sectors(fs, path, logical);
	int r;

	sectors = MIN(sectors, gap);
	if (path->slots[0] > 0) {
		path->slots[0]--;
		r = store_in_previous(trans, path, logical, sectors, csums, done);
		if (r || *done)
			return r;
		path->slots[0]++;
	}
	*done = MIN(sectors, (u64)csum_item_max_sectors(fs->nodesize, fs->csum_size));
	r = tree_insert_here(trans, path, &key, (u32)(*done * fs->csum_size));
	if (!r)
		memcpy(path_data(path), csums, *done * fs->csum_size);
	return r;
}

int csum_insert(struct trans *trans, u64 logical, u64 len, const u8 *csums)
{
	return csum_insert_in(trans, trans->fs->csum_root, logical, len, csums);
}

int csum_insert_in(struct trans *trans, struct root *root, u64 logical, u64 len, const u8 *csums)
{
	struct fs *fs = trans->fs;
	u64 sectors = len / fs->sectorsize;

	while (sectors) {
		_cleanup_path_ struct path path = {};
		struct key key = csum_key(logical);
		u64 done = 0;
		int r = tree_search_cow(trans, root, &key, 0, &path);

		if (r < 0)
			return r;
		if (!r)
			done = overwrite(fs, &path, logical, sectors, csums);
		else
			r = store(trans, &path, logical, sectors, csums, &done);
		if (r < 0)
			return r;
		sectors -= done;
		logical += done * fs->sectorsize;
		csums += done * fs->csum_size;
	}
	return 0;
}

/* The last item that begins before @end reaches behind @start: 1 and its cut, 0 none, <0. */
static int find_cut(struct fs *fs, u64 start, u64 end, enum csum_cut *cut)
{
	_cleanup_path_ struct path path = {};
	struct key key = csum_key(end - 1);
	int r = tree_search_prev(fs->csum_root, &key, &path);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	key = path_key(&path);
	if (!is_csum(&key))
		return 0;
	*cut = csum_cut(key.offset, item_end(fs, key.offset, path_size(&path)), start, end);
	return *cut != CSUM_CUT_NONE;
}

static u32 bytes_between(const struct fs *fs, u64 from, u64 to)
{
	return (u32)((to - from) / fs->sectorsize * fs->csum_size);
}

/* The item at the path loses what lies before @end. */
static void cut_head(struct trans *trans, struct path *path, u64 stop, u64 end)
{
	struct key key = csum_key(end);

	tree_truncate_item(trans, path, bytes_between(trans->fs, end, stop), true);
	tree_set_key(trans, path, &key);
}

static int apply_cut(struct trans *trans, struct path *path, u64 start, u64 end, enum csum_cut cut)
{
	struct fs *fs = trans->fs;
	u64 item_start = path_key(path).offset;
	u64 stop = item_end(fs, item_start, path_size(path));
	u32 before = start > item_start ? bytes_between(fs, item_start, start) : 0;
	struct key key = csum_key(start);
	int r = 0;

	if (cut == CSUM_CUT_ALL)
		return tree_delete(trans, path);
	if (cut == CSUM_CUT_MIDDLE)
		r = tree_split_item(trans, path, &key, before); /* then at the second half */
	if (r)
		return r;
	if (cut == CSUM_CUT_TAIL)
		tree_truncate_item(trans, path, before, false);
	else
		cut_head(trans, path, stop, end);
	return 0;
}

int csum_delete(struct trans *trans, u64 logical, u64 len)
{
	u64 end = logical + len;
	enum csum_cut cut = CSUM_CUT_NONE;
	int r;

	while ((r = find_cut(trans->fs, logical, end, &cut)) > 0) {
		_cleanup_path_ struct path path = {};
		struct key key = csum_key(end - 1);

		r = tree_search_cow_prev(trans, trans->fs->csum_root, &key,
					 cut == CSUM_CUT_ALL ? -1 : 0, &path);
		if (r < 0)
			return r;
		/* Decided again under this lock: a writer may have extended the item meanwhile. */
		key = path_key(&path);
		cut = csum_cut(key.offset, item_end(trans->fs, key.offset, path_size(&path)),
			       logical, end);
		if (cut == CSUM_CUT_NONE)
			return 0;
		r = apply_cut(trans, &path, logical, end, cut);
		if (r)
			return r;
	}
	return r;
}
