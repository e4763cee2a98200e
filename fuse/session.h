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

struct session_calls {
	int (*syncfs)(void *user);
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
};

_must_check_ int session_create(const struct session_params *params, struct session **ret);

/* Starts the threads and waits until the kernel's INIT is answered. -EPERM: the mount is not ours
 * (the kernel has joined it to an old dead one). */
_must_check_ int session_start(struct session *s);

/* Waits until the threads have ended: unmounted, or session_stop(). Then calls destroy, if DESTROY
 * has not done so. */
void session_wait(struct session *s);

/* Makes the threads end although the mount may live on. For a signal thread. */
void session_stop(struct session *s);

void session_free(struct session *s);

/* From fuse_req_userdata(). */
void *session_user(struct session *s);

#endif
