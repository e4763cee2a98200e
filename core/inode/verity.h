/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verity.h - files that fs-verity has sealed: their content may be read and measured, never changed.
 *
 * Source: the btrfs on-disk format (VERITY_DESC_ITEM, VERITY_MERKLE_ITEM, the inode's ro flags) and
 * Documentation/filesystems/fsverity.rst (descriptor, file digest). The Merkle tree is kept as it is;
 * reads are verified by the data checksums. */
#ifndef CORE_INODE_VERITY_H
#define CORE_INODE_VERITY_H

#include "disk/base/types.h"

struct inode;

#define VERITY_SHA256 1 /* FS_VERITY_HASH_ALG_SHA256 */
#define VERITY_DIGEST_BYTES 32

/* The file's digest as FS_IOC_MEASURE_VERITY gives it. -ENODATA: it is not sealed; -EOPNOTSUPP: with
 * another hash than SHA-256; -EUCLEAN: the descriptor cannot be. May read; no tree lock held. */
_must_check_ int verity_measure(struct inode *inode, u8 digest[VERITY_DIGEST_BYTES]);

#endif
