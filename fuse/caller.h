/* SPDX-License-Identifier: GPL-2.0-or-later */
/* caller.h - who sends a request, and what they may do. The kernel checks nothing for ioctls. */
#ifndef FUSE_CALLER_H
#define FUSE_CALLER_H

#include <fuse_lowlevel.h>

#include "disk/base/types.h"

/* CAP_SYS_ADMIN in our own user namespace. A caller whom we cannot look at has none. */
bool caller_has_sys_admin(fuse_req_t req);

/* The same of CAP_FSETID: set-id bits outlast what they write. */
bool caller_keeps_setid(fuse_req_t req);

/* Neither group of the caller is that of @inode, whose setgid bit does not stand for a program's group:
 * content that such a one changes loses it, unless caller_keeps_setid(). */
struct inode;
bool caller_is_outsider(fuse_req_t req, struct inode *inode);

/* CAP_SYS_ADMIN, or the user who mounted. */
bool caller_may_administrate(fuse_req_t req);

/* Whether a signal is about to end the thread @pid that waits for our answer, as against one that it
 * handles or ignores. True also if we cannot look. */
bool caller_is_dying(pid_t pid);

/* Writes into the caller's memory. The request is not answered yet, so the caller cannot be gone;
 * no lock is held (the page may be one of our own mount). -EPERM, -EFAULT. */
_must_check_ int caller_write(fuse_req_t req, u64 address, const void *data, size_t len);

/* The other way, for ioctls whose number hides that they have input. */
_must_check_ int caller_read(fuse_req_t req, u64 address, void *data, size_t len);

/* Our own copy of the caller's descriptor @fd. -EPERM: we may not reach the caller. */
_must_check_ int caller_take_fd(fuse_req_t req, int fd);

#endif
