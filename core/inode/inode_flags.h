/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_flags.h - btrfs_inode_item.flags. Source: btrfs on-disk format documentation. */
#ifndef CORE_INODE_INODE_FLAGS_H
#define CORE_INODE_INODE_FLAGS_H

#ifndef BTRFS_INODE_NODATASUM
#define BTRFS_INODE_NODATASUM (1U << 0)
#define BTRFS_INODE_NODATACOW (1U << 1)
#define BTRFS_INODE_READONLY (1U << 2)
#define BTRFS_INODE_NOCOMPRESS (1U << 3)
#define BTRFS_INODE_PREALLOC (1U << 4)
#define BTRFS_INODE_SYNC (1U << 5)
#define BTRFS_INODE_IMMUTABLE (1U << 6)
#define BTRFS_INODE_APPEND (1U << 7)
#define BTRFS_INODE_NODUMP (1U << 8)
#define BTRFS_INODE_NOATIME (1U << 9)
#define BTRFS_INODE_DIRSYNC (1U << 10)
#define BTRFS_INODE_COMPRESS (1U << 11)
#endif
/* the upper half are the flags that make whoever does not know them read only */
#define BTRFS_INODE_RO_VERITY (1ULL << 32)

#endif
