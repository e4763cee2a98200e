/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_item.h - INODE_ITEM: bytes and attributes. */
#ifndef CORE_INODE_INODE_ITEM_H
#define CORE_INODE_INODE_ITEM_H

#include <linux/btrfs_tree.h>

#include "core/inode/inode.h"

/* Pure. On disk rdev is major << 20 | minor. Encoding leaves fields that we have no member for as
 * they are. */
void inode_item_decode(const struct btrfs_inode_item *item, struct inode_attr *ret);
void inode_item_encode(const struct inode_attr *attr, struct btrfs_inode_item *item);

/* -ENOENT. */
_must_check_ int inode_item_read(struct root *root, u64 ino, struct inode_attr *ret);

/* Joined; whoever joined aborts on error. Insert is for a new inode; write overwrites, marks the
 * inode clean and gives its reservation back. */
_must_check_ int inode_item_insert(struct trans *trans, struct inode *inode);
_must_check_ int inode_item_write(struct trans *trans, struct inode *inode);

#endif
