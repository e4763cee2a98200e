/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item_space.c - where space is: chunks, devices and their extents, block groups, the
 * free-space tree. Pure; see check_item.h. check_chunk() also serves the system chunk array, which
 * has no leaf around it.
 */
#include "disk/format/check_item.h"

#define GROUP_TYPES (BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_SYSTEM | BTRFS_BLOCK_GROUP_METADATA)
#define GROUP_PROFILES BTRFS_BLOCK_GROUP_PROFILE_MASK
#define BITMAP_BYTES_MAX 256

/* How many stripes a chunk of a profile has. */
static const struct profile {
	u64 bit;
	u16 stripes_min, stripes_max; /* max 0: any number */
	u16 sub_stripes;              /* 0: any */
} profiles[] = {
	{0, 1, 1, 0},
	{BTRFS_BLOCK_GROUP_RAID0, 1, 0, 0},
	{BTRFS_BLOCK_GROUP_RAID1, 2, 2, 0},
	{BTRFS_BLOCK_GROUP_DUP, 2, 2, 0},
	{BTRFS_BLOCK_GROUP_RAID10, 2, 0, 2},
	{BTRFS_BLOCK_GROUP_RAID5, 2, 0, 0},
	{BTRFS_BLOCK_GROUP_RAID6, 3, 0, 0},
	{BTRFS_BLOCK_GROUP_RAID1C3, 3, 3, 0},
	{BTRFS_BLOCK_GROUP_RAID1C4, 4, 4, 0},
};

static const struct profile *profile_of(u64 type)
{
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++)
		if ((type & GROUP_PROFILES) == profiles[i].bit)
			return &profiles[i];
	return NULL;
}

static int chunk_bad(u64 logical, struct reason *why, const char *what, u64 got, u64 wanted)
{
	reason_set(why, "chunk %llu: bad %s: got %llu, wanted %llu", (unsigned long long)logical,
		   what, (unsigned long long)got, (unsigned long long)wanted);
	return -EUCLEAN;
}

static int check_chunk_type(const struct check_env *env, u64 logical, u64 type, struct reason *why)
{
	bool mixed = env->incompat_flags & BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS;

	if (type & ~(GROUP_TYPES | GROUP_PROFILES))
		return chunk_bad(logical, why, "type bits", type, GROUP_TYPES | GROUP_PROFILES);
	if (!profile_of(type))
		return chunk_bad(logical, why, "profile (more than one)", type & GROUP_PROFILES, 0);
	if (!(type & GROUP_TYPES))
		return chunk_bad(logical, why, "type (none)", type, GROUP_TYPES);
	if (type & BTRFS_BLOCK_GROUP_SYSTEM && type & (GROUP_TYPES & ~BTRFS_BLOCK_GROUP_SYSTEM))
		return chunk_bad(logical, why, "type (system and another)", type,
				 BTRFS_BLOCK_GROUP_SYSTEM);
	if (!mixed && type & BTRFS_BLOCK_GROUP_DATA && type & BTRFS_BLOCK_GROUP_METADATA)
		return chunk_bad(logical, why, "type (data and metadata without mixed groups)",
				 type, BTRFS_BLOCK_GROUP_DATA);
	return 0;
}

static int check_chunk_stripes(u64 logical, const struct btrfs_chunk *chunk, struct reason *why)
{
	const struct profile *p = profile_of(get_le64(&chunk->type));
	u16 n = get_le16(&chunk->num_stripes), sub = get_le16(&chunk->sub_stripes);

	if (n < p->stripes_min || (p->stripes_max && n > p->stripes_max))
		return chunk_bad(logical, why, "number of stripes", n, p->stripes_min);
	if (p->sub_stripes && (sub != p->sub_stripes || n % sub))
		return chunk_bad(logical, why, "sub-stripes", sub, p->sub_stripes);
	return 0;
}

