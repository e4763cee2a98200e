/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csum_tree.h - checksums of data sectors, by logical address.
 *
 * Items (EXTENT_CSUM_OBJECTID, EXTENT_CSUM, logical) hold fs->csum_size bytes a sector; they never
 * overlap and are at most as long as the kernel makes them. All addresses and lengths are sector
 * aligned. Lookups take the csum tree's read lock; no tree lock may be held by the caller.
 */
#ifndef CORE_EXTENT_CSUM_TREE_H
#define CORE_EXTENT_CSUM_TREE_H

#include "disk/base/types.h"

struct fs;
struct root;
struct trans;

/*
 * Fills @csums (csum_size bytes a sector, in order) for [@logical, +@len) in one walk, and
 * @present (one bool a sector, may be NULL). Returns the number of sectors that have a checksum
 * (the others' bytes are left alone), or <0.
 */
_must_check_ int csum_lookup(struct fs *fs, u64 logical, u64 len, u8 *csums, bool *present);

/* The same in another tree that holds checksum items (a log). */
_must_check_ int csum_lookup_in(struct fs *fs, struct root *root, u64 logical, u64 len, u8 *csums,
				bool *present);

/* 1 if any sector of the range has a checksum, 0 if none, <0. */
_must_check_ int csum_any(struct fs *fs, u64 logical, u64 len);

/* Stores the checksums of [@logical, +@len); existing ones are replaced. Errors: abort. */
_must_check_ int csum_insert(struct trans *trans, u64 logical, u64 len, const u8 *csums);

/* The same in another tree that holds checksum items (a log). */
_must_check_ int csum_insert_in(struct trans *trans, struct root *root, u64 logical, u64 len,
				const u8 *csums);

/* Forgets those in the range, if any; cuts and splits items. Errors: abort. */
_must_check_ int csum_delete(struct trans *trans, u64 logical, u64 len);

#endif
