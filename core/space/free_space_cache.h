/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_cache.h - the free-space cache of old (v1): inodes in the root tree, one a block group.
 *
 * It is never believed and never written. Whatever we commit leaves cache_generation behind the
 * superblock's generation, which is how the kernel sees that it must not believe it either.
 * What is left of it for us is the space that its inodes occupy.
 */
#ifndef CORE_SPACE_FREE_SPACE_CACHE_H
#define CORE_SPACE_FREE_SPACE_CACHE_H

#include "disk/base/types.h"

struct fs;
struct trans;

/* Deletes the whole cache: items, inodes, extents. Cheap if there is none. Not joined, no lock. */
_must_check_ int free_space_cache_drop(struct fs *fs);

/* The cache of one group that is removed, if it has one. Joined. */
_must_check_ int free_space_cache_remove(struct trans *trans, u64 group);

#endif
