/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_node.c - header, key order and layout of a node; then each item by its type's checker.
 * Pure. Order matters: an item checker runs only after the layout of its leaf is known to be sound.
 */
#include <stdarg.h>
#include <stdio.h>

#include "disk/format/check_item.h"

int item_bad(const struct item *it, const char *fmt, ...)
{
	char what[160];
	va_list ap;

	if (!it->why)
		return -EUCLEAN;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	reason_set(it->why, "leaf %llu owner %lld slot %u key " KEY_FMT ": %s",
		   (unsigned long long)node_bytenr(it->node), (long long)node_owner(it->node),
		   it->slot, KEY_ARG(it->key), what);
	return -EUCLEAN;
}

int item_size_is(const struct item *it, size_t want)
{
	return it->size == want ? 0
				: item_bad(it, "bad item size: got %u, wanted %zu", it->size, want);
}

int check_generation(const struct item *it, const char *name, u64 generation)
{
	if (!it->env->generation || generation <= it->env->generation)
		return 0;
	return item_bad(it, "bad %s: got %llu, wanted at most %llu", name,
			(unsigned long long)generation, (unsigned long long)it->env->generation);
}

int check_empty_item(const struct item *it)
{
	return item_size_is(it, 0);
}

typedef int (*item_checker)(const struct item *it);

/* A type without a row is accepted as it is. */
static const item_checker checkers[256] = {
	[BTRFS_INODE_ITEM_KEY] = check_inode_item,
	[BTRFS_INODE_REF_KEY] = check_inode_ref,
	[BTRFS_INODE_EXTREF_KEY] = check_inode_extref,
	[BTRFS_XATTR_ITEM_KEY] = check_dir_item,
	[BTRFS_DIR_ITEM_KEY] = check_dir_item,
	[BTRFS_DIR_INDEX_KEY] = check_dir_item,
	[BTRFS_ORPHAN_ITEM_KEY] = check_empty_item,
	[BTRFS_DIR_LOG_ITEM_KEY] = check_log_range,
	[BTRFS_DIR_LOG_INDEX_KEY] = check_log_range,
	[BTRFS_EXTENT_DATA_KEY] = check_file_extent,
	[BTRFS_EXTENT_CSUM_KEY] = check_csum_item,
	[BTRFS_ROOT_ITEM_KEY] = check_root_item,
	[BTRFS_ROOT_REF_KEY] = check_root_ref,
	[BTRFS_ROOT_BACKREF_KEY] = check_root_ref,
	[BTRFS_UUID_KEY_SUBVOL] = check_uuid_item,
	[BTRFS_UUID_KEY_RECEIVED_SUBVOL] = check_uuid_item,
	[BTRFS_EXTENT_ITEM_KEY] = check_extent_item,
	[BTRFS_METADATA_ITEM_KEY] = check_extent_item,
	[BTRFS_TREE_BLOCK_REF_KEY] = check_simple_ref,
	[BTRFS_SHARED_BLOCK_REF_KEY] = check_simple_ref,
	[BTRFS_SHARED_DATA_REF_KEY] = check_simple_ref,
	[BTRFS_EXTENT_DATA_REF_KEY] = check_extent_data_ref,
	[BTRFS_BLOCK_GROUP_ITEM_KEY] = check_block_group_item,
	[BTRFS_FREE_SPACE_INFO_KEY] = check_free_space_info,
	[BTRFS_FREE_SPACE_EXTENT_KEY] = check_free_space_extent,
	[BTRFS_FREE_SPACE_BITMAP_KEY] = check_free_space_bitmap,
	[BTRFS_DEV_EXTENT_KEY] = check_dev_extent,
	[BTRFS_DEV_ITEM_KEY] = check_dev_item,
	[BTRFS_CHUNK_ITEM_KEY] = check_chunk_item,
	[BTRFS_RAID_STRIPE_KEY] = check_stripe_item,
};

static int node_bad(const void *node, struct reason *why, const char *what, u64 got, u64 wanted)
{
	reason_set(why, "node %llu owner %lld level %u: bad %s: got %llu, wanted %llu",
		   (unsigned long long)node_bytenr(node), (long long)node_owner(node),
		   node_level(node), what, (unsigned long long)got, (unsigned long long)wanted);
	return -EUCLEAN;
}

static int keys_bad(const void *node, u32 slot, const struct key *prev, const struct key *k,
		    struct reason *why)
{
	reason_set(why,
		   "node %llu owner %lld level %u slot %u: bad key order: " KEY_FMT
		   " after " KEY_FMT,
		   (unsigned long long)node_bytenr(node), (long long)node_owner(node),
		   node_level(node), slot, KEY_ARG(*k), KEY_ARG(*prev));
	return -EUCLEAN;
}