static int check_chunk_sizes(const struct check_env *env, u64 logical,
			     const struct btrfs_chunk *chunk, struct reason *why)
{
	u64 length = get_le64(&chunk->length);

	if (!IS_ALIGNED(logical, env->sectorsize))
		return chunk_bad(logical, why, "address", logical,
				 ALIGN_DOWN(logical, env->sectorsize));
	if (get_le32(&chunk->sector_size) != env->sectorsize)
		return chunk_bad(logical, why, "sector size", get_le32(&chunk->sector_size),
				 env->sectorsize);
	if (length == 0 || !IS_ALIGNED(length, env->sectorsize))
		return chunk_bad(logical, why, "length", length, ALIGN_UP(length, env->sectorsize));
	if (logical + length < logical || length > (u64)UINT32_MAX * STRIPE_LEN)
		return chunk_bad(logical, why, "length (too large)", length,
				 (u64)UINT32_MAX * STRIPE_LEN);
	if (get_le64(&chunk->stripe_len) != STRIPE_LEN)
		return chunk_bad(logical, why, "stripe length", get_le64(&chunk->stripe_len),
				 STRIPE_LEN);
	return 0;
}

int check_chunk(const struct check_env *env, u64 logical, const struct btrfs_chunk *chunk, u32 size,
		struct reason *why)
{
	size_t head = offsetof(struct btrfs_chunk, stripe);
	u16 n;
	int err;

	if (size < sizeof(*chunk))
		return chunk_bad(logical, why, "item size", size, sizeof(*chunk));
	n = get_le16(&chunk->num_stripes);
	if (n == 0)
		return chunk_bad(logical, why, "number of stripes", 0, 1);
	if (size != head + n * sizeof(struct btrfs_stripe))
		return chunk_bad(logical, why, "item size", size,
				 head + n * sizeof(struct btrfs_stripe));
	err = check_chunk_sizes(env, logical, chunk, why);
	if (!err)
		err = check_chunk_type(env, logical, get_le64(&chunk->type), why);
	if (!err)
		err = check_chunk_stripes(logical, chunk, why);
	return err;
}

int check_chunk_item(const struct item *it)
{
	return check_chunk(it->env, it->key.offset, (const void *)it->data, it->size, it->why);
}

int check_group_flags(const struct item *it, u64 flags)
{
	u64 type = flags & GROUP_TYPES;

	if (!profile_of(flags))
		return item_bad(it, "bad profile: got 0x%llx, wanted one at most",
				(unsigned long long)flags);
	if (type != BTRFS_BLOCK_GROUP_DATA && type != BTRFS_BLOCK_GROUP_METADATA &&
	    type != BTRFS_BLOCK_GROUP_SYSTEM &&
	    type != (BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_METADATA))
		return item_bad(it, "bad type of a block group: got 0x%llx",
				(unsigned long long)flags);
	return 0;
}

int check_block_group_item(const struct item *it)
{
	const struct btrfs_block_group_item *bg = (const void *)it->data;
	int err = item_size_is(it, sizeof(*bg));

	if (err)
		return err;
	if (it->key.offset == 0)
		return item_bad(it, "bad length of a block group: 0");
	if (!(it->env->incompat_flags & BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2) &&
	    get_le64(&bg->chunk_objectid) != BTRFS_FIRST_CHUNK_TREE_OBJECTID)
		return item_bad(it, "bad chunk objectid: got %llu, wanted 256",
				(unsigned long long)get_le64(&bg->chunk_objectid));
	if (get_le64(&bg->used) > it->key.offset)
		return item_bad(it, "bad used bytes: got %llu, wanted at most the length",
				(unsigned long long)get_le64(&bg->used));
	return check_group_flags(it, get_le64(&bg->flags));
}

