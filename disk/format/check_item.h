/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item.h - what the item checkers share; private to disk/format.
 * A checker gets one item whose bytes are known to lie inside the leaf, and the item before it.
 */
#ifndef DISK_FORMAT_CHECK_ITEM_H
#define DISK_FORMAT_CHECK_ITEM_H

#include "disk/format/check.h"

struct item {
	const struct check_env *env;
	const void *node;
	u32 slot;
	struct key key;
	const u8 *data;
	u32 size;
	bool has_prev; /* prev is the key of slot - 1 */
	struct key prev;
	struct reason *why;
};

/* -EUCLEAN, after writing where the item is and what is wrong with it. */
int item_bad(const struct item *it, const char *fmt, ...) _printf_(2, 3);

/* The item has exactly @want bytes. */
int item_size_is(const struct item *it, size_t want);

/* A subvolume's tree: 5 or 256 and up, no special tree, no qgroup level. */
static inline bool is_subvolume_id(u64 id)
{
	return id == BTRFS_FS_TREE_OBJECTID || (id >= BTRFS_FIRST_FREE_OBJECTID && id < 1ULL << 48);
}

/* An inode number that files, directories and the special inodes of the root tree may have. */
static inline bool is_inode_id(u64 id)
{
	return (id >= BTRFS_FIRST_FREE_OBJECTID && id <= BTRFS_LAST_FREE_OBJECTID) ||
	       id == BTRFS_ROOT_TREE_DIR_OBJECTID || id == BTRFS_FREE_INO_OBJECTID;
}

static inline bool sector_aligned(const struct item *it, u64 v)
{
	return IS_ALIGNED(v, it->env->sectorsize);
}

/* In subvolume trees an inode's other items follow its INODE_ITEM in the same or an earlier leaf.
 */
int check_prev_inode(const struct item *it);
/* A type and profile of a chunk or block group. */
int check_group_flags(const struct item *it, u64 flags);
/* Generations in items are never newer than the transaction after the superblock's. */
int check_generation(const struct item *it, const char *name, u64 generation);

int check_inode_item(const struct item *it);
int check_inode_ref(const struct item *it);
int check_inode_extref(const struct item *it);
int check_dir_item(const struct item *it); /* DIR_ITEM, DIR_INDEX, XATTR_ITEM */
int check_empty_item(const struct item *it);
/* A log tree holds this type of item? 0 in every other tree. */
int check_log_content(const struct item *it);
int check_log_range(const struct item *it); /* DIR_LOG_ITEM, DIR_LOG_INDEX */
int check_file_extent(const struct item *it);
int check_csum_item(const struct item *it);
int check_root_item(const struct item *it);
int check_root_ref(const struct item *it);
int check_uuid_item(const struct item *it);
int check_extent_item(const struct item *it); /* EXTENT_ITEM, METADATA_ITEM */
int check_extent_data_ref(const struct item *it);
int check_simple_ref(const struct item *it);
int check_stripe_item(const struct item *it);
int check_block_group_item(const struct item *it);
int check_free_space_info(const struct item *it);
int check_free_space_extent(const struct item *it);
int check_free_space_bitmap(const struct item *it);
int check_dev_item(const struct item *it);
int check_dev_extent(const struct item *it);
int check_chunk_item(const struct item *it);

#endif
