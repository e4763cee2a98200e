/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session.h - the conversation with the kernel over /dev/fuse.
 *
 * libfuse's low-level session parses and formats messages; reading, threads, the INIT answer and
 * the opcodes that libfuse 3.14 does not know are ours. The file system behind it is a table of
 * libfuse operations plus struct session_calls.
 */
#ifndef FUSE_SESSION_H
#define FUSE_SESSION_H

#include <fuse_lowlevel.h>

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct session;
struct stats;

/* The answer to STATX as the kernel takes it: fuse_statx_out of <linux/fuse.h> from 6.6 on. */
struct statx_time {
	s64 sec;
	u32 nsec;
	s32 reserved;
};

struct statx_reply {
	u64 valid_sec;
	u32 valid_nsec;
	u32 flags;
	u64 spare[2];
	u32 mask; /* STATX_* that are filled in */
	u32 blksize;
	u64 attributes;
	u32 nlink, uid, gid;
	u16 mode, spare_mode;
	u64 ino, size, blocks;
	u64 attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	u32 rdev_major, rdev_minor, dev_major, dev_minor;
	u64 spare_end[14];
};

_Static_assert(sizeof(struct statx_reply) == 288, "32 bytes before struct fuse_statx, which has 256");

struct session_calls {
	int (*syncfs)(void *user);
	int (*statx)(void *user, u64 node, struct statx_reply *ret);
	/* The kernel will send nothing more: finish the image. Called once, when no request is
	 * being served. As fuseblk, umount(2) waits for it. */
	void (*destroy)(void *user);
};

struct session_params {
	int fd;              /* /dev/fuse, mounted; the session owns it from now on */
	unsigned threads;
	const struct fuse_lowlevel_ops *ops;
	struct session_calls calls;
	void *user;
	struct stats *stats; /* what comes is counted there */
};

_must_check_ int session_create(const struct session_params *params, struct session **ret);

/* Starts the threads and waits until the kernel's INIT is answered. -EPERM: the mount is not ours
 * (the kernel has joined it to an old dead one). */
_must_check_ int session_start(struct session *s);

/* Waits until the threads have ended: unmounted, or session_stop(). Then calls destroy, if DESTROY
 * has not done so. */
void session_wait(struct session *s);

/* Has the kernel said that the mount is gone? (DESTROY; only fuseblk says so.) NULL: no. */
bool session_unmounted(const struct session *s);
/* Its threads are waited for: long waits end. NULL: no. */
bool session_stops(const struct session *s);

/* The kernel asks again for the attributes of @node before it uses them. From anywhere: it takes no
 * lock that a request holds. */
void session_forget_attr(struct session *s, u64 node);

/* Makes the threads end although the mount may live on. For a signal thread. */
void session_stop(struct session *s);

/* From inside a handler: waits until no other request is being served and holds back those that
 * come, until session_resume(). One caller at a time. -EBUSY: one is still served after @ms, perhaps
 * because it waits for one that is held back (a page of this very mount); nothing is held then. */
_must_check_ int session_pause(struct session *s, unsigned ms);
void session_resume(struct session *s);

void session_free(struct session *s);

/* From fuse_req_userdata(). */
void *session_user(struct session *s);

#endif
