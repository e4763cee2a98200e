/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mount_root.h - which subvolume the mountpoint shows. */
#ifndef CORE_SUBVOL_MOUNT_ROOT_H
#define CORE_SUBVOL_MOUNT_ROOT_H

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct fs;

/* Sets fs->mount_root_id from `subvolid=`, `subvol=` (a path from the top level) or the default
 * subvolume, and makes sure that it can be loaded. -ENOENT with @why if it does not exist. */
_must_check_ int mount_root_choose(struct fs *fs, struct reason *why);

#endif
