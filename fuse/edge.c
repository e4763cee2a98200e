/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge.c - see edge.h. Also the beginning (INIT) and the end (unmount) as the file system sees
 * them.
 */
#include "fuse/edge.h"

#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/file/file.h"
#include "core/inode/attr.h"
#include "core/inode/inode_flags.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"
#include "disk/base/log.h"
#include "fuse/inode_number.h"
#include "fuse/request.h"
#include "fuse/session.h"
#include "relocation/balance.h"

#define ATIME_MAX_AGE_S 86400

struct edge *edge_of(fuse_req_t req)
{
	return session_user(fuse_req_userdata(req));
}

u64 edge_root_id(const struct inode *inode)
{
	return inode->root->id;
}

int edge_inode(struct edge *e, fuse_ino_t node, struct inode **ret)
{
	u64 root_id, ino;
	int err = node_table_find(e->nodes, node, &root_id, &ino);

	if (err)
		return err;
	err = inode_get(e->fs, root_id, ino, ret);
	return err == -ENOENT ? -ESTALE : err;
}

/* What extents hold, and what will get some. Not more than the size, or than the extents already are
 * together: what was written over them is in both. (A sparse file may still show some twice, and one with
 * extents behind its end some too little, until it is written back.) */
static u64 bytes_held(const struct inode_attr *a, u64 unflushed, u64 sector)
{
	u64 held = ALIGN_UP(a->nbytes, sector);

	return MIN(held + ALIGN_UP(unflushed, sector), MAX(held, ALIGN_UP(a->size, sector)));
}

void edge_stat(struct edge *e, struct inode *inode, struct stat *ret)
{
	struct inode_attr a;
	/* first: what is written back meanwhile is rather in both than in neither */
	u64 unflushed = inode_is_reg(inode) ? file_unflushed_bytes(inode) : 0;

	attr_get(inode, &a);
	*ret = (struct stat){
		.st_ino = inode_number(e->fs->mount_root_id, edge_root_id(inode), inode->ino),
		.st_mode = a.mode,
		.st_nlink = a.nlink,
		.st_uid = a.uid,
		.st_gid = a.gid,
		.st_rdev = a.rdev,
		.st_size = (off_t)a.size,
		.st_blksize = e->fs->sectorsize,
		.st_atim = a.atime,
		.st_mtim = a.mtime,
		.st_ctim = a.ctime,
	};
	ret->st_blocks = (blkcnt_t)(bytes_held(&a, unflushed, e->fs->sectorsize) >> 9);
}

static struct statx_time statx_time(struct timespec t)
{
	return (struct statx_time){.sec = t.tv_sec, .nsec = (u32)t.tv_nsec};
}

int edge_statx(void *edge, u64 node, struct statx_reply *ret)
{
	_cleanup_inode_ struct inode *inode = NULL;
	struct edge *e = edge;
	struct inode_attr a;
	struct stat st;
	int err = edge_inode(e, node, &inode);

	if (err)
		return err;
	edge_stat(e, inode, &st);
	attr_get(inode, &a);
	*ret = (struct statx_reply){
		.valid_sec = (u64)EDGE_TIMEOUT_S,
		.mask = STATX_BASIC_STATS | STATX_BTIME,
		.blksize = (u32)st.st_blksize,
		.nlink = (u32)st.st_nlink, .uid = st.st_uid, .gid = st.st_gid,
		.mode = (u16)st.st_mode,
		.ino = st.st_ino, .size = (u64)st.st_size, .blocks = (u64)st.st_blocks,
		.atime = statx_time(a.atime), .btime = statx_time(a.otime),
		.ctime = statx_time(a.ctime), .mtime = statx_time(a.mtime),
		.rdev_major = major(st.st_rdev), .rdev_minor = minor(st.st_rdev),
	};
	return 0;
}

