/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * op_lookup.c - names to inodes and back to nothing: lookup, forget, readlink; and statfs.
 */
#include "core/inode/attr.h"
#include "core/inode/dir.h"
#include "core/inode/namei.h"
#include "core/space/space.h"
#include "fuse/edge.h"
#include "fuse/request.h"

static int lookup_parent(struct inode *dir, struct inode **ret)
{
	u64 root_id, ino;
	int err = dir_parent(dir, &root_id, &ino);

	return err ? err : inode_get(dir->fs, root_id, ino, ret);
}

/* "." and ".." come from whoever opens by file handle (FUSE_EXPORT_SUPPORT). */
static int lookup(struct inode *dir, const char *name, struct inode **ret)
{
	struct inode_attr a;

	if (strcmp(name, ".") == 0) {
		attr_get(dir, &a);
		if (a.nlink == 0) /* unlinked, and the kernel is about to say so */
			return -ESTALE;
		*ret = inode_ref(dir);
		return 0;
	}
	if (strcmp(name, "..") == 0)
		return lookup_parent(dir, ret);
	return namei_lookup(dir, name_of(name), ret);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fuse_entry_param miss = {.entry_timeout = EDGE_TIMEOUT_S};
	_cleanup_inode_ struct inode *dir = NULL;
	_cleanup_inode_ struct inode *inode = NULL;
	int err = edge_inode(edge_of(req), parent, &dir);

	if (!err)
		err = lookup(dir, name, &inode);
	if (err == -ENOENT)
		fuse_reply_entry(req, &miss); /* remembered as missing */
	else
		edge_reply_entry(req, err, inode);
}

void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	inode_put(node_table_forget(edge_of(req)->nodes, node, count));
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		inode_put(node_table_forget(edge_of(req)->nodes, forgets[i].ino,
					    forgets[i].nlookup));
	fuse_reply_none(req);
}

void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	_cleanup_inode_ struct inode *inode = NULL;
	char *buf = (char *)request_now.reply_buf;
	u32 len = KIB(64);
	int err = edge_inode(edge_of(req), node, &inode);

	if (!err)
		err = namei_readlink(inode, buf, &len);
	if (err) {
		edge_reply(req, err);
		return;
	}
	buf[len] = 0;
	edge_touch_atime(edge_of(req), inode); /* the kernel asks for the time after the answer */
	fuse_reply_readlink(req, buf);
}

void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct fs *fs = edge_of(req)->fs;
	struct space_stat s;
	struct statvfs v = {.f_bsize = fs->sectorsize, .f_frsize = fs->sectorsize, .f_namemax = 255};

	space_statfs(fs, &s);
	v.f_blocks = s.total_bytes / fs->sectorsize;
	v.f_bfree = s.free_bytes / fs->sectorsize;
	v.f_bavail = s.avail_bytes / fs->sectorsize;
	fuse_reply_statfs(req, &v);
}
