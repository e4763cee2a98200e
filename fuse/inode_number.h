/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inode_number.h - st_ino: unique across the mount, since all subvolumes share one st_dev.
 *
 * Without it find, cp, tar and rsync take a snapshot's file for a hard link to the original. The
 * mounted subvolume keeps its numbers; another subvolume's get an index in the top 16 bits, which
 * is its id if that is small (so it stays the same from mount to mount) and is handed out
 * otherwise.
 */
#ifndef FUSE_INODE_NUMBER_H
#define FUSE_INODE_NUMBER_H

#include "disk/base/types.h"

/* The other way: which (root, ino) shows as @number. False: none can. */
_must_check_ bool inode_number_decode(u64 mounted, u64 number, u64 *root_id, u64 *ino);

/* @mounted is the id of the subvolume at the mountpoint. Thread safe; allocates nothing. */
u64 inode_number(u64 mounted, u64 root_id, u64 ino);

#endif
