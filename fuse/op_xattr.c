/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * op_xattr.c - extended attributes. The kernel has checked who may do what, but for the names of
 * trusted attributes, which only CAP_SYS_ADMIN may list.
 */
#include "core/inode/xattr.h"
#include "fuse/caller.h"
#include "fuse/edge.h"
#include "fuse/request.h"

#define XATTR_MAX_BYTES KIB(64)

/* @n: length or negative errno; @size: the caller's room, 0: only asks. */
static void reply_bytes(fuse_req_t req, int n, size_t size)
{
	if (n < 0)
		edge_reply(req, n);
	else if (!size)
		fuse_reply_xattr(req, (size_t)n);
	else if ((size_t)n > size)
		edge_reply(req, -ERANGE);
	else
		fuse_reply_buf(req, (char *)request_now.reply_buf, (size_t)n);
}

void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int n = edge_inode(edge_of(req), node, &inode);

	if (!n)
		n = xattr_get(inode, name_of(name), request_now.reply_buf,
			      (u32)MIN(size, (size_t)XATTR_MAX_BYTES));
	reply_bytes(req, n, size);
}

void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
		 size_t size, int flags)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int err = edge_inode(edge_of(req), node, &inode);

	if (request_now.kill_suidgid)
		flags |= XATTR_KILL_SGID;
	if (!err)
		err = xattr_set(inode, name_of(name), value, (u32)size, flags);
	edge_reply(req, err);
}

/* Takes trusted names out of a list of @n bytes; the bytes left. */
static int hide_trusted(char *list, int n)
{
	char *in = list, *out = list;

	while (in < list + n) {
		size_t len = strlen(in) + 1;

		if (strncmp(in, "trusted.", 8)) {
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	return (int)(out - list);
}

void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	_cleanup_inode_ struct inode *inode = NULL;
	char *list = (char *)request_now.reply_buf;
	int n = edge_inode(edge_of(req), node, &inode);

	if (!n)
		n = xattr_list(inode, list, REPLY_BUF_BYTES);
	if (n > 0 && memmem(list, (size_t)n, "trusted.", 8) && !caller_has_sys_admin(req))
		n = hide_trusted(list, n);
	reply_bytes(req, n, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int err = edge_inode(edge_of(req), node, &inode);

	if (!err)
		err = xattr_remove(inode, name_of(name));
	edge_reply(req, err);
}