int edge_entry(struct edge *e, struct inode *inode, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = node_table_lookup(e->nodes, edge_root_id(inode), inode->ino),
		.generation = inode->a.generation,
		.attr_timeout = EDGE_TIMEOUT_S,
		.entry_timeout = EDGE_TIMEOUT_S,
	};
	if (!ret->ino)
		return -ENOMEM;
	edge_stat(e, inode, &ret->attr);
	if (!ret->attr.st_nlink)
		edge_put_gone(e, inode_ref(inode)); /* unlinked while we looked it up */
	return 0;
}

void edge_entry_undo(struct edge *e, const struct fuse_entry_param *entry)
{
	inode_put(node_table_forget(e->nodes, entry->ino, 1));
}

void edge_reply(fuse_req_t req, int err)
{
	fuse_reply_err(req, -err);
}

void edge_reply_entry(fuse_req_t req, int err, struct inode *inode)
{
	struct edge *e = edge_of(req);
	struct fuse_entry_param entry;

	if (!err)
		err = edge_entry(e, inode, &entry);
	if (err)
		edge_reply(req, err);
	else if (fuse_reply_entry(req, &entry) == -ENOENT)
		edge_entry_undo(e, &entry);
}

void edge_put_gone(struct edge *e, struct inode *inode)
{
	struct inode_attr a;

	if (!inode)
		return;
	attr_get(inode, &a);
	if (a.nlink || !node_table_pin(e->nodes, edge_root_id(inode), inode->ino, inode))
		inode_put(inode);
}

static bool older(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec <= b.tv_nsec;
}

void edge_touch_atime(struct edge *e, struct inode *inode)
{
	unsigned long flags = atomic_load(&e->atime_flags);
	struct inode_attr a;

	if (flags & MS_NOATIME || atomic_load(&e->shut) || e->fs->readonly)
		return;
	attr_get(inode, &a);
	if (flags & MS_NODIRATIME && S_ISDIR(a.mode))
		return;
	if (a.flags & BTRFS_INODE_NOATIME)
		return;
	if (!older(a.atime, a.mtime) && !older(a.atime, a.ctime) &&
	    inode_now().tv_sec - a.atime.tv_sec < ATIME_MAX_AGE_S)
		return;
	if (attr_touch_atime(inode))
		return; /* a read does not fail for want of space */
}

/* ---- beginning and end ---- */

static void op_init(void *user, struct fuse_conn_info *conn)
{
	conn->want |= FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK | FUSE_CAP_EXPLICIT_INVAL_DATA |
		      FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPORT_SUPPORT;
	conn->want &= conn->capable;
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE |
				  FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				  FUSE_CAP_SPLICE_MOVE);
	conn->max_write = REQUEST_MAX_DATA;
	conn->max_background = 64;
}

void edge_init(struct edge *e)
{
	mutex_init(&e->balance.lock, RANK_NONE);
	mutex_init(&e->reopen_lock, RANK_NONE);
	mutex_init(&e->handles_lock, RANK_NONE);
	LIST_INIT(&e->handles);
	atomic_init(&e->report_fd, -1);
}

int edge_syncfs(void *edge)
{
	struct edge *e = edge;

	return fs_sync(e->fs);
}

static void report(struct edge *e)
{
	u8 word = (u8)-e->close_error;
	int fd = atomic_exchange(&e->report_fd, -1);

	if (fd < 0)
		return;
	if (write(fd, &word, 1) != 1)
		errno = 0; /* who asked has gone */
	/* open until this process ends: who asked waits for that, too */
}

void edge_destroy(void *edge)
{
	struct edge *e = edge;

	balance_shutdown(e->fs);
	while (!LIST_EMPTY(&e->handles)) /* open files of an unmount that did not wait for them */
		handle_close(e, LIST_FIRST(&e->handles));
	node_table_destroy(e->nodes);
	e->nodes = NULL;
	e->close_error = fs_close(e->fs);
	e->fs = NULL;
	if (e->close_error)
		log_fault("%s: the last commit failed: %s", e->source, strerror(-e->close_error));
	report(e);
}

const struct fuse_lowlevel_ops edge_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.create = op_create,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.getxattr = op_getxattr,
	.setxattr = op_setxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.open = op_open,
	.release = op_release,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	.ioctl = op_ioctl,
};
