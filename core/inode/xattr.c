/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xattr.c - see xattr.h: which names there are, and each change as one transaction together with
 * the inode item (ctime, and the mode if an access ACL changed). */
#include "core/inode/xattr.h"

#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include "core/fs.h"
#include "core/inode/acl_store.h"
#include "core/inode/compression.h"
#include "core/inode/inode_flags.h"
#include "core/inode/inode_item.h"
#include "core/quota/qgroup.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"
#include "disk/format/ondisk.h"

#define CAPS_NAME "security.capability"

static bool has_prefix(struct name name, const char *prefix)
{
	size_t len = strlen(prefix);

	return name.len > len && memcmp(name.s, prefix, len) == 0;
}

static bool is_kept(struct name name)
{
	return has_prefix(name, "user.") || has_prefix(name, "trusted.") ||
	       has_prefix(name, "security.");
}

/* A prefix and nothing behind it. */
static bool is_bare(struct name name)
{
	return name_equal(name, name_of("user.")) || name_equal(name, name_of("trusted.")) ||
	       name_equal(name, name_of("security."));
}

static int check_name(struct inode *inode, struct name name)
{
	if (inode->ino & INODE_STUB_BIT)
		return -ENODATA;
	if (name.len > NAME_LEN_MAX)
		return -ERANGE;
	if (is_bare(name))
		return -EINVAL;
	return is_kept(name) || acl_absent_flag(inode, name) ? 0 : -EOPNOTSUPP;
}

/* The flag that knows the xattr to be absent, if there is one for it. */
static _Atomic bool *absent_flag(struct inode *inode, struct name name)
{
	if (name_equal(name, name_of(CAPS_NAME)))
		return &inode->no_caps;
	return acl_absent_flag(inode, name);
}

int xattr_get(struct inode *inode, struct name name, void *buf, u32 size)
{
	_Atomic bool *absent = absent_flag(inode, name);
	int r = has_prefix(name, "btrfs.") ? 0 : check_name(inode, name);

	if (r < 0)
		return r;
	if (absent && atomic_load(absent))
		return -ENODATA;
	RDLOCK_SCOPE(&inode->lock);
	r = xattr_item_get(inode->root, inode->ino, name, buf, size);
	if (r == -ENODATA && absent)
		atomic_store(absent, true);
	return r;
}

int xattr_list(struct inode *inode, char *buf, u32 size)
{
	RDLOCK_SCOPE(&inode->lock);
	return xattr_item_list(inode->root, inode->ino, buf, size);
}

/* Names of properties: values mean something, and change more than the xattr. */
static bool is_property(struct name name)
{
	return has_prefix(name, "btrfs.");
}

static int check_property(struct inode *inode, struct name name)
{
	if (inode->ino & INODE_STUB_BIT)
		return -ENODATA;
	return name_equal(name, name_of(COMPRESSION_NAME)) ? 0 : -EINVAL;
}

static int check_change(struct inode *inode, struct name name)
{
	struct inode_attr a;
	int r = is_property(name) ? check_property(inode, name) : check_name(inode, name);

	if (r == 0)
		r = inode_check_rw(inode);
	if (r < 0)
		return r;
	inode_attr_copy(inode, &a);
	if (a.flags & (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND))
		return -EPERM;
	return 0;
}

/* One transaction: the xattr, the mode, ctime. inode->lock held for writing. */
static int commit_put(struct inode *inode, const struct xattr_put *put, u32 mode)
{
	_cleanup_trans_ struct trans trans = {};
	int r = quota_check_nodes(inode->fs, inode->root->id, 3);

	r = r < 0 ? r : trans_join(inode->fs, 3, &trans);
	if (r < 0)
		return r;
	r = xattr_put_apply(&trans, inode->root, put);
	if (r < 0) {
		trans_abort(&trans, r, "xattr");
		return r;
	}
	mutex_lock(&inode->attr_lock);
	inode->a.mode = mode;
	inode->a.ctime = inode_now();
	inode->a.sequence++;
	mutex_unlock(&inode->attr_lock);
	return inode_update(&trans, inode);
}

static u32 mode_of(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	return inode->a.mode;
}

static int set_plain(struct inode *inode, struct name name, const void *value, u32 size,
		     int flags)
{
	_cleanup_xattr_put_ struct xattr_put put = {};
	_Atomic bool *absent = absent_flag(inode, name);
	int r = xattr_put_prepare(inode->root, inode->ino, name, value, size, flags, &put);

	if (r < 0)
		return r;
	if (absent)
		atomic_store(absent, false);
	return commit_put(inode, &put, mode_of(inode));
}

static int set_acl(struct inode *inode, struct name name, const void *value, u32 size, int flags)
{
	_cleanup_xattr_put_ struct xattr_put put = {};
	_cleanup_free_ void *copy = malloc(size);
	u32 mode = mode_of(inode);
	int r;

	if (!copy)
		return -ENOMEM;
	if (S_ISLNK(inode->type))
		return -EOPNOTSUPP;
	memcpy(copy, value, size);
	r = acl_set_prepare(inode, name, copy, size, &mode, &put);
	if (r < 0)
		return r;
	if (flags & XATTR_KILL_SGID)
		mode &= ~(u32)S_ISGID;
	atomic_store(acl_absent_flag(inode, name), false);
	return commit_put(inode, &put, mode);
}

int xattr_set(struct inode *inode, struct name name, const void *value, u32 size, int flags)
{
	bool acl = acl_absent_flag(inode, name) != NULL;
	int r;

	WRLOCK_SCOPE(&inode->lock);
	r = check_change(inode, name);
	if (r < 0)
		return r == -ENODATA ? -EPERM : r;
	if (is_property(name))
		return compression_set(inode, size ? value : NULL, size,
				       flags & (XATTR_CREATE | XATTR_REPLACE));
	if (!acl)
		return set_plain(inode, name, value ? value : "", size,
				 flags & (XATTR_CREATE | XATTR_REPLACE));
	if (size > sizeof(struct posix_acl_xattr_header))
		return set_acl(inode, name, value, size, flags);
	r = set_plain(inode, name, NULL, 0, 0); /* an ACL without entries: none */
	return r == -ENODATA ? 0 : r;
}

int xattr_remove(struct inode *inode, struct name name)
{
	int r;

	WRLOCK_SCOPE(&inode->lock);
	r = check_change(inode, name);
	if (r == 0 && is_property(name))
		return compression_set(inode, NULL, 0, XATTR_REPLACE);
	if (r == 0)
		r = set_plain(inode, name, NULL, 0, 0);
	return r == -ENODATA && acl_absent_flag(inode, name) ? 0 : r; /* no ACL is no ACL */
}
