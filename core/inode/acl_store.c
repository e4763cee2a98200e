/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acl_store.c - see acl_store.h. */
#include "core/inode/acl_store.h"

#include <linux/posix_acl_xattr.h>

#include "core/inode/acl.h"

void acl_inherited_free(struct acl_inherited *a)
{
	xattr_put_free(&a->access);
	xattr_put_free(&a->deflt);
}

_Atomic bool *acl_absent_flag(struct inode *inode, struct name name)
{
	if (name_equal(name, name_of(ACL_ACCESS_NAME)))
		return &inode->no_access_acl;
	if (name_equal(name, name_of(ACL_DEFAULT_NAME)))
		return &inode->no_default_acl;
	return NULL;
}

/* The stored ACL in a buffer of the caller's to free. Its size, or -ENODATA. */
static int acl_load(struct inode *inode, struct name name, void **ret)
{
	_cleanup_free_ void *buf = NULL;
	_Atomic bool *absent = acl_absent_flag(inode, name);
	int r;

	if (atomic_load(absent))
		return -ENODATA;
	buf = malloc(ACL_BYTES_MAX);
	if (!buf)
		return -ENOMEM;
	r = xattr_item_get(inode->root, inode->ino, name, buf, ACL_BYTES_MAX);
	if (r == -ENODATA)
		atomic_store(absent, true);
	if (r < 0)
		return r;
	if (acl_check(buf, (u32)r) < 0)
		return -EUCLEAN;
	*ret = TAKE(buf);
	return r;
}

static int put_new(struct inode *dir, u64 ino, const char *name, const void *acl, u32 size,
		   struct xattr_put *ret)
{
	return xattr_put_prepare(dir->root, ino, name_of(name), acl, size, 0, ret);
}

int acl_inherit_prepare(struct inode *dir, u64 ino, u32 mode, u32 umask,
			struct acl_inherited *ret)
{
	_cleanup_free_ void *acl = NULL;
	bool extended = false;
	int size, r = 0;

	*ret = (struct acl_inherited){ .mode = mode };
	if (S_ISLNK(mode))
		return 0;
	size = acl_load(dir, name_of(ACL_DEFAULT_NAME), &acl);
	if (size == -ENODATA) {
		ret->mode = mode & ~(umask & 0777u);
		return 0;
	}
	if (size < 0)
		return size;
	if (S_ISDIR(mode))
		r = put_new(dir, ino, ACL_DEFAULT_NAME, acl, (u32)size, &ret->deflt);
	ret->mode = acl_create(acl, (u32)size, mode, &extended);
	if (r == 0 && extended)
		r = put_new(dir, ino, ACL_ACCESS_NAME, acl, (u32)size, &ret->access);
	if (r < 0)
		acl_inherited_free(ret);
	return r;
}

int acl_chmod_prepare(struct inode *inode, u32 mode, struct xattr_put *ret)
{
	_cleanup_free_ void *acl = NULL;
	int size = acl_load(inode, name_of(ACL_ACCESS_NAME), &acl);

	*ret = (struct xattr_put){};
	if (size < 0)
		return size == -ENODATA ? 0 : size;
	acl_chmod(acl, (u32)size, mode);
	return xattr_put_prepare(inode->root, inode->ino, name_of(ACL_ACCESS_NAME), acl, (u32)size,
				 0, ret);
}

int acl_set_prepare(struct inode *inode, struct name name, void *value, u32 size, u32 *mode,
		    struct xattr_put *ret)
{
	bool access = acl_absent_flag(inode, name) == &inode->no_access_acl;
	bool extended = true;
	int r = acl_check(value, size);

	*ret = (struct xattr_put){};
	if (r < 0)
		return r;
	if (!access && !inode_is_dir(inode))
		return -EINVAL;
	if (access)
		*mode = acl_mode(value, size, *mode, &extended);
	if (extended)
		return xattr_put_prepare(inode->root, inode->ino, name, value, size, 0, ret);
	r = xattr_put_prepare(inode->root, inode->ino, name, NULL, 0, 0, ret);
	return r == -ENODATA ? 0 : r;
}
