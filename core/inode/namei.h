/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namei.h - operations on names: lookup, create, link, unlink, rename.
 *
 * They take the inode locks they need themselves; the caller holds none and is not joined.
 * Permission bits are the edge's business (default_permissions); the immutable and append-only
 * flags and read-only subvolumes are checked here. Expected errors are those of the system call.
 */
#ifndef CORE_INODE_NAMEI_H
#define CORE_INODE_NAMEI_H

#include "core/inode/inode.h"
#include "core/inode/name.h"

/* Who asks. @umask is applied here unless a default ACL takes its place: the edge must not
 * apply it before. */
struct cred {
	u32 uid;
	u32 gid;
	u32 umask;
};

/* The inode behind a name, with a reference. Crosses into nested subvolumes: inode 256 of that
 * root, or an empty stub directory where the subvolume is not reachable. -ENOENT. */
_must_check_ int namei_lookup(struct inode *dir, struct name name, struct inode **ret);

/* Creates a file, directory, device, fifo, socket or (with @target) symlink. */
_must_check_ int namei_create(struct inode *dir, struct name name, u32 mode, dev_t rdev,
			      const struct cred *cred, const char *target, struct inode **ret);

/* A regular file without a name (O_TMPFILE) that namei_link() may give one; its last reference
 * deletes it otherwise. */
_must_check_ int namei_tmpfile(struct inode *dir, u32 mode, const struct cred *cred,
			       struct inode **ret);

_must_check_ int namei_link(struct inode *inode, struct inode *dir, struct name name);

/* @gone gets the inode that the name stood for, with a reference: whoever still has it open keeps
 * that reference. Its items go with the last one. May be NULL. */
_must_check_ int namei_unlink(struct inode *dir, struct name name, struct inode **gone);
_must_check_ int namei_rmdir(struct inode *dir, struct name name, struct inode **gone);

/* @flags: 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT (then @cred owns the device 0:0 that
 * takes the old name; else it may be NULL). @gone gets the inode that was replaced, or NULL. */
_must_check_ int namei_rename(struct inode *old_dir, struct name old_name, struct inode *new_dir,
			      struct name new_name, unsigned flags, const struct cred *cred,
			      struct inode **gone);

/* Target of a symlink, without a terminator; *@len in: room, out: length. -EINVAL, -EUCLEAN. */
_must_check_ int namei_readlink(struct inode *inode, char *buf, u32 *len);

#endif
