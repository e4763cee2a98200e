/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl_inode.c - flags of one file: lsattr, chattr, project-style flags. The VFS has checked
 * owner and CAP_LINUX_IMMUTABLE.
 */
#include <linux/fs.h>
#include <linux/fsverity.h>

#include "core/inode/attr.h"
#include "core/inode/verity.h"
#include "fuse/ioctl.h"

static int give(struct ioctl_call *c, const void *data, size_t len)
{
	memcpy(c->out, data, len);
	c->out_len = len;
	return 0;
}

int ioctl_get_flags(struct ioctl_call *c)
{
	u32 flags = attr_get_flags(c->inode);

	return give(c, &flags, sizeof(flags));
}

/* The change time moved behind the kernel's back. */
static int changed(struct ioctl_call *c, int err)
{
	if (!err)
		session_forget_attr(fuse_req_userdata(c->req), c->node);
	return err;
}

int ioctl_set_flags(struct ioctl_call *c)
{
	u32 flags;

	memcpy(&flags, c->in, sizeof(flags));
	return changed(c, attr_set_flags(c->inode, flags));
}

int ioctl_get_xattr(struct ioctl_call *c)
{
	struct fsxattr x = {.fsx_xflags = attr_get_xflags(c->inode)};

	return give(c, &x, sizeof(x));
}

int ioctl_set_xattr(struct ioctl_call *c)
{
	struct fsxattr x;

	memcpy(&x, c->in, sizeof(x));
	if (x.fsx_extsize || x.fsx_projid || x.fsx_cowextsize)
		return -EOPNOTSUPP;
	return changed(c, attr_set_xflags(c->inode, x.fsx_xflags));
}

int ioctl_get_version(struct ioctl_call *c)
{
	u32 generation = (u32)c->inode->a.generation;

	return give(c, &generation, sizeof(generation));
}

/* The kernel hands on as many bytes as the caller said that he has room for. */
int ioctl_measure_verity(struct ioctl_call *c)
{
	struct fsverity_digest head = {.digest_algorithm = VERITY_SHA256,
				       .digest_size = VERITY_DIGEST_BYTES};
	u8 reply[sizeof(head) + VERITY_DIGEST_BYTES];
	int err = verity_measure(c->inode, reply + sizeof(head));

	if (err)
		return err;
	memcpy(reply, &head, sizeof(head));
	return c->out_size < sizeof(reply) ? -EOVERFLOW : give(c, reply, sizeof(reply));
}
