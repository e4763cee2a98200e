/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reservation.h - promises of space: an operation reserves before its first change and then cannot
 * fail for space.
 *
 * Metadata is promised against free nodes of loaded groups and device space for more groups; the
 * global reserve is kept back for the commit itself and for work that frees space. Data is promised
 * against free bytes of data groups.
 *
 * Reserving may read, commit and allocate chunks: never with a tree lock, never joined, never inside
 * an epoch. Releasing never blocks for long and never fails.
 */
#ifndef CORE_SPACE_RESERVATION_H
#define CORE_SPACE_RESERVATION_H

#include "disk/base/types.h"

struct fs;

struct meta_rsv {
	u64 bytes;
};

/* Bytes promised for @items changed items: the nodes on each path, copied and split. */
u64 space_items_bytes(const struct fs *fs, unsigned items);

/* Adds the promise for @items to @rsv (which starts zeroed). @may_use_global: the operation gives
 * space back in the end. 0, -ENOSPC, or the error of a commit. */
_must_check_ int space_reserve_meta(struct fs *fs, unsigned items, bool may_use_global,
				    struct meta_rsv *rsv);
/* Gives back all of @rsv. */
void space_release_meta(struct fs *fs, struct meta_rsv *rsv);

/* Promises @bytes of file data (a multiple of the sector size). space_alloc_data() consumes the
 * promise for what it returns; the rest goes back with space_release_data(). */
_must_check_ int space_reserve_data(struct fs *fs, u64 bytes);
void space_release_data(struct fs *fs, u64 bytes);

/* What the commit and unlinking keep for themselves now, as the kernel sizes it. */
u64 space_global_reserve(struct fs *fs);

#endif
