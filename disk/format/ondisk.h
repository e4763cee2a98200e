/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ondisk.h - bytes on a btrfs device. <linux/btrfs_tree.h> and <linux/btrfs.h> where they say it;
 * here is what they leave out (superblock, node header, item, key pointer; later features). All
 * members little-endian, packed, no padding. Source: the btrfs on-disk format page of the btrfs
 * documentation, and images made by mkfs.btrfs.
 */
#ifndef DISK_FORMAT_ONDISK_H
#define DISK_FORMAT_ONDISK_H

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>

#include "disk/base/types.h"

#define SUPER_SIZE 4096u
#define SUPER_OFFSET KIB(64)
#define SUPER_COPIES_MAX 3
#define SUPER_SYS_ARRAY_SIZE 2048
#define SUPER_MAGIC 0x4d5f53665248425fULL /* "_BHRfS_M" */
#define SUPER_BACKUP_ROOTS 4
#define DEVICE_RESERVED MIB(1) /* never allocated from */

#define STRIPE_LEN KIB(64)
#define NODE_LEVEL_MAX 8
#define NODE_BACKREF_REV_SHIFT 56
#define NODE_BACKREF_MIXED 1ULL
#define NODE_FLAGS_MASK ((1ULL << NODE_BACKREF_REV_SHIFT) - 1)

#define DATA_EXTENT_MAX MIB(128)
#define NAME_LEN_MAX 255
#define INODE_LINK_MAX 65535u

/* Later than the uapi header of Debian 12. */
#ifndef BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE
#define BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE (1ULL << 14)
#endif
#ifndef BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA
#define BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA (1ULL << 16)
#endif
#define SUPER_FLAG_CHANGING_BG_TREE (1ULL << 38)
#define SUPER_FLAG_CHANGING_DATA_CSUM (1ULL << 39)
#define SUPER_FLAG_CHANGING_META_CSUM (1ULL << 40)
#define FEATURE_INCOMPAT_REMAP_TREE (1ULL << 17)
#ifndef BTRFS_RAID_STRIPE_TREE_OBJECTID
#define BTRFS_RAID_STRIPE_TREE_OBJECTID 12ULL
#endif
#ifndef BTRFS_EXTENT_OWNER_REF_KEY
#define BTRFS_EXTENT_OWNER_REF_KEY 172
#endif
#ifndef BTRFS_RAID_STRIPE_KEY
#define BTRFS_RAID_STRIPE_KEY 230
#endif

struct btrfs_header {
	u8 csum[BTRFS_CSUM_SIZE];
	u8 fsid[BTRFS_FSID_SIZE];
	__le64 bytenr;
	__le64 flags; /* low 56 bits flags, high 8 backref revision */
	u8 chunk_tree_uuid[BTRFS_UUID_SIZE];
	__le64 generation;
	__le64 owner;
	__le32 nritems;
	u8 level;
} __attribute__((__packed__));

struct btrfs_item {
	struct btrfs_disk_key key;
	__le32 offset; /* of the data, from the end of the header */
	__le32 size;
} __attribute__((__packed__));

struct btrfs_key_ptr {
	struct btrfs_disk_key key;
	__le64 blockptr;
	__le64 generation;
} __attribute__((__packed__));

struct btrfs_root_backup {
	__le64 tree_root, tree_root_gen;
	__le64 chunk_root, chunk_root_gen;
	__le64 extent_root, extent_root_gen;
	__le64 fs_root, fs_root_gen;
	__le64 dev_root, dev_root_gen;
	__le64 csum_root, csum_root_gen;
	__le64 total_bytes, bytes_used, num_devices;
	__le64 unused_64[4];
	u8 tree_root_level, chunk_root_level, extent_root_level, fs_root_level, dev_root_level,
		csum_root_level;
	u8 unused_8[10];
} __attribute__((__packed__));

struct btrfs_super_block {
	u8 csum[BTRFS_CSUM_SIZE];
	u8 fsid[BTRFS_FSID_SIZE];
	__le64 bytenr;
	__le64 flags;
	__le64 magic;
	__le64 generation;
	__le64 root;
	__le64 chunk_root;
	__le64 log_root;
	__le64 log_root_transid_unused;
	__le64 total_bytes;
	__le64 bytes_used;
	__le64 root_dir_objectid;
	__le64 num_devices;
	__le32 sectorsize;
	__le32 nodesize;
	__le32 leafsize_unused;
	__le32 stripesize;
	__le32 sys_chunk_array_size;
	__le64 chunk_root_generation;
	__le64 compat_flags;
	__le64 compat_ro_flags;
	__le64 incompat_flags;
	__le16 csum_type;
	u8 root_level;
	u8 chunk_root_level;
	u8 log_root_level;
	struct btrfs_dev_item dev_item;
	char label[BTRFS_LABEL_SIZE];
	__le64 cache_generation;
	__le64 uuid_tree_generation;
	u8 metadata_uuid[BTRFS_FSID_SIZE];
	__le64 nr_global_roots;
	__le64 reserved[27];
	u8 sys_chunk_array[SUPER_SYS_ARRAY_SIZE];
	struct btrfs_root_backup super_roots[SUPER_BACKUP_ROOTS];
	u8 padding[565];
} __attribute__((__packed__));

_Static_assert(sizeof(struct btrfs_super_block) == SUPER_SIZE, "superblock is 4 KiB");
_Static_assert(sizeof(struct btrfs_header) == 101, "node header is 101 bytes");
_Static_assert(sizeof(struct btrfs_item) == 25, "leaf item header is 25 bytes");
_Static_assert(sizeof(struct btrfs_key_ptr) == 33, "key pointer is 33 bytes");

/* Device offset of superblock copy @copy: 64 KiB, 64 MiB, 256 GiB. */
static inline u64 super_offset(unsigned copy)
{
	return copy ? KIB(16) << (12 * copy) : SUPER_OFFSET;
}

#endif
