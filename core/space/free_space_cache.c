/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_cache.c - see free_space_cache.h.
 *
 * A cache is a header item (FREE_SPACE -11, 0, group) in the root tree that names an inode there, which
 * has an INODE_ITEM and data extents of its own. The inode goes first, its last items with the header,
 * so that a crash in between leaves something that can be found and deleted again.
 */
#include "core/space/free_space_cache.h"

#include <errno.h>

#include "core/extent/extent_alloc.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/root.h"
#include "disk/base/log.h"

#define STEP_ITEMS 32u /* changed per join */

/* The first header of group @from or behind, and its inode; -ENOENT if there is none. */
static int next_cache(struct fs *fs, u64 from, struct key *header, u64 *ino)
{
	struct key key = { BTRFS_FREE_SPACE_OBJECTID, 0, from };
	_cleanup_path_ struct path path = {};
	const struct btrfs_free_space_header *item;
	int r = tree_search_next(fs->tree_root, &key, &path);

	if (r < 0)
		return r;
	*header = path_key(&path);
	if (header->objectid != BTRFS_FREE_SPACE_OBJECTID || header->type != 0)
		return -ENOENT;
	if (path_size(&path) < sizeof(*item)) {
		log_fault("root tree: free-space cache header of a wrong size");
		return -EUCLEAN;
	}
	item = path_data(&path);
	key = key_from_disk(&item->location);
	*ino = key.type == BTRFS_INODE_ITEM_KEY ? key.objectid : 0;
	return 0;
}

/* Drops the reference that the item at @path stands for. */
static int drop_extent(struct trans *trans, struct path *path, const struct key *key)
{
	const struct btrfs_file_extent_item *fi = path_data(path);
	u64 bytenr, len, start;

	if (key->type != BTRFS_EXTENT_DATA_KEY || path_size(path) < sizeof(*fi) ||
	    fi->type == BTRFS_FILE_EXTENT_INLINE)
		return 0;
	bytenr = get_le64(&fi->disk_bytenr);
	len = get_le64(&fi->disk_num_bytes);
	start = key->offset - get_le64(&fi->offset);
	if (bytenr == 0)
		return 0;
	return data_extent_unref(trans, bytenr, len, BTRFS_ROOT_TREE_OBJECTID, key->objectid,
				 start);
}

/* One item of the inode, the last first: 1 if there was one, 0 if the inode is gone. */
static int drop_item(struct trans *trans, u64 ino)
{
	struct key last = { ino, UINT8_MAX, UINT64_MAX }, key;
	_cleanup_path_ struct path path = {};
	int r = tree_search_cow_prev(trans, trans->fs->tree_root, &last, -1, &path);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	key = path_key(&path);
	if (key.objectid != ino)
		return 0;
	r = drop_extent(trans, &path, &key);
	if (r == 0)
		r = tree_delete(trans, &path);
	return r < 0 ? r : 1;
}

/* A few items of one cache: 1 more are left, 0 it is gone. */
static int drop_some(struct fs *fs, const struct key *header, u64 ino)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join_release(fs, STEP_ITEMS, &trans);

	if (r < 0)
		return r;
	r = ino ? 1 : 0;
	for (unsigned i = 0; r == 1 && i < STEP_ITEMS / 4; i++)
		r = drop_item(&trans, ino);
	if (r == 0)
		r = tree_delete_key(&trans, fs->tree_root, header);
	if (r < 0)
		trans_abort(&trans, r, "deleting a free-space cache");
	return r;
}

int free_space_cache_drop(struct fs *fs)
{
	struct key header;
	u64 ino;
	int r;

	while ((r = next_cache(fs, 0, &header, &ino)) == 0) {
		do {
			r = drop_some(fs, &header, ino);
		} while (r == 1);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

int free_space_cache_remove(struct trans *trans, u64 group)
{
	struct key header;
	u64 ino;
	int r = next_cache(trans->fs, group, &header, &ino);

	if (r < 0 || header.offset != group)
		return r == -ENOENT ? 0 : MIN(r, 0);
	do {
		r = ino ? drop_item(trans, ino) : 0;
	} while (r == 1);
	return r < 0 ? r : tree_delete_key(trans, trans->fs->tree_root, &header);
}
