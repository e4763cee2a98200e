/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hash.h - the hashes that the format keys on; all are crc32c with unusual seeds. Pure. */
#ifndef DISK_FORMAT_HASH_H
#define DISK_FORMAT_HASH_H

#include "disk/base/types.h"

/* Key offset of a DIR_ITEM or XATTR_ITEM: crc32c seeded with ~1, without the final inversion. */
u64 name_hash(const void *name, size_t len);

/* Key offset of an INODE_EXTREF: crc32c seeded with the parent's inode number, without the final
 * inversion. */
u64 extref_hash(u64 parent_ino, const void *name, size_t len);

/* Key offset of an EXTENT_DATA_REF: two crc32c's, root (shifted left 31) xor (inode, offset). */
u64 extent_data_ref_hash(u64 root, u64 ino, u64 offset);

#endif
