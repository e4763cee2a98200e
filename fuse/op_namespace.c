/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * op_namespace.c - what adds, moves and removes names. The umask is applied by core, since a
 * default ACL takes its place (FUSE_DONT_MASK).
 */
#include "core/inode/attr.h"
#include "core/inode/namei.h"
#include "core/trans/transaction.h"
#include "fuse/edge.h"
#include "fuse/request.h"

static struct cred cred_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct cred){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

/* chattr +S and +D: the answer waits until the change is durable. */
static int settle(struct inode *dir)
{
	return attr_is_synchronous(dir) ? trans_commit(dir->fs) : 0;
}

static int make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev,
		const char *target, struct inode **ret)
{
	const struct cred cred = cred_of(req);
	_cleanup_inode_ struct inode *dir = NULL;
	int err = edge_inode(edge_of(req), parent, &dir);

	if (!err)
		err = namei_create(dir, name_of(name), mode, rdev, &cred, target, ret);
	return err ? err : settle(dir);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int err = make(req, parent, name, mode, rdev, NULL, &inode);

	edge_reply_entry(req, err, inode);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int err = make(req, parent, name, S_IFDIR | (mode & 07777), 0, NULL, &inode);

	edge_reply_entry(req, err, inode);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int err = make(req, parent, name, S_IFLNK | 0777, 0, target, &inode);

	edge_reply_entry(req, err, inode);
}

static int make_nameless(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct inode **ret)
{
	const struct cred cred = cred_of(req);
	_cleanup_inode_ struct inode *dir = NULL;
	int err = edge_inode(edge_of(req), parent, &dir);

	return err ? err : namei_tmpfile(dir, mode, &cred, ret);
}

/* The kernel has looked the name up and found nothing, and holds the directory's lock. O_TMPFILE
 * comes here, too. */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	_cleanup_inode_ struct inode *inode = NULL;
	struct edge *e = edge_of(req);
	struct fuse_entry_param entry;
	int err = request_now.tmpfile ?
			  make_nameless(req, parent, mode, &inode) :
			  make(req, parent, name, S_IFREG | (mode & 07777), 0, NULL, &inode);

	if (!err)
		err = edge_entry(e, inode, &entry);
	if (err) {
		edge_reply(req, err);
		return;
	}
	fi->flags &= ~O_TRUNC; /* it is new */
	err = handle_open(req, entry.ino, inode, fi);
	if (err) {
		edge_entry_undo(e, &entry);
		edge_reply(req, err);
	} else if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
		handle_close(e, edge_handle(fi));
		edge_entry_undo(e, &entry);
	}
}

void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name)
{
	_cleanup_inode_ struct inode *inode = NULL;
	_cleanup_inode_ struct inode *dir = NULL;
	int err = edge_inode(edge_of(req), node, &inode);

	if (!err)
		err = edge_inode(edge_of(req), parent, &dir);
	if (!err)
		err = namei_link(inode, dir, name_of(name));
	if (!err)
		err = settle(dir);
	edge_reply_entry(req, err, inode);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name,
			int (*remove)(struct inode *dir, struct name name, struct inode **gone))
{
	_cleanup_inode_ struct inode *dir = NULL;
	struct inode *gone = NULL;
	struct edge *e = edge_of(req);
	int err = edge_inode(e, parent, &dir);

	if (!err)
		err = remove(dir, name_of(name), &gone);
	if (!err)
		err = settle(dir);
	edge_reply(req, err);
	edge_put_gone(e, gone); /* deleting a large file takes time: nobody need wait */
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, namei_unlink);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, namei_rmdir);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags)
{
	_cleanup_inode_ struct inode *from = NULL;
	_cleanup_inode_ struct inode *to = NULL;
	const struct cred cred = cred_of(req);
	struct inode *gone = NULL;
	struct edge *e = edge_of(req);
	int err = edge_inode(e, parent, &from);

	if (!err)
		err = edge_inode(e, new_parent, &to);
	if (!err)
		err = namei_rename(from, name_of(name), to, name_of(new_name), flags, &cred,
				   &gone);
	if (!err)
		err = settle(attr_is_synchronous(from) ? from : to);
	edge_reply(req, err);
	edge_put_gone(e, gone);
}
