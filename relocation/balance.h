/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance.h - moving block groups, as the balance ioctls ask for it.
 *
 * One balance at a time, in a thread of its own: who starts it is answered by a call back when it
 * ends or pauses. A paused one has its item on disk and goes on when it is asked to, or at the next
 * mount, here or in the kernel.
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

/* Called once from the balance's thread, without locks. @err 0, -ECANCELED (also if it was paused:
 * the state says which), -ENOSPC, -EIO...; @args is what the ioctl gives back. */
typedef void balance_done_fn(void *ctx, int err, const struct btrfs_ioctl_balance_args *args);

/* Starts one, or with BTRFS_BALANCE_RESUME lets the paused one go on. -EINPROGRESS: one is running or
 * paused. -ENOTCONN: none to go on with. -EINVAL: no type, a profile that cannot be, less redundancy
 * without force. -EOPNOTSUPP: a filter or flag that is not supported. -EROFS. After 0 @done is called exactly once, even if the file system is closed
 * before. */
_must_check_ int balance_start(struct fs *fs, const struct btrfs_ioctl_balance_args *args,
			       balance_done_fn *done, void *ctx);

/* At a mount that may write: takes over the balance whose item is on disk, if there is one, and lets
 * it go on unless @skip. */
_must_check_ int balance_recover(struct fs *fs, bool skip);

/* Stops the running balance and waits for that; its item stays. -ENOTCONN: none is running. */
_must_check_ int balance_pause(struct fs *fs);

/* Ends the running or paused balance and waits for that. -ENOTCONN: none. */
_must_check_ int balance_cancel(struct fs *fs);

/* Asks it to end and returns at once (an interrupted caller). */
void balance_request_stop(struct fs *fs);

/* -ENOTCONN: none is running or paused. */
_must_check_ int balance_progress(struct fs *fs, struct btrfs_ioctl_balance_args *ret);

/* Before fs_close(): pauses a running balance, waits for it, frees what it kept. */
void balance_shutdown(struct fs *fs);

#endif
