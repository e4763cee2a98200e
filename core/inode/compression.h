/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compression.h - whether and how a file's content is to be compressed: the btrfs.compression
 * property, the inode's flags, the mount options.
 *
 * The property is an xattr of files and directories ("zlib", "lzo", "zstd", "no", "none"); setting
 * it changes the flags COMPRESS and NOCOMPRESS with it, and new files inherit their directory's.
 * NODATACOW and NODATASUM exclude compression. Rules as the kernel's.
 */
#ifndef CORE_INODE_COMPRESSION_H
#define CORE_INODE_COMPRESSION_H

#include "core/inode/inode.h"
#include "core/inode/xattr_item.h"

#define COMPRESSION_NAME "btrfs.compression"

/* The type that the property asks for, COMPRESS_NONE if it asks for none. May read: not joined, no
 * tree lock. A failed read counts as none, for now. */
u8 compression_property(struct inode *inode);

/* What may be said of an inode's compression. */
struct compression_change {
	struct xattr_put put;
	u64 set, clear; /* inode flags */
	u8 type;
};

void compression_change_free(struct compression_change *c);
#define _cleanup_compression_ _cleanup_(compression_change_free)

/* @value NULL: no property. -EINVAL for a value that means nothing, -ENODATA, -EEXIST by
 * @flags. inode->lock held for writing from here to the apply. */
_must_check_ int compression_prepare(struct inode *inode, const char *value, u32 len, int flags,
				     struct compression_change *ret);

/* Joined, one item: the xattr; what inode->a.flags becomes is the caller's to store
 * (compression_flags()). */
_must_check_ int compression_apply(struct trans *trans, struct inode *inode,
				   const struct compression_change *c);
u64 compression_flags(u64 flags, const struct compression_change *c);

/* setxattr and removexattr (@value NULL; XATTR_REPLACE: -ENODATA if there is none) of the property,
 * in a transaction of their own. inode->lock held for writing, the right to change the inode
 * checked. */
_must_check_ int compression_set(struct inode *inode, const char *value, u32 len, int flags);

/* What chattr's c makes of the property: the mount's type, or zlib. */
const char *compression_default(const struct fs *fs);

/* A new inode @ino with @flags of type @mode in @dir: ret->put.set is false without a property.
 * @dir's lock is held. */
_must_check_ int compression_inherit(struct inode *dir, u64 ino, u32 mode, u64 flags,
				     struct compression_change *ret);

/* How to write content now. */
struct compression_choice {
	u8 type;
	int level;
	bool force;   /* without asking whether it is promising */
	bool forgive; /* content that does not shrink does not end compressing this file */
};

/* False: not at all. As compression_property(). */
bool compression_choose(struct inode *inode, struct compression_choice *ret);

/* Content did not shrink: this file's is not compressed any more. Not joined. */
void compression_give_up(struct inode *inode);

/* The superblock says from this transaction on that extents of @type may exist. Before the join
 * that makes one ends. */
void compression_announce(struct fs *fs, u8 type);

#endif
