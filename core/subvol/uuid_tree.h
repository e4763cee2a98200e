/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uuid_tree.h - the tree that finds a subvolume by its uuid, or by the uuid it was received from. */
#ifndef CORE_SUBVOL_UUID_TREE_H
#define CORE_SUBVOL_UUID_TREE_H

#include "disk/base/types.h"

struct fs;

/* Brings the tree up to date if somebody wrote the image who does not keep it (mkfs is one), so that
 * the kernel need not: it would do it at its first mount, with whatever space is left then. For want
 * of space, or where the tree is damaged, everything stays as it was, the kernel's part included.
 * Before other threads run. Fails only if the file system was aborted. */
_must_check_ int uuid_tree_update(struct fs *fs);

#endif