static bool fsid_known(const struct check_env *env, const u8 *fsid)
{
	if (!env->fsid || !memcmp(fsid, env->fsid, BTRFS_FSID_SIZE))
		return true;
	for (unsigned i = 0; i < env->seed_count; i++)
		if (!memcmp(fsid, env->seed_fsids + i * BTRFS_FSID_SIZE, BTRFS_FSID_SIZE))
			return true;
	return false;
}

static int check_header(const struct check_env *env, const void *node, struct reason *why)
{
	const struct btrfs_header *h = node;

	if (!fsid_known(env, h->fsid)) {
		reason_set(why, "node %llu: bad file system id: it belongs to another one",
			   (unsigned long long)node_bytenr(node));
		return -EUCLEAN;
	}
	if (node_level(node) >= NODE_LEVEL_MAX)
		return node_bad(node, why, "level", node_level(node), NODE_LEVEL_MAX - 1);
	if (!(node_flags(node) & BTRFS_HEADER_FLAG_WRITTEN))
		return node_bad(node, why, "flags (WRITTEN is missing)", node_flags(node),
				BTRFS_HEADER_FLAG_WRITTEN);
	if (node_owner(node) == 0)
		return node_bad(node, why, "owner", 0, 1);
	return 0;
}

static int check_interior(const struct check_env *env, const void *node, struct reason *why)
{
	u32 n = node_nritems(node);
	struct key prev = KEY_MIN;

	if (n == 0 || n > NODE_PTRS_MAX(env->nodesize))
		return node_bad(node, why, "number of pointers", n, NODE_PTRS_MAX(env->nodesize));
	for (u32 slot = 0; slot < n; slot++) {
		u64 ptr = node_blockptr(node, slot);
		struct key k = node_key(node, slot);

		if (!ptr || !IS_ALIGNED(ptr, env->sectorsize))
			return node_bad(node, why, "pointer (a multiple of the sector size)", ptr,
					env->sectorsize);
		if (slot && key_cmp(&prev, &k) >= 0)
			return keys_bad(node, slot, &prev, &k, why);
		prev = k;
	}
	return 0;
}

/* Trees that are never empty while the file system is whole. */
static int check_empty_leaf(const void *node, struct reason *why)
{
	static const u64 never_empty[] = {
		BTRFS_ROOT_TREE_OBJECTID,       BTRFS_CHUNK_TREE_OBJECTID,
		BTRFS_DEV_TREE_OBJECTID,        BTRFS_FS_TREE_OBJECTID,
		BTRFS_DATA_RELOC_TREE_OBJECTID, BTRFS_EXTENT_TREE_OBJECTID,
	};

	if (node_flags(node) & BTRFS_HEADER_FLAG_RELOC)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(never_empty); i++)
		if (node_owner(node) == never_empty[i])
			return node_bad(node, why, "number of items (this tree is never empty)", 0,
					1);
	return 0;
}

/* Item data is packed downwards from the end without gaps, and never reaches the item headers. */
static int check_layout(const struct item *it, u32 expected_end)
{
	u32 offset = leaf_item_offset(it->node, it->slot);
	u32 headers = (it->slot + 1) * (u32)sizeof(struct btrfs_item);

	if ((u64)offset + it->size != expected_end)
		return item_bad(it, "bad item end: got %llu, wanted %u",
				(unsigned long long)offset + it->size, expected_end);
	if (offset < headers)
		return item_bad(
			it, "item data overlaps the item headers: starts at %u, wanted %u at least",
			offset, headers);
	return 0;
}

static int check_leaf(const struct check_env *env, const void *node, struct reason *why)
{
	u32 n = node_nritems(node), end = LEAF_DATA(env->nodesize);
	struct item it = {.env = env, .node = node, .why = why};

	if (n == 0)
		return check_empty_leaf(node, why);
	if (n > LEAF_DATA(env->nodesize) / sizeof(struct btrfs_item))
		return node_bad(node, why, "number of items", n,
				LEAF_DATA(env->nodesize) / sizeof(struct btrfs_item));
	for (u32 slot = 0; slot < n; slot++) {
		item_checker check;
		int err;

		it.slot = slot;
		it.key = node_key(node, slot);
		it.size = leaf_item_size(node, slot);
		it.data = leaf_data(node, slot);
		if (slot && key_cmp(&it.prev, &it.key) >= 0)
			return keys_bad(node, slot, &it.prev, &it.key, why);
		err = check_layout(&it, end);
		if (!err)
			err = check_log_content(&it);
		check = checkers[it.key.type];
		if (!err && check)
			err = check(&it);
		if (err)
			return err;
		end = leaf_item_offset(node, slot);
		it.prev = it.key;
		it.has_prev = true;
	}
	return 0;
}

int check_node(const struct check_env *env, const void *node, struct reason *why)
{
	int err = check_header(env, node, why);

	if (err)
		return err;
	return node_level(node) ? check_interior(env, node, why) : check_leaf(env, node, why);
}
