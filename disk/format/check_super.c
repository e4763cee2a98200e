/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_super.c - the facts that every usable superblock has, whatever its features.
 * Pure. What the kernel merely warns about passes. The checksum is verified with the type that the
 * superblock names.
 */
#include "disk/codec/csum.h"
#include "disk/format/check.h"

static int super_bad(struct reason *why, const char *what, u64 got, const char *wanted)
{
	reason_set(why, "superblock: bad %s: got %llu, wanted %s", what, (unsigned long long)got,
		   wanted);
	return -EUCLEAN;
}

static int check_super_csum(const struct btrfs_super_block *sb, struct reason *why)
{
	u16 type = get_le16(&sb->csum_type);
	u8 csum[CSUM_SIZE_MAX];

	if (!csum_name(type))
		return super_bad(why, "checksum type", type, "a known one");
	if (!csum_size(type)) {
		reason_set(why, "checksum type %s is not supported yet", csum_name(type));
		return -EOPNOTSUPP;
	}
	csum_block(type, sb, SUPER_SIZE, csum);
	if (memcmp(csum, sb->csum, csum_size(type))) {
		reason_set(why, "superblock: checksum does not match");
		return -EUCLEAN;
	}
	return 0;
}

static int check_super_sizes(const struct btrfs_super_block *sb, struct reason *why)
{
	u32 sectorsize = get_le32(&sb->sectorsize), nodesize = get_le32(&sb->nodesize);
	u32 array = get_le32(&sb->sys_chunk_array_size);

	if (!is_power_of_2(sectorsize) || sectorsize < 4096 || sectorsize > KIB(64))
		return super_bad(why, "sector size", sectorsize,
				 "a power of two from 4096 to 65536");
	if (!is_power_of_2(nodesize) || nodesize < sectorsize ||
	    nodesize > BTRFS_MAX_METADATA_BLOCKSIZE)
		return super_bad(why, "node size", nodesize,
				 "a power of two from the sector size to 65536");
	if (get_le32(&sb->leafsize_unused) != nodesize)
		return super_bad(why, "leaf size", get_le32(&sb->leafsize_unused), "the node size");
	if (!is_power_of_2(get_le32(&sb->stripesize)))
		return super_bad(why, "stripe size", get_le32(&sb->stripesize), "a power of two");
	if (array > SUPER_SYS_ARRAY_SIZE ||
	    array < sizeof(struct btrfs_disk_key) + sizeof(struct btrfs_chunk))
		return super_bad(why, "system chunk array size", array, "97 to 2048");
	if (get_le64(&sb->bytes_used) < 6ULL * nodesize)
		return super_bad(why, "bytes used", get_le64(&sb->bytes_used),
				 "six nodes at least");
	if (get_le64(&sb->num_devices) == 0)
		return super_bad(why, "number of devices", 0, "one at least");
	return 0;
}

static int check_super_roots(const struct btrfs_super_block *sb, struct reason *why)
{
	const struct {
		const char *name;
		u64 bytenr;
		u8 level;
	} roots[] = {
		{"root tree", get_le64(&sb->root), sb->root_level},
		{"chunk tree", get_le64(&sb->chunk_root), sb->chunk_root_level},
		{"log tree", get_le64(&sb->log_root), sb->log_root_level},
	};

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		if (!IS_ALIGNED(roots[i].bytenr, get_le32(&sb->sectorsize)))
			return super_bad(why, roots[i].name, roots[i].bytenr,
					 "a multiple of the sector size");
		if (roots[i].level >= NODE_LEVEL_MAX)
			return super_bad(why, roots[i].name, roots[i].level, "a level below 8");
	}
	return 0;
}

static int check_super_uuids(const struct btrfs_super_block *sb, struct reason *why)
{
	bool split = get_le64(&sb->incompat_flags) & BTRFS_FEATURE_INCOMPAT_METADATA_UUID;
	const u8 *want = split ? sb->metadata_uuid : sb->fsid;

	if (memcmp(sb->dev_item.fsid, want, BTRFS_FSID_SIZE)) {
		reason_set(why, "superblock: the device item's file system id is another one");
		return -EUCLEAN;
	}
	return 0;
}

int check_super(const struct btrfs_super_block *sb, u64 offset, struct reason *why)
{
	int err;

	if (get_le64(&sb->magic) != SUPER_MAGIC) {
		reason_set(why, "no btrfs superblock");
		return -EUCLEAN;
	}
	err = check_super_csum(sb, why);
	if (err)
		return err;
	if (get_le64(&sb->bytenr) != offset)
		return super_bad(why, "own address", get_le64(&sb->bytenr), "where it was read");
	err = check_super_sizes(sb, why);
	if (!err)
		err = check_super_roots(sb, why);
	if (!err)
		err = check_super_uuids(sb, why);
	return err;
}
