/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance.h - moving block groups, as the balance ioctls ask for it.
 *
 * One balance at a time, in a thread of its own: who starts it is answered by a call back when it
 * ends. Chunks are taken in descending order of their address, as listed at the start.
 *
 * Locks: a mutex of its own (RANK_TABLE_OUTER); no caller may hold any other.
 */
#ifndef RELOCATION_BALANCE_H
#define RELOCATION_BALANCE_H

#include <linux/btrfs.h>

#include "disk/base/types.h"

struct fs;

/* Once for each file system, before any of the others. balance_shutdown() undoes it. */
_must_check_ int balance_create(struct fs *fs);

/* Called once from the balance's thread, without locks. @err 0, -ECANCELED, -ENOSPC, -EIO...;
 * @args is what the ioctl gives back. */
typedef void balance_done_fn(void *ctx, int err, const struct btrfs_ioctl_balance_args *args);

/* -EINPROGRESS: one is running. -EINVAL: no type, a bad range. -EOPNOTSUPP: a filter or flag that
 * is not supported, or a half-deleted subvolume (logged by name). -EROFS. After 0 @done is called
 * exactly once, even if the file system is closed before. */
_must_check_ int balance_start(struct fs *fs, const struct btrfs_ioctl_balance_args *args,
			       balance_done_fn *done, void *ctx);

/* Stops the running balance at the next batch and waits until it has ended. -ENOTCONN: none. */
_must_check_ int balance_cancel(struct fs *fs);

/* Asks it to stop and returns at once (an interrupted caller, a daemon that is to end). */
void balance_request_stop(struct fs *fs);

/* -ENOTCONN: none is running. */
_must_check_ int balance_progress(struct fs *fs, struct btrfs_ioctl_balance_args *ret);

/* Before fs_close(): stops a running balance, waits for it, frees what it kept. */
void balance_shutdown(struct fs *fs);

#endif
