/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source.h - the image file or block device, and who else has it.
 *
 * Claims: core takes an OFD lock on an image, the kernel's fuseblk mount claims a block
 * device; a device without fuseblk core opens O_EXCL. As root an image gets a loop device of
 * its first 4 KiB only: enough for a fuseblk mount, whose umount waits, and for mount(8) to find
 * the image taken; too little for a superblock to be seen, cached or registered through it.
 */
#ifndef FUSE_SOURCE_H
#define FUSE_SOURCE_H

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct source {
	char *path;   /* absolute */
	bool is_block;
	bool readonly;
	u64 offset_bytes, end_bytes; /* of the file system in it; end: image only */
	char *device; /* what fuseblk mounts: the block device, or a loop device; NULL: plain FUSE */
	int loop_fd;  /* keeps the loop device until the mount does */
	int *held;    /* other loop devices over the image, claimed so that nobody mounts them */
	unsigned held_count;
};

struct source_wish {
	const char *path;
	u64 offset_bytes;
	bool readonly;
	int wait_ms;
};

/* Looks at the path and refuses it if somebody else uses it, after waiting up to wait_ms for a
 * btrfuse that is still finishing it. Nothing is changed. */
_must_check_ int source_open(const struct source_wish *wish, struct source *ret,
			     struct reason *why);

/* Prepares what fuseblk needs. Failure leaves plain FUSE (device NULL): a loop device is a
 * convenience that containers do not have. */
void source_prepare_fuseblk(struct source *src);

/* The mount holds the device now. */
void source_mounted(struct source *src);

/* Accepts a half-open one. A loop device that was never mounted goes away by itself. */
void source_close(struct source *src);

#endif
