/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mount_helper.h - btrfuse as mount(8) calls it: mount.btrfuse SOURCE DIR [-sfnv] [-N NS] [-t TYPE]
 * [-o LIST]. Installed as links in sbin, so `mount -t btrfuse`, `-t fuse.btrfuse` and fstab work.
 */
#ifndef FUSE_MOUNT_HELPER_H
#define FUSE_MOUNT_HELPER_H

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct helper_args {
	const char *source;
	const char *target;
	const char *options; /* never NULL */
	bool fake;           /* -f: say what would be done, do nothing */
};

/* Was the program called by a name that begins with "mount."? */
bool mount_helper_called(const char *argv0);

/* False: not what mount(8) passes. */
_must_check_ bool mount_helper_parse(int argc, char **argv, struct helper_args *ret);

/* Is `remount` in the list? Then mount_helper_remount() does it: the kernel lets no writer in any
 * more and the daemon makes everything durable; or the daemon gets ready to write, and the kernel
 * lets writers in again. */
bool mount_helper_is_remount(const char *options);
_must_check_ int mount_helper_remount(const struct helper_args *args, struct reason *why);

#endif
