/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * remount.h - how `mount -o remount` reaches the daemon: the kernel switches a FUSE mount by itself
 * and says nothing, so the mount helper does. Shared with nobody outside fuse/.
 */
#ifndef FUSE_REMOUNT_H
#define FUSE_REMOUNT_H

#include <linux/ioctl.h>

#include "disk/base/types.h"

#define REMOUNT_TEXT 4000

struct remount_order {
	u32 only_check;          /* are the options all right? Nothing is done */
	char text[REMOUNT_TEXT]; /* in: the -o list; out: why it is refused */
};

#define BTRFUSE_IOC_REMOUNT _IOWR(0xF5, 3, struct remount_order)

#endif
