/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mount_table.h - /proc/self/mountinfo, entry by entry. Shared with btrfusectl: no libfuse here. */
#ifndef FUSE_MOUNT_TABLE_H
#define FUSE_MOUNT_TABLE_H

#include <limits.h>
#include <sys/types.h>

#include "disk/base/types.h"

struct mount_entry {
	dev_t dev;
	char target[PATH_MAX];
	char fstype[64];
	char source[PATH_MAX];
};

/* Is this a mount of ours (fuse.btrfuse or fuseblk.btrfuse)? */
bool mount_entry_is_btrfuse(const struct mount_entry *e);
bool mount_entry_is_fuseblk(const struct mount_entry *e);

/* Calls @visit for each entry, in the order of mounting, until it returns non-zero; that value, or
 * 0, or negative errno. */
int mount_table_each(int (*visit)(void *ctx, const struct mount_entry *e), void *ctx);

/* The uppermost mount at @target exactly. -ENOENT. */
_must_check_ int mount_table_find(const char *target, struct mount_entry *ret);

#endif
