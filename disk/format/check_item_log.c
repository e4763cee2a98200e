/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item_log.c - what a log tree, or the tree of logs, may hold. Pure; see check_item.h.
 * Everywhere else the ranges of a log are out of place.
 */
#include "disk/format/check_item.h"

/* Copies of a subvolume's items (old kernels logged DIR_ITEMs, too), checksums, ranges, roots. */
static const bool logged[256] = {
	[BTRFS_INODE_ITEM_KEY] = true,       [BTRFS_INODE_REF_KEY] = true,
	[BTRFS_INODE_EXTREF_KEY] = true,     [BTRFS_XATTR_ITEM_KEY] = true,
	[BTRFS_VERITY_DESC_ITEM_KEY] = true, [BTRFS_VERITY_MERKLE_ITEM_KEY] = true,
	[BTRFS_DIR_LOG_ITEM_KEY] = true,     [BTRFS_DIR_LOG_INDEX_KEY] = true,
	[BTRFS_DIR_ITEM_KEY] = true,         [BTRFS_DIR_INDEX_KEY] = true,
	[BTRFS_EXTENT_DATA_KEY] = true,      [BTRFS_EXTENT_CSUM_KEY] = true,
	[BTRFS_ROOT_ITEM_KEY] = true,
};

static bool in_log(const struct item *it)
{
	return node_owner(it->node) == (u64)BTRFS_TREE_LOG_OBJECTID;
}

int check_log_content(const struct item *it)
{
	if (!in_log(it))
		return 0;
	if (!logged[it->key.type])
		return item_bad(it, "a log has no items of this type");
	if (it->key.type == BTRFS_ROOT_ITEM_KEY && it->key.objectid != (u64)BTRFS_TREE_LOG_OBJECTID)
		return item_bad(it, "bad root in a log: wanted a log's");
	return 0;
}

int check_log_range(const struct item *it)
{
	int err = item_size_is(it, sizeof(struct btrfs_dir_log_item));
	u64 last;

	if (err)
		return err;
	if (!in_log(it))
		return item_bad(it, "a range of a log outside of one");
	last = get_le64(it->data + offsetof(struct btrfs_dir_log_item, end));
	if (last < it->key.offset)
		return item_bad(it,
				"bad end of a range: got %llu, wanted the key's offset at least",
				(unsigned long long)last);
	return 0;
}
