/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acl_store.h - the ACLs of an inode: read, inherited, changed along with the mode.
 * The caller holds inode->lock (of the directory, for inheriting); see xattr_item.h for prepare
 * and apply. */
#ifndef CORE_INODE_ACL_STORE_H
#define CORE_INODE_ACL_STORE_H

#include "core/inode/inode.h"
#include "core/inode/xattr_item.h"

/* What a new inode gets from its directory. */
struct acl_inherited {
	u32 mode;
	struct xattr_put access;
	struct xattr_put deflt;
};

void acl_inherited_free(struct acl_inherited *a);

/* For a new inode number @ino in @dir, asked for with @mode. Without a default ACL (and for
 * symlinks) the umask applies instead. */
_must_check_ int acl_inherit_prepare(struct inode *dir, u64 ino, u32 mode, u32 umask,
				     struct acl_inherited *ret);

/* chmod: ret->set is false if there is no access ACL. */
_must_check_ int acl_chmod_prepare(struct inode *inode, u32 mode, struct xattr_put *ret);

/* A new ACL from the user. *mode in: as it is, out: as an access ACL makes it; an access ACL that
 * says no more than the mode is removed. @value may be changed (made uniform). -EINVAL. */
_must_check_ int acl_set_prepare(struct inode *inode, struct name name, void *value, u32 size,
				 u32 *mode, struct xattr_put *ret);

/* Which of the known-absent flags belongs to @name, or NULL. */
_Atomic bool *acl_absent_flag(struct inode *inode, struct name name);

#endif
