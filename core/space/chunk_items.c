/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chunk_items.c - what a chunk is on disk: chunk item, device extents, the device's bytes_used, and
 * for the system kind its place in the superblock.
 *
 * Invariants: bytes_used of the device item in the chunk tree and in the superblock is the sum of the
 * device extents; sys_chunk_array changes in the commit that changes the chunk tree.
 * Called in settle and exclusive sections only.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/space_impl.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"

static struct key chunk_key(u64 logical)
{
	return KEY(GROUP_CHUNK_OBJECTID, BTRFS_CHUNK_ITEM_KEY, logical);
}

static int chunk_item_insert(struct trans *trans, const struct chunk *chunk)
{
	u32 size = chunk_to_disk(chunk, NULL);
	struct key key = chunk_key(chunk->logical);
	_cleanup_free_ struct btrfs_chunk *item = malloc(size);

	if (!item)
		return -ENOMEM;
	chunk_to_disk(chunk, item);
	return tree_insert(trans, trans->fs->chunk_root, &key, item, size);
}

static int dev_extent_insert(struct trans *trans, const struct chunk *chunk, unsigned i)
{
	struct key key = KEY(chunk->stripes[i].devid, BTRFS_DEV_EXTENT_KEY,
			     chunk->stripes[i].physical);
	struct btrfs_dev_extent item;

	put_le64(&item.chunk_tree, BTRFS_CHUNK_TREE_OBJECTID);
	put_le64(&item.chunk_objectid, GROUP_CHUNK_OBJECTID);
	put_le64(&item.chunk_offset, chunk->logical);
	put_le64(&item.length, chunk_stripe_bytes(chunk));
	memcpy(item.chunk_tree_uuid, trans->fs->chunk_tree_uuid, sizeof(item.chunk_tree_uuid));
	return tree_insert(trans, trans->fs->dev_root, &key, &item, sizeof(item));
}

static int dev_extent_delete(struct trans *trans, const struct chunk *chunk, unsigned i)
{
	struct key key = KEY(chunk->stripes[i].devid, BTRFS_DEV_EXTENT_KEY,
			     chunk->stripes[i].physical);

	return tree_delete_key(trans, trans->fs->dev_root, &key);
}

/* Adds to the device's bytes_used, in the chunk tree and in the device's superblocks. */
static int dev_item_change(struct trans *trans, u64 devid, s64 bytes)
{
	struct key key = KEY(BTRFS_DEV_ITEMS_OBJECTID, BTRFS_DEV_ITEM_KEY, devid);
	_cleanup_path_ struct path path = {};
	struct btrfs_dev_item *item;
	int r = tree_search_cow(trans, trans->fs->chunk_root, &key, 0, &path);

	if (r < 0)
		return r;
	if (r == 1 || path_size(&path) < sizeof(*item)) {
		log_fault("chunk tree: no device item for device %llu", (unsigned long long)devid);
		return -EUCLEAN;
	}
	item = path_data(&path);
	put_le64(&item->bytes_used, get_le64(&item->bytes_used) + (u64)bytes);
	volume_device_changed(trans->fs->vol, item);
	return 0;
}

/* Each stripe's device. */
static int dev_items_change(struct trans *trans, const struct chunk *chunk, bool add)
{
	s64 bytes = (s64)chunk_stripe_bytes(chunk);
	int r = 0;

	for (unsigned i = 0; r == 0 && i < chunk->num_stripes; i++)
		r = dev_item_change(trans, chunk->stripes[i].devid, add ? bytes : -bytes);
	return r;
}

int chunk_items_insert(struct trans *trans, const struct chunk *chunk)
{
	int r = chunk_item_insert(trans, chunk);

	for (unsigned i = 0; r == 0 && i < chunk->num_stripes; i++)
		r = dev_extent_insert(trans, chunk, i);
	if (r == 0)
		r = dev_items_change(trans, chunk, true);
	if (r == 0 && chunk->type & BTRFS_BLOCK_GROUP_SYSTEM)
		r = chunk_sys_array_rebuild(trans->fs, 0);
	return r;
}

int chunk_items_delete(struct trans *trans, const struct chunk *chunk)
{
	struct key key = chunk_key(chunk->logical);
	int r = tree_delete_key(trans, trans->fs->chunk_root, &key);

	for (unsigned i = 0; r == 0 && i < chunk->num_stripes; i++)
		r = dev_extent_delete(trans, chunk, i);
	if (r == 0)
		r = dev_items_change(trans, chunk, false);
	if (r == 0 && chunk->type & BTRFS_BLOCK_GROUP_SYSTEM)
		r = chunk_sys_array_rebuild(trans->fs, chunk->logical);
	return r;
}

/* Removed chunks stay in the map for a while; their group is gone. */
static bool in_sys_array(struct fs *fs, const struct chunk *chunk, u64 without)
{
	_cleanup_group_ struct block_group *bg = NULL;

	if (!(chunk->type & BTRFS_BLOCK_GROUP_SYSTEM) || chunk->logical == without)
		return false;
	bg = block_group_find(fs, chunk->logical);
	return bg != NULL;
}

int chunk_sys_array_rebuild(struct fs *fs, u64 without)
{
	u8 array[SUPER_SYS_ARRAY_SIZE] = {0};
	u32 used = 0;
	u64 at = 0;

	for (;;) {
		_cleanup_chunk_ struct chunk *c = chunk_map_next(volume_chunks(fs->vol), at);
		struct key key;

		if (!c)
			break;
		at = c->logical + c->length;
		if (!in_sys_array(fs, c, without))
			continue;
		if (used + sizeof(struct btrfs_disk_key) + chunk_to_disk(c, NULL) > sizeof(array)) {
			log_fault("superblock: no room for system chunk %llu",
				  (unsigned long long)c->logical);
			return -EFBIG;
		}
		key = chunk_key(c->logical);
		key_to_disk(array + used, &key);
		used += (u32)sizeof(struct btrfs_disk_key);
		used += chunk_to_disk(c, (void *)(array + used));
	}
	memcpy(fs->super.sys_chunk_array, array, sizeof(array));
	put_le32(&fs->super.sys_chunk_array_size, used);
	return 0;
}
