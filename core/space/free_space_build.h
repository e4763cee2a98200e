/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_build.h - making a free-space tree where there is none, or none that may be believed. */
#ifndef CORE_SPACE_FREE_SPACE_BUILD_H
#define CORE_SPACE_FREE_SPACE_BUILD_H

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct fs;

/* The tree is there and its flags say that it may be believed. */
bool free_space_tree_valid(const struct fs *fs);

/* Builds the tree in a commit of its own and sets both flags; what an old tree and the free-space
 * cache (v1) held is dropped. Read-write mount, all groups loaded by scans, nobody else at work. */
_must_check_ int free_space_tree_build(struct fs *fs, struct reason *why);

#endif
