/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tree_query.h - reading items of any tree from outside, as BTRFS_IOC_TREE_SEARCH does. */
#ifndef CORE_SUBVOL_TREE_QUERY_H
#define CORE_SUBVOL_TREE_QUERY_H

#include <linux/btrfs.h>

#include "disk/base/types.h"

struct fs;
struct inode;

/*
 * Copies items from the smallest key of @q on, as long as they are not beyond its largest one, whose
 * leaf's generation lies in q's range: each a struct btrfs_ioctl_search_header and the data, behind
 * each other. q->tree_id 0 is @inode's own tree. *q gets nr_items copied and the smallest key of
 * what follows. -EOVERFLOW: the first item does not fit, *ret_len is what it wants. -ENOENT: no such
 * tree. No tree lock held; may read.
 */
_must_check_ int tree_query(struct inode *inode, struct btrfs_ioctl_search_key *q, u8 *buf,
			    size_t size, size_t *ret_len);

/* The path of @ino from the root of subvolume @root_id, with a slash at its end, as
 * BTRFS_IOC_INO_LOOKUP gives it. -ENOENT, -ENAMETOOLONG. */
_must_check_ int tree_path_of(struct fs *fs, u64 root_id, u64 ino, char *buf, size_t size);

#endif
