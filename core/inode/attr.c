/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attr.c - see attr.h. Mode, owner and times change together with the ACL and
 * security.capability in one transaction. */
#include "core/inode/attr.h"

#include "core/file/file.h"
#include "core/fs.h"
#include "core/inode/acl_store.h"
#include "core/inode/inode_flags.h"
#include "core/inode/inode_item.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"

#define CAPS_NAME "security.capability"
#define ITEMS 4u

void attr_get(struct inode *inode, struct inode_attr *ret)
{
	inode_attr_copy(inode, ret);
}

int attr_check_write(struct inode *inode, bool append)
{
	u64 forbidding = BTRFS_INODE_IMMUTABLE | BTRFS_INODE_RO_VERITY |
			 (append ? 0u : BTRFS_INODE_APPEND);
	int r = inode_check_rw(inode);

	if (r < 0)
		return r;
	MUTEX_SCOPE(&inode->attr_lock);
	return inode->a.flags & forbidding ? -EPERM : 0;
}

/* Without suid, and without sgid where it means a group to run as; where it does not (once it meant
 * mandatory locking) it goes with a caller of another group. */
static u32 mode_without_setid(u32 mode, bool outsider)
{
	if (S_ISDIR(mode))
		return mode;
	mode &= ~(u32)S_ISUID;
	return mode & S_IXGRP || outsider ? mode & ~(u32)S_ISGID : mode;
}

/* Removes security.capability, if there is one. */
static int caps_drop_prepare(struct inode *inode, struct xattr_put *ret)
{
	int r;

	*ret = (struct xattr_put){};
	if (atomic_load(&inode->no_caps))
		return 0;
	r = xattr_put_prepare(inode->root, inode->ino, name_of(CAPS_NAME), NULL, 0, 0, ret);
	if (r == -ENODATA)
		atomic_store(&inode->no_caps, true);
	return r == -ENODATA ? 0 : r;
}

static void fill_times(const struct attr_change *c, struct inode_attr *a)
{
	struct timespec now = inode_now();

	if (c->mask & (ATTR_ATIME | ATTR_ATIME_NOW))
		a->atime = c->mask & ATTR_ATIME_NOW ? now : c->atime;
	if (c->mask & (ATTR_MTIME | ATTR_MTIME_NOW))
		a->mtime = c->mask & ATTR_MTIME_NOW ? now : c->mtime;
	a->ctime = c->mask & ATTR_CTIME ? c->ctime : now;
}

/* Owner and mode as they will be; set-id bits go when the owner changes. */
static void fill_owner(const struct attr_change *c, struct inode_attr *a)
{
	if (c->mask & ATTR_UID)
		a->uid = c->uid;
	if (c->mask & ATTR_GID)
		a->gid = c->gid;
	if (c->kill_suidgid || (c->mask & (ATTR_UID | ATTR_GID)))
		a->mode = mode_without_setid(a->mode, c->outsider);
	if (c->mask & ATTR_MODE)
		a->mode = (a->mode & S_IFMT) | (c->mode & 07777u);
}

struct attr_puts {
	struct xattr_put acl;
	struct xattr_put caps;
};

static void attr_puts_free(struct attr_puts *p)
{
	xattr_put_free(&p->acl);
	xattr_put_free(&p->caps);
}

static int prepare_puts(struct inode *inode, const struct attr_change *c, u32 mode,
			struct attr_puts *ret)
{
	int r = 0;

	if ((c->mask & ATTR_MODE) && !S_ISLNK(mode))
		r = acl_chmod_prepare(inode, mode, &ret->acl);
	if (r == 0 && (c->kill_suidgid || (c->mask & (ATTR_UID | ATTR_GID))) && !S_ISDIR(mode))
		r = caps_drop_prepare(inode, &ret->caps);
	return r;
}

/* Takes over mode, owner and times of @a and writes everything. inode->lock held for writing. */
static int commit_attr(struct inode *inode, const struct inode_attr *a,
		       const struct attr_puts *puts)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join(inode->fs, ITEMS, &trans);

	if (r < 0)
		return r;
	r = xattr_put_apply(&trans, inode->root, &puts->acl);
	if (r == 0)
		r = xattr_put_apply(&trans, inode->root, &puts->caps);
	if (r < 0) {
		trans_abort(&trans, r, "attributes");
		return r;
	}
	mutex_lock(&inode->attr_lock);
	inode->a.mode = a->mode;
	inode->a.uid = a->uid;
	inode->a.gid = a->gid;
	inode->a.atime = a->atime;
	inode->a.mtime = a->mtime;
	inode->a.ctime = a->ctime;
	inode->a.sequence++;
	mutex_unlock(&inode->attr_lock);
	return inode_update(&trans, inode);
}

