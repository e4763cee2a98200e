/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xattr.h - extended attributes, POSIX ACLs among them.
 *
 * Names come with their prefix. user., trusted., security. and system.posix_acl_access/default are
 * kept; btrfs.compression is a property (compression.h). They take inode->lock; not joined.
 */
#ifndef CORE_INODE_XATTR_H
#define CORE_INODE_XATTR_H

#include "core/inode/inode.h"
#include "core/inode/name.h"

/* Length of the value, or of all names with a NUL each; @size 0 only asks for it.
 * -ERANGE if @buf is too small, -ENODATA, -EOPNOTSUPP. */
_must_check_ int xattr_get(struct inode *inode, struct name name, void *buf, u32 size);
_must_check_ int xattr_list(struct inode *inode, char *buf, u32 size);

/* @flags: XATTR_CREATE, XATTR_REPLACE; XATTR_KILL_SGID with an access ACL drops sgid
 * (FUSE_SETXATTR_ACL_KILL_SGID). -EEXIST, -ENODATA, -ENOSPC, -EINVAL, -EOPNOTSUPP. */
#define XATTR_KILL_SGID 0x100
_must_check_ int xattr_set(struct inode *inode, struct name name, const void *value, u32 size,
			   int flags);
_must_check_ int xattr_remove(struct inode *inode, struct name name);

#endif
