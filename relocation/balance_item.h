/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance_item.h - the item that says a balance is running or paused, as the kernel keeps it.
 *
 * It is there from the start of a balance until it ends or is cancelled, through pauses and
 * remounts, so that whoever mounts next goes on. It has no cursor. Source: struct btrfs_balance_item
 * and its key (BALANCE, TEMPORARY_ITEM, 0) in <linux/btrfs_tree.h>.
 */
#ifndef RELOCATION_BALANCE_ITEM_H
#define RELOCATION_BALANCE_ITEM_H

#include <linux/btrfs.h>

#include "disk/base/types.h"

struct fs;

/* Fills flags and filters; the rest is zeroed. -ENOENT: there is none. */
_must_check_ int balance_item_read(struct fs *fs, struct btrfs_ioctl_balance_args *ret);

/* Both are durable on return. Writing replaces one that could not be deleted. -ENOSPC, and nothing
 * changed; -ENOENT: nothing to delete. */
_must_check_ int balance_item_write(struct fs *fs, const struct btrfs_ioctl_balance_args *args);
_must_check_ int balance_item_delete(struct fs *fs);

#endif
