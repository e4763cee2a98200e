/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_item.h - what is in a log tree, and under which keys.
 *
 * The log root tree (its address is in the superblock) has one ROOT_ITEM for each subvolume with a
 * log, key (TREE_LOG, ROOT_ITEM, subvolume). A log holds copies of the subvolume's items, checksums
 * of logged extents, and ranges of directory indexes for which it is complete: an entry of the
 * subvolume that lies in one and is not in the log was removed. All nodes are of the generation
 * after the superblock's; none is in the extent tree.
 */
#ifndef CORE_LOG_LOG_ITEM_H
#define CORE_LOG_LOG_ITEM_H

#include <linux/btrfs_tree.h>

#include "disk/format/key.h"

static inline struct key log_root_key(u64 root_id)
{
	return KEY((u64)BTRFS_TREE_LOG_OBJECTID, BTRFS_ROOT_ITEM_KEY, root_id);
}

/* A range of directory @dir's indexes that begins at @first; the item's data says where it ends. */
static inline struct key log_range_key(u64 dir, u64 first)
{
	return KEY(dir, BTRFS_DIR_LOG_INDEX_KEY, first);
}

/* The last index of the range. */
static inline u64 log_range_last(const void *item)
{
	return get_le64((const u8 *)item + offsetof(struct btrfs_dir_log_item, end));
}

#endif
