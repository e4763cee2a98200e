/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * op_file.c - open regular files. Whoever opens with O_DIRECT gets FOPEN_DIRECT_IO and parallel
 * writes; others keep the kernel's pages from earlier opens, since all changes went through it.
 * Writes of mapped pages may come through any handle.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include "core/file/file.h"
#include "core/inode/attr.h"
#include "disk/base/sync_point.h"
#include "fuse/caller.h"
#include "fuse/edge.h"
#include "fuse/request.h"

/* The reply has 32 bits for the length. */
#define COPY_RANGE_MAX ((size_t)(GIB(4) - KIB(4)))

/* Immutable and append-only files, as open(2) refuses them; the VFS does not know these flags. */
static int check_open(struct inode *inode, int flags)
{
	if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC))
		return 0;
	return attr_check_write(inode, (flags & O_APPEND) && !(flags & O_TRUNC));
}

/* Whoever changes content loses privileges of the file. The kernel goes by the mode that it has cached, so it hears of
 * it before the caller does. */
static int kill_priv(fuse_req_t req, fuse_ino_t node, struct inode *inode, bool kill_suidgid)
{
	bool outsider = kill_suidgid && caller_is_outsider(req, inode);
	int changed = attr_kill_priv(inode, kill_suidgid, outsider);

	if (changed > 0)
		session_forget_attr(edge_of(req)->session, node);
	return MIN(changed, 0);
}

static int truncate_at_open(fuse_req_t req, fuse_ino_t node, struct inode *inode)
{
	static const struct attr_change touch = {.mask = ATTR_MTIME_NOW};
	int err = kill_priv(req, node, inode, request_now.kill_suidgid);

	if (err)
		return err;
	return inode_size(inode) ? file_truncate(inode, 0) : attr_set(inode, &touch);
}

int handle_open(fuse_req_t req, fuse_ino_t node, struct inode *inode, struct fuse_file_info *fi)
{
	struct edge *e = edge_of(req);
	struct handle *h;
	int err = check_open(inode, fi->flags);

	if (!err && (fi->flags & O_TRUNC))
		err = truncate_at_open(req, node, inode);
	if (err)
		return err;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->inode = inode_ref(inode);
	h->append_only = attr_is_append_only(inode);
	mutex_lock(&e->handles_lock);
	LIST_INSERT_HEAD(&e->handles, h, link);
	mutex_unlock(&e->handles_lock);
	fi->fh = (uintptr_t)h;
	if (fi->flags & O_DIRECT) {
		fi->direct_io = 1;
		request_now.open_flags = SP_FAIL("op.parallel") ? 0 : FOPEN_PARALLEL_DIRECT_WRITES;
	} else {
		fi->keep_cache = 1;
	}
	return 0;
}

void handle_close(struct edge *e, struct handle *h)
{
	mutex_lock(&e->handles_lock);
	LIST_REMOVE(h, link);
	mutex_unlock(&e->handles_lock);
	inode_put(h->inode);
	free(h);
}

void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	_cleanup_inode_ struct inode *inode = NULL;
	struct edge *e = edge_of(req);
	int err = edge_inode(e, node, &inode);

	if (!err)
		err = handle_open(req, node, inode, fi);
	if (err)
		edge_reply(req, err);
	else if (fuse_reply_open(req, fi) == -ENOENT)
		handle_close(e, edge_handle(fi));
}

void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	handle_close(edge_of(req), edge_handle(fi));
	edge_reply(req, 0);
}

void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct inode *inode = edge_handle(fi)->inode;
	struct edge *e = edge_of(req);
	int n = file_read(inode, (u64)off, (u32)MIN(size, (size_t)REPLY_BUF_BYTES),
			  request_now.reply_buf, fi->flags & O_DIRECT ? FILE_DIRECT : 0);

	if (n > 0)
		edge_touch_atime(e, inode); /* who has his reply may close the file: no inode then */
	if (n < 0)
		edge_reply(req, n);
	else
		fuse_reply_buf(req, (char *)request_now.reply_buf, (size_t)n);
	request_now.bytes = n > 0 ? (u64)n : 0;
}

/* After an O_SYNC write through its page cache the kernel sends FSYNC; after a direct one not. */
static u32 write_flags(int flags)
{
	if (!(flags & O_DIRECT))
		return 0;
	if ((flags & O_SYNC) == O_SYNC)
		return FILE_DIRECT | FILE_SYNC;
	return flags & O_DSYNC ? FILE_DIRECT | FILE_DSYNC : FILE_DIRECT;
}

/* The VFS would not let go of O_APPEND, nor map the file, if it knew the flag. */
static int check_append(const struct handle *h, u64 off)
{
	return h->append_only && off < inode_size(h->inode) ? -EPERM : 0;
}

void op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct inode *inode = edge_handle(fi)->inode;
	u32 flags = write_flags(fi->flags) | (attr_is_synchronous(inode) ? FILE_SYNC : 0);
	int n = check_append(edge_handle(fi), (u64)off);

	if (!n)
		n = kill_priv(req, node, inode, request_now.kill_suidgid);
	if (!n)
		n = file_write(inode, (u64)off, data, (u32)size, flags, NULL);
	if (n < 0)
		edge_reply(req, n);
	else
		fuse_reply_write(req, (size_t)n);
	request_now.bytes = n > 0 ? (u64)n : 0;
}

void op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	edge_reply(req, file_fsync(edge_handle(fi)->inode, datasync));
}

/* FALLOCATE and COPY_FILE_RANGE bear no KILLPRIV_V2 flag: look at the caller if there is a bit to lose. */
static int kill_priv_unflagged(fuse_req_t req, fuse_ino_t node, struct inode *inode)
{
	struct inode_attr a;

	attr_get(inode, &a);
	return kill_priv(req, node, inode,
			 (a.mode & (S_ISUID | S_ISGID)) && !caller_keeps_setid(req));
}

void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct inode *inode = edge_handle(fi)->inode;
	int err = attr_check_write(inode, !(mode & ~FALLOC_FL_KEEP_SIZE));

	if (!err)
		err = kill_priv_unflagged(req, node, inode);
	if (!err)
		err = file_fallocate(inode, mode, (u64)off, (u64)len);
	edge_reply(req, err);
}

void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence, struct fuse_file_info *fi)
{
	s64 at = file_seek(edge_handle(fi)->inode, (u64)off, whence);

	if (at < 0)
		edge_reply(req, (int)at);
	else
		fuse_reply_lseek(req, at);
}

/* The kernel has written back its own pages of both and drops the target's afterwards. */
void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t off, struct fuse_file_info *from_fi,
			fuse_ino_t into, off_t to, struct fuse_file_info *into_fi, size_t len,
			int flags)
{
	struct inode *src = edge_handle(from_fi)->inode, *dst = edge_handle(into_fi)->inode;
	s64 n = attr_check_write(dst, true);

	if (n == 0)
		n = kill_priv_unflagged(req, into, dst);
	if (n == 0)
		n = file_copy_range(src, (u64)off, dst, (u64)to, MIN(len, COPY_RANGE_MAX));
	if (n > 0 && ((u64)off | (u64)to | (u64)n) % src->fs->sectorsize) { /* read, not shared */
		edge_touch_atime(edge_of(req), src);
		session_forget_attr(edge_of(req)->session, from);
	}
	if (n < 0)
		edge_reply(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}
