/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cleaner.h - the thread that deletes what nobody uses any more: dropped subvolumes, and what a kernel's
 * interrupted relocation left behind (its trees, the copies in the data relocation tree).
 *
 * A tree that is half dropped and a relocation do not go together: the tree's root leads no longer to
 * what it refers to. So a relocation holds the cleaner: that waits until nothing is left to be dropped,
 * and nothing is begun until it is released.
 *
 * Locks: a mutex of its own (RANK_TABLE_OUTER); callers hold none and have not joined.
 */
#ifndef CORE_SUBVOL_CLEANER_H
#define CORE_SUBVOL_CLEANER_H

#include "disk/base/types.h"

struct fs;

_must_check_ int cleaner_create(struct fs *fs);

/* At a mount that may write, or after cleaner_stop(): has it begin if there is anything to do. */
_must_check_ int cleaner_start(struct fs *fs);

/* Something is to be dropped: a tree whose root item has lost its last reference, in the transaction
 * that runs or an earlier one. */
_must_check_ int cleaner_wake(struct fs *fs);

/* @stopped (may be NULL) is asked now and then. -ECANCELED; the error that keeps a tree from being
 * dropped (logged by name). */
_must_check_ int cleaner_hold(struct fs *fs, bool (*stopped)(void *ctx), void *ctx);
void cleaner_release(struct fs *fs);

/* Stops between two transactions; what is left goes on at the next start or mount. */
void cleaner_stop(struct fs *fs);
void cleaner_destroy(struct fs *fs);

#endif