/* A time that is set, not touched. */
static bool sets_time(unsigned mask)
{
	return ((mask & ATTR_ATIME) && !(mask & ATTR_ATIME_NOW)) ||
	       ((mask & ATTR_MTIME) && !(mask & ATTR_MTIME_NOW));
}

/* As the VFS would, if it knew the flags: an append-only inode lets its times be touched, an
 * immutable one only its size be changed by a descriptor that was there before the flag. */
static int check_flags(const struct inode_attr *a, const struct attr_change *c)
{
	const u64 flags = a->flags & (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND);
	const unsigned size_only = ATTR_SIZE | ATTR_CTIME | ATTR_MTIME | ATTR_MTIME_NOW;

	if (a->flags & BTRFS_INODE_RO_VERITY && c->mask & ATTR_SIZE)
		return -EPERM;
	if (!flags)
		return 0;
	if (c->mask & ATTR_SIZE)
		return flags == BTRFS_INODE_IMMUTABLE && c->opened && !(c->mask & ~size_only) ?
			       0 : -EPERM;
	if (c->mask & (ATTR_MODE | ATTR_UID | ATTR_GID) || sets_time(c->mask))
		return -EPERM;
	return flags & BTRFS_INODE_IMMUTABLE ? -EPERM : 0;
}

static int set_locked(struct inode *inode, const struct attr_change *change)
{
	_cleanup_(attr_puts_free) struct attr_puts puts = {};
	struct inode_attr a;
	int r = inode_check_rw(inode);

	if (r < 0)
		return r;
	inode_attr_copy(inode, &a);
	fill_owner(change, &a);
	fill_times(change, &a);
	r = prepare_puts(inode, change, a.mode, &puts);
	return r < 0 ? r : commit_attr(inode, &a, &puts);
}

int attr_set(struct inode *inode, const struct attr_change *change)
{
	struct inode_attr a;
	int r = inode_check_rw(inode);

	if (inode->ino & INODE_STUB_BIT)
		return -EPERM;
	inode_attr_copy(inode, &a);
	if (r == 0)
		r = check_flags(&a, change);
	if (r == 0 && (change->mask & ATTR_SIZE))
		r = inode_is_dir(inode) ? -EISDIR : file_truncate(inode, change->size);
	if (r < 0)
		return r;
	if (change->mask == ATTR_SIZE && !change->kill_suidgid)
		return 0;
	WRLOCK_SCOPE(&inode->lock);
	return set_locked(inode, change);
}

static bool has_privilege(struct inode *inode, bool kill_suidgid, bool outsider)
{
	if (!atomic_load(&inode->no_caps))
		return true;
	if (!kill_suidgid)
		return false;
	MUTEX_SCOPE(&inode->attr_lock);
	return mode_without_setid(inode->a.mode, outsider) != inode->a.mode;
}

int attr_kill_priv(struct inode *inode, bool kill_suidgid, bool outsider)
{
	_cleanup_(attr_puts_free) struct attr_puts puts = {};
	struct inode_attr a;
	u32 mode;
	int r;

	if (inode->ino & INODE_STUB_BIT || !has_privilege(inode, kill_suidgid, outsider))
		return 0;
	WRLOCK_SCOPE(&inode->lock);
	inode_attr_copy(inode, &a);
	mode = a.mode;
	if (kill_suidgid)
		a.mode = mode_without_setid(a.mode, outsider);
	r = caps_drop_prepare(inode, &puts.caps);
	if (r < 0 || (!puts.caps.set && !has_privilege(inode, kill_suidgid, outsider)))
		return r;
	r = inode_check_rw(inode);
	a.ctime = inode_now();
	if (r == 0)
		r = commit_attr(inode, &a, &puts);
	return r < 0 ? r : a.mode != mode;
}

int attr_touch_atime(struct inode *inode)
{
	int r = inode->ino & INODE_STUB_BIT ? -EROFS : inode_change_begin(inode, NULL);

	if (r < 0)
		return r;
	inode->a.atime = inode_now();
	inode_change_end(inode, NULL);
	return 0;
}
