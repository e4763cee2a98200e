/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item_file.c - file extents and data checksums. Both are ranges, so the item before must end
 * where this one begins or earlier. Pure; see check_item.h.
 */
#include "disk/format/check_item.h"

#define INLINE_HEAD ((u32)offsetof(struct btrfs_file_extent_item, disk_bytenr))
#define COMPRESS_TYPES 3 /* zlib, lzo, zstd */

static u64 file_extent_end(const struct item *it, const struct btrfs_file_extent_item *fi,
			   u64 start)
{
	u64 inline_end = start + get_le64(&fi->ram_bytes);

	if (fi->type == BTRFS_FILE_EXTENT_INLINE)
		return ALIGN_UP(inline_end, it->env->sectorsize);
	return start + get_le64(&fi->num_bytes);
}

static int check_inline_extent(const struct item *it, const struct btrfs_file_extent_item *fi)
{
	if (it->key.offset)
		return item_bad(it, "bad file offset of an inline extent: wanted 0");
	if (fi->compression == 0 && it->size != INLINE_HEAD + get_le64(&fi->ram_bytes))
		return item_bad(it, "bad inline size: got %u, wanted %llu", it->size,
				(unsigned long long)INLINE_HEAD + get_le64(&fi->ram_bytes));
	return 0;
}

static int check_regular_extent(const struct item *it, const struct btrfs_file_extent_item *fi)
{
	const struct {
		const char *name;
		u64 value;
	} aligned[] = {
		{"ram_bytes", get_le64(&fi->ram_bytes)},
		{"disk_bytenr", get_le64(&fi->disk_bytenr)},
		{"disk_num_bytes", get_le64(&fi->disk_num_bytes)},
		{"offset", get_le64(&fi->offset)},
		{"num_bytes", get_le64(&fi->num_bytes)},
	};
	int err = item_size_is(it, sizeof(*fi));

	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(aligned); i++)
		if (!sector_aligned(it, aligned[i].value))
			return item_bad(
				it, "bad %s of a file extent: got %llu, wanted a multiple of %u",
				aligned[i].name, (unsigned long long)aligned[i].value,
				it->env->sectorsize);
	if (it->key.offset + get_le64(&fi->num_bytes) < it->key.offset)
		return item_bad(it, "file extent wraps around: %llu bytes",
				(unsigned long long)get_le64(&fi->num_bytes));
	return 0;
}

/* The item before was checked already, so its members may be read. */
static int check_extent_overlap(const struct item *it)
{
	const struct btrfs_file_extent_item *prev;
	u64 end;

	if (!it->has_prev || it->prev.objectid != it->key.objectid ||
	    it->prev.type != BTRFS_EXTENT_DATA_KEY)
		return 0;
	prev = (const void *)leaf_data(it->node, it->slot - 1);
	end = file_extent_end(it, prev, it->prev.offset);
	if (end > it->key.offset)
		return item_bad(it, "file extent overlaps the one before, which ends at %llu",
				(unsigned long long)end);
	return 0;
}

int check_file_extent(const struct item *it)
{
	const struct btrfs_file_extent_item *fi = (const void *)it->data;
	int err = check_prev_inode(it);

	if (err)
		return err;
	if (!sector_aligned(it, it->key.offset))
		return item_bad(it, "bad file offset: wanted a multiple of %u",
				it->env->sectorsize);
	if (it->size <= INLINE_HEAD)
		return item_bad(it, "bad item size: got %u, wanted more than %u", it->size,
				INLINE_HEAD);
	if (fi->type > BTRFS_FILE_EXTENT_PREALLOC)
		return item_bad(it, "bad type of a file extent: got %u, wanted at most 2",
				fi->type);
	if (fi->compression > COMPRESS_TYPES)
		return item_bad(it, "bad compression: got %u, wanted at most %u", fi->compression,
				COMPRESS_TYPES);
	if (fi->encryption || get_le16(&fi->other_encoding))
		return item_bad(it, "unknown encoding: encryption %u, other %u", fi->encryption,
				get_le16(&fi->other_encoding));
	err = fi->type == BTRFS_FILE_EXTENT_INLINE ? check_inline_extent(it, fi)
						   : check_regular_extent(it, fi);
	return err ? err : check_extent_overlap(it);
}

int check_csum_item(const struct item *it)
{
	u32 sectorsize = it->env->sectorsize, csum_size = it->env->csum_size;
	u64 prev_end;

	if (it->key.objectid != (u64)BTRFS_EXTENT_CSUM_OBJECTID)
		return item_bad(it, "bad objectid of checksums: wanted -10");
	if (!sector_aligned(it, it->key.offset))
		return item_bad(it, "bad address: wanted a multiple of %u", sectorsize);
	if (it->size == 0 || it->size % csum_size)
		return item_bad(it, "bad item size: got %u, wanted a multiple of %u", it->size,
				csum_size);
	if (!it->has_prev || it->prev.type != BTRFS_EXTENT_CSUM_KEY)
		return 0;
	prev_end = it->prev.offset +
		   (u64)leaf_item_size(it->node, it->slot - 1) / csum_size * sectorsize;
	if (prev_end > it->key.offset)
		return item_bad(it, "checksums overlap the ones before, which end at %llu",
				(unsigned long long)prev_end);
	return 0;
}
