/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mount_point.h - putting a FUSE mount into the tree and taking it out again.
 *
 * As root by mount(2), as fuseblk over a block device if there is one; otherwise through
 * fusermount3. The kernel sends INIT at once but nothing is lost while nobody reads it: whoever
 * touches the mountpoint waits.
 */
#ifndef FUSE_MOUNT_POINT_H
#define FUSE_MOUNT_POINT_H

#include <sys/types.h>

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct mount_request {
	const char *target;  /* absolute */
	const char *source;  /* shown in the mount table; absolute */
	const char *device;  /* fuseblk over this block device, or NULL for plain FUSE */
	unsigned long flags; /* MS_* */
	bool allow_other;
};

/* Mounts; *ret_fd is the open /dev/fuse. -EPERM and friends with @why. */
_must_check_ int mount_point_attach(const struct mount_request *req, int *ret_fd,
				    struct reason *why);

/* Unmounts @target; @lazily: even if it is busy. 0, -EBUSY, ... */
int mount_point_detach(const char *target, bool lazily);

/* Removes mounts of daemons that died (ENOTCONN) at @target or over @device (may be NULL). */
void mount_point_bury_dead(const char *target, const char *device);

/* Absolute path of an existing directory, dead mount or not. @why on failure. */
_must_check_ int mount_point_resolve(const char *path, char **ret, struct reason *why);

/* Lets the kernel read ahead in requests of full size (root only; best effort). */
void mount_point_set_readahead(dev_t dev, bool fuseblk);

#endif
