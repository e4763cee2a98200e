/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioctl_search.c - items of trees, and paths of inodes, for programs that know the format. */
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>

#include "core/subvol/tree_query.h"
#include "fuse/caller.h"
#include "fuse/ioctl.h"

#define SEARCH_V2_MAX MIB(16)

int ioctl_tree_search(struct ioctl_call *c)
{
	struct btrfs_ioctl_search_args *a = c->out;
	size_t len;
	int err;

	memcpy(a, c->in, sizeof(*a));
	memset(a->buf, 0, sizeof(a->buf));
	err = tree_query(c->inode, &a->key, (u8 *)a->buf, sizeof(a->buf), &len);
	c->out_len = sizeof(*a);
	return err;
}

/* The result stands behind the struct, where only the caller's memory is. */
int ioctl_tree_search_v2(struct ioctl_call *c)
{
	struct btrfs_ioctl_search_args_v2 *a = c->out;
	_cleanup_free_ u8 *buf = NULL;
	size_t size, len = 0;
	int err;

	memcpy(a, c->in, sizeof(*a));
	size = MIN((size_t)a->buf_size, (size_t)SEARCH_V2_MAX);
	buf = malloc(size ? size : 1);
	if (!buf)
		return -ENOMEM;
	err = tree_query(c->inode, &a->key, buf, size, &len);
	if (err == -EOVERFLOW)
		a->buf_size = len;
	else if (!err && len)
		err = caller_write(c->req, c->arg + sizeof(*a), buf, len);
	c->out_len = sizeof(*a);
	return err;
}

/* Anybody may ask which subvolume a file is in; paths are for administrators. */
int ioctl_ino_lookup(struct ioctl_call *c)
{
	struct btrfs_ioctl_ino_lookup_args *a = c->out;
	int err = 0;

	memcpy(a, c->in, sizeof(*a));
	memset(a->name, 0, sizeof(a->name));
	if (!a->treeid)
		a->treeid = edge_root_id(c->inode);
	if (a->objectid != BTRFS_FIRST_FREE_OBJECTID) {
		if (!caller_may_administrate(c->req))
			return -EPERM;
		err = tree_path_of(c->e->fs, a->treeid, a->objectid, a->name, sizeof(a->name));
	}
	c->out_len = sizeof(*a);
	return err;
}
