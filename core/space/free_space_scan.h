/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_scan.h - a group's free space as the extent tree has it: what no extent covers.
 *
 * For images without a free-space tree, and for building one. The free-space cache of old (v1) is
 * never believed: it may be wrong, and what it says can be found out.
 */
#ifndef CORE_SPACE_FREE_SPACE_SCAN_H
#define CORE_SPACE_FREE_SPACE_SCAN_H

#include "core/space/free_extents.h"

struct fs;

/* Adds the free runs of the group to @ret (empty), superblock stripes included. Reads; no tree lock.
 * The extent tree must not change meanwhile: at mount, or in a commit. -EUCLEAN (logged) if extents
 * overlap or leave the group; @ret is cleared on failure. */
_must_check_ int free_space_scan(struct fs *fs, u64 group, u64 length, struct free_extents *ret);

#endif