int check_dev_item(const struct item *it)
{
	const struct btrfs_dev_item *dev = (const void *)it->data;
	int err = item_size_is(it, sizeof(*dev));

	if (err)
		return err;
	if (it->key.objectid != BTRFS_DEV_ITEMS_OBJECTID)
		return item_bad(it, "bad objectid: wanted 1");
	if (get_le64(&dev->devid) != it->key.offset)
		return item_bad(it, "bad devid: got %llu, wanted the key's",
				(unsigned long long)get_le64(&dev->devid));
	if (get_le64(&dev->bytes_used) > get_le64(&dev->total_bytes))
		return item_bad(it, "bad used bytes of the device: got %llu, wanted at most %llu",
				(unsigned long long)get_le64(&dev->bytes_used),
				(unsigned long long)get_le64(&dev->total_bytes));
	return 0;
}

static u64 dev_extent_length(const u8 *data)
{
	return get_le64(data + offsetof(struct btrfs_dev_extent, length));
}

int check_dev_extent(const struct item *it)
{
	const struct btrfs_dev_extent *de = (const void *)it->data;
	int err = item_size_is(it, sizeof(*de));

	if (err)
		return err;
	if (get_le64(&de->chunk_tree) != BTRFS_CHUNK_TREE_OBJECTID ||
	    get_le64(&de->chunk_objectid) != BTRFS_FIRST_CHUNK_TREE_OBJECTID)
		return item_bad(it, "bad owner of a device extent: got (%llu %llu), wanted (3 256)",
				(unsigned long long)get_le64(&de->chunk_tree),
				(unsigned long long)get_le64(&de->chunk_objectid));
	if (!sector_aligned(it, it->key.offset) ||
	    !sector_aligned(it, get_le64(&de->chunk_offset)) ||
	    !sector_aligned(it, dev_extent_length(it->data)) || !dev_extent_length(it->data))
		return item_bad(
			it, "bad device extent: chunk %llu length %llu, wanted multiples of %u",
			(unsigned long long)get_le64(&de->chunk_offset),
			(unsigned long long)dev_extent_length(it->data), it->env->sectorsize);
	if (it->has_prev && it->prev.type == BTRFS_DEV_EXTENT_KEY &&
	    it->prev.objectid == it->key.objectid) {
		u64 end = it->prev.offset + dev_extent_length(leaf_data(it->node, it->slot - 1));

		if (end > it->key.offset)
			return item_bad(it,
					"device extent overlaps the one before, which ends at %llu",
					(unsigned long long)end);
	}
	return 0;
}

/* A range of the free-space tree: aligned, not empty. */
static int check_free_range(const struct item *it)
{
	if (!sector_aligned(it, it->key.objectid) || !sector_aligned(it, it->key.offset) ||
	    !it->key.offset)
		return item_bad(it, "bad range: wanted multiples of %u", it->env->sectorsize);
	if (it->key.objectid + it->key.offset < it->key.objectid)
		return item_bad(it, "range wraps around");
	return 0;
}

int check_free_space_info(const struct item *it)
{
	int err = item_size_is(it, sizeof(struct btrfs_free_space_info));

	return err ? err : check_free_range(it);
}

int check_free_space_extent(const struct item *it)
{
	int err = item_size_is(it, 0);

	return err ? err : check_free_range(it);
}

int check_free_space_bitmap(const struct item *it)
{
	int err = check_free_range(it);
	u64 want = DIV_ROUND_UP(it->key.offset / it->env->sectorsize, 8);

	if (err)
		return err;
	if (want > BITMAP_BYTES_MAX)
		return item_bad(it, "bitmap too long: %llu bytes, wanted at most %u",
				(unsigned long long)want, BITMAP_BYTES_MAX);
	return item_size_is(it, want);
}

int check_stripe_item(const struct item *it)
{
	if (!sector_aligned(it, it->key.objectid))
		return item_bad(it, "bad address: wanted a multiple of %u", it->env->sectorsize);
	if (it->size == 0 || it->size % (2 * sizeof(u64)))
		return item_bad(it, "bad item size: got %u, wanted a multiple of 16", it->size);
	return 0;
}
