/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_list.h - which files and block devices make up the file system that is to be mounted.
 * SOURCE is a path, or UUID=... of the file system. Others come from -o device=PATH (must belong to
 * it), from the folders of -o scan=DIR (what belongs to it is taken), and for UUID= and block devices
 * from the block devices of the machine. Seed devices have another UUID: if some device is still not
 * found, every seed that is found is taken, and the volume uses those that it needs. Only superblocks
 * are read; nothing is claimed.
 */
#ifndef FUSE_DEVICE_LIST_H
#define FUSE_DEVICE_LIST_H

#include "disk/base/reason.h"
#include "fuse/options.h"

struct device_list {
	char **paths; /* the first is the source */
	unsigned count;
	bool *seeds; /* which of them are seed devices: never written */
	bool *maybe; /* which are seeds that were only found: may be another file system's */
};

/* -EINVAL: two of the devices say that they are the same one; -ENODEV: nothing has that UUID. Devices
 * that are missing are not its business. */
_must_check_ int device_list_find(const struct options *o, const char *source,
				  struct device_list *ret, struct reason *why);
/* Takes out the @i-th. */
void device_list_drop(struct device_list *list, unsigned i);
void device_list_free(struct device_list *list);

#endif
