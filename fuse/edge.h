/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge.h - what the operations share: the mounted file system, the kernel's view of it, and the few
 * conversions between the two.
 *
 * An operation parses, calls one core function, replies once. No lock of the edge is held across a
 * call into core.
 */
#ifndef FUSE_EDGE_H
#define FUSE_EDGE_H

#include <fuse_lowlevel.h>
#include <sys/queue.h>

#include "core/fs.h"
#include "core/inode/inode.h"
#include "disk/base/lock.h"
#include "fuse/node_table.h"
#include "fuse/session.h"

/* The one balance ioctl that waits for its answer. */
struct balance_wait {
	struct mutex lock;
	fuse_req_t req;   /* NULL: none, or answered */
	unsigned serial;  /* of the request */
	bool interrupted; /* answered with EINTR */
};

struct options;

struct edge {
	struct fs *fs;
	struct node_table *nodes;
	struct session *session; /* for what the kernel is told unasked */
	const char *source;
	uid_t owner;         /* who mounted */
	struct options *options; /* as mounted; changed by a remount */
	_Atomic unsigned long atime_flags; /* of MS_NOATIME, MS_NODIRATIME */
	_Atomic bool shut;   /* remounted read-only; the file system itself may still write */
	struct mutex reopen_lock; /* whoever uses fs outside a request, and who exchanges it */
	bool on_device;      /* mounted as fuseblk */
	_Atomic int report_fd; /* report.h; -1: nobody asked */
	int close_error;     /* of the last commit; read after the session's end */
	struct stats *stats;
	struct balance_wait balance;

	struct mutex handles_lock;
	LIST_HEAD(, handle) handles; /* under handles_lock */
};

/* An open regular file. */
struct handle {
	struct inode *inode;
	bool append_only; /* the file was, when it was opened for writing */
	u64 root_id, ino; /* of the inode, while it is exchanged (remount.c) */
	LIST_ENTRY(handle) link;
};

void edge_init(struct edge *e);

/* The operations' table, complete. */
extern const struct fuse_lowlevel_ops edge_ops;

struct edge *edge_of(fuse_req_t req);

/* For struct session_calls. */
int edge_syncfs(void *edge);
int edge_statx(void *edge, u64 node, struct statx_reply *ret);
void edge_destroy(void *edge);

/* The inode with a reference for the caller. -ESTALE, -EIO, ... */
_must_check_ int edge_inode(struct edge *e, fuse_ino_t node, struct inode **ret);

/* Subvolume that the inode belongs to. */
u64 edge_root_id(const struct inode *inode);

/* As stat(2) shall show it. */
void edge_stat(struct edge *e, struct inode *inode, struct stat *ret);

/* Fills the entry for a reply and counts a lookup; -ENOMEM. */
_must_check_ int edge_entry(struct edge *e, struct inode *inode, struct fuse_entry_param *ret);
void edge_entry_undo(struct edge *e, const struct fuse_entry_param *entry);

/* Replies @err (0 or negative errno), or with the inode's entry if it is 0. */
void edge_reply_entry(fuse_req_t req, int err, struct inode *inode);
void edge_reply(fuse_req_t req, int err);

/* The caller's reference to what has lost a name: kept while the kernel knows the inode. */
void edge_put_gone(struct edge *e, struct inode *inode);

/* relatime, unless mounted noatime, or nodiratime for directories. */
void edge_touch_atime(struct edge *e, struct inode *inode);

static inline struct handle *edge_handle(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

/* Seconds that the kernel may believe names and attributes: all changes go through it. */
#define EDGE_TIMEOUT_S 86400.0

/* The families, one file each: op_lookup.c, op_namespace.c, op_dir.c, op_attr.c, op_xattr.c,
 * op_file.c, ioctl.c. */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_readlink(fuse_req_t req, fuse_ino_t node);
void op_statfs(fuse_req_t req, fuse_ino_t node);

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags);

void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);

void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set,
		struct fuse_file_info *fi);

void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
		 size_t size, int flags);
void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);

_must_check_ int handle_open(fuse_req_t req, fuse_ino_t node, struct inode *inode,
			     struct fuse_file_info *fi);
void handle_close(struct edge *e, struct handle *h);
void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t off, struct fuse_file_info *from_fi,
			fuse_ino_t into, off_t to, struct fuse_file_info *into_fi, size_t len,
			int flags);
void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence, struct fuse_file_info *fi);

void op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
	      size_t out_size);

#endif
