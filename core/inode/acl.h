/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acl.h - POSIX ACLs as bytes: the xattr format of acl(5) (version 2), which btrfs stores as it
 * is. The kernel's FUSE client enforces them; here they are checked, inherited and kept in step
 * with the mode. Pure. Rules: POSIX 1003.1e draft 17, sections 5.3 and 23.
 */
#ifndef CORE_INODE_ACL_H
#define CORE_INODE_ACL_H

#include "disk/base/types.h"

#define ACL_ACCESS_NAME "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"

/* More entries than an xattr of 64 KiB could hold never come. */
#define ACL_BYTES_MAX 65536u

/* 0, or -EINVAL: wrong version, order, tags, permissions, or no mask where one is needed. Ids of
 * entries that have none are made uniform. */
_must_check_ int acl_check(void *acl, u32 size);

/* The permission bits that a checked access ACL means; *extended: it says more than they do. */
u32 acl_mode(const void *acl, u32 size, u32 mode, bool *extended);

/* chmod: the ACL takes over @mode (the group bits go to the mask, if there is one). */
void acl_chmod(void *acl, u32 size, u32 mode);

/* A new inode under a default ACL: @acl (a copy of it) becomes its access ACL for the asked
 * @mode. Returns the resulting mode; *extended as above. */
u32 acl_create(void *acl, u32 size, u32 mode, bool *extended);

#endif
