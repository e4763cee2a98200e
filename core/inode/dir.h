/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dir.h - reading directories, and the way up. */
#ifndef CORE_INODE_DIR_H
#define CORE_INODE_DIR_H

#include "core/inode/inode.h"
#include "core/inode/name.h"

struct dir_record {
	struct name name;
	u64 objectid;    /* of the location: inode number, or subvolume id */
	u8 key_type;     /* BTRFS_INODE_ITEM_KEY or BTRFS_ROOT_ITEM_KEY */
	u8 ftype;        /* BTRFS_FT_*, equal to S_IFMT >> 12 through dir_ftype_dtype() */
	u64 next_off;    /* where reading goes on after this one */
};

/* 0: go on; anything else ends the reading and is returned by dir_read() if negative. */
typedef int (*dir_read_fn)(void *ctx, const struct dir_record *rec);

/* Entries in index order from @off on; 0 and 1 are the edge's "." and "..", entries start at 2.
 * Offsets stay good whatever is created or removed meanwhile. No tree lock is held while @cb runs,
 * but the directory's lock (shared) is: @cb may call inode_get() and dir_child(), nothing that
 * locks an inode. 0 at the end or when @cb stopped. */
_must_check_ int dir_read(struct inode *dir, u64 off, dir_read_fn cb, void *ctx);

/* First index not given out yet: a reader that stops there ends even while names are added. */
_must_check_ int dir_index_end(struct inode *dir, u64 *ret);

/* The inode that a record stands for (what namei_lookup() would return). */
_must_check_ int dir_child(struct inode *dir, const struct dir_record *rec, struct inode **ret);

/* The same without loading it: which inode (root and number) the record leads to. A subvolume
 * that is not reachable gives the stub's number in the directory's own root. */
_must_check_ int dir_child_id(struct inode *dir, const struct dir_record *rec, u64 *root_id,
			      u64 *ino);

/* Parent directory; crosses to the parent subvolume from inode 256. -ENOENT at the top level. */
_must_check_ int dir_parent(struct inode *dir, u64 *root_id, u64 *ino);

/* BTRFS_FT_* to DT_* and from a mode. */
u8 dir_ftype_dtype(u8 ftype);
u8 dir_ftype_of_mode(u32 mode);

#endif
