/* SPDX-License-Identifier: GPL-2.0-or-later */
/* op_attr.c - stat, chmod, chown, utimes, truncate. */
#include "core/inode/attr.h"
#include "fuse/caller.h"
#include "fuse/edge.h"
#include "fuse/request.h"

static void reply_attr(fuse_req_t req, int err, struct inode *inode)
{
	struct stat st;

	if (err) {
		edge_reply(req, err);
		return;
	}
	edge_stat(edge_of(req), inode, &st);
	fuse_reply_attr(req, &st, EDGE_TIMEOUT_S);
}

void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int err = edge_inode(edge_of(req), node, &inode);

	reply_attr(req, err, inode);
}

static const struct {
	int fuse;
	unsigned core;
} set_bits[] = {
	{FUSE_SET_ATTR_MODE, ATTR_MODE},
	{FUSE_SET_ATTR_UID, ATTR_UID},
	{FUSE_SET_ATTR_GID, ATTR_GID},
	{FUSE_SET_ATTR_SIZE, ATTR_SIZE},
	{FUSE_SET_ATTR_ATIME, ATTR_ATIME},
	{FUSE_SET_ATTR_MTIME, ATTR_MTIME},
	{FUSE_SET_ATTR_CTIME, ATTR_CTIME},
	{FUSE_SET_ATTR_ATIME_NOW, ATTR_ATIME_NOW},
	{FUSE_SET_ATTR_MTIME_NOW, ATTR_MTIME_NOW},
};

static struct attr_change change_of(const struct stat *attr, int to_set)
{
	struct attr_change c = {
		.mode = attr->st_mode & 07777,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.size = (u64)attr->st_size,
		.atime = attr->st_atim,
		.mtime = attr->st_mtim,
		.ctime = attr->st_ctim,
		.kill_suidgid = request_now.kill_suidgid || !to_set,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(set_bits); i++)
		if (to_set & set_bits[i].fuse)
			c.mask |= set_bits[i].core;
	return c;
}

/* Nothing to set: a chown of nobody to nobody, or the kernel before a write. Both take set-id bits
 * away; only the owner may chown, and a write says itself that they go. */
static bool is_idle(fuse_req_t req, struct inode *inode)
{
	struct inode_attr a;
	uid_t caller = fuse_req_ctx(req)->uid;

	attr_get(inode, &a);
	return caller && caller != a.uid;
}

void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct attr_change c = change_of(attr, to_set);
	_cleanup_inode_ struct inode *inode = NULL;
	int err = edge_inode(edge_of(req), node, &inode);

	c.opened = fi != NULL;
	c.outsider = !err && c.kill_suidgid && caller_is_outsider(req, inode);
	/* ftruncate() to the same size is a change of the file, truncate() is not */
	if (!err && fi && (c.mask & ATTR_SIZE) && c.size == inode_size(inode))
		c.mask |= ATTR_MTIME_NOW;
	if (!err && (to_set || !is_idle(req, inode)))
		err = attr_set(inode, &c);
	reply_attr(req, err, inode);
}
