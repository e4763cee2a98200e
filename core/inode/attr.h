/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attr.h - stat, chmod, chown, times, size, inode flags. */
#ifndef CORE_INODE_ATTR_H
#define CORE_INODE_ATTR_H

#include "core/inode/inode.h"

enum attr_mask {
	ATTR_MODE = 1 << 0,
	ATTR_UID = 1 << 1,
	ATTR_GID = 1 << 2,
	ATTR_SIZE = 1 << 3,
	ATTR_ATIME = 1 << 4,
	ATTR_MTIME = 1 << 5,
	ATTR_CTIME = 1 << 6,
	ATTR_ATIME_NOW = 1 << 7,
	ATTR_MTIME_NOW = 1 << 8,
};

struct attr_change {
	unsigned mask;      /* enum attr_mask */
	u32 mode;           /* permission bits; the type is kept */
	u32 uid;
	u32 gid;
	u64 size;
	struct timespec atime;
	struct timespec mtime;
	struct timespec ctime;
	bool opened;        /* by descriptor: who may write may change the size */
	bool kill_suidgid;  /* FATTR_KILL_SUIDGID: size change by one without CAP_FSETID */
	bool outsider;      /* with it: by one who is not in the file's group */
};

void attr_get(struct inode *inode, struct inode_attr *ret);

/* All or nothing but for the size, which changes first. ctime moves to now unless given. chmod
 * keeps an access ACL's mask in step; chown drops suid, sgid and security.capability. Takes
 * inode->lock; not joined. */
_must_check_ int attr_set(struct inode *inode, const struct attr_change *change);

/* Before a write or truncate: drops security.capability always, suid/sgid when told (KILLPRIV_V2),
 * sgid without group execution only for an @outsider to the file's group.
 * Costs nothing when there is nothing to drop. 1: the mode is another now, 0: it is as it was. Takes
 * inode->lock; call it before locking. */
_must_check_ int attr_kill_priv(struct inode *inode, bool kill_suidgid, bool outsider);

/* Access time now (the edge decides when). In memory, written with the next commit. */
_must_check_ int attr_touch_atime(struct inode *inode);

/* FS_*_FL as FS_IOC_GETFLAGS shows them. Setting follows the kernel: NOCOW takes effect on empty
 * files and on directories, and is silently left as it was otherwise; COMPR: -EOPNOTSUPP. The
 * VFS has checked ownership and CAP_LINUX_IMMUTABLE. */
u32 attr_get_flags(struct inode *inode);
_must_check_ int attr_set_flags(struct inode *inode, u32 fs_flags);

/* chattr +S (and for directories +D): whoever changes the content answers when it is durable. */
bool attr_is_synchronous(struct inode *inode);
/* chattr +a. */
bool attr_is_append_only(struct inode *inode);

/* FS_XFLAG_* of FS_IOC_FSGETXATTR; other flags are kept when setting. */
u32 attr_get_xflags(struct inode *inode);
_must_check_ int attr_set_xflags(struct inode *inode, u32 xflags);

/* -EROFS in a read-only subvolume or mount; -EPERM if the immutable (or, unless @append, append-only)
 * flag forbids to change the content. */
_must_check_ int attr_check_write(struct inode *inode, bool append);

#endif
