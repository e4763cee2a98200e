/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_tree.h - the free space of block groups on disk.
 *
 * Each group has one FREE_SPACE_INFO (group address, 198, length) with the number of free runs and a
 * flag, and its runs as FREE_SPACE_EXTENT (address, 199, length) items without data or, with
 * USING_BITMAPS, as FREE_SPACE_BITMAP (address, 200, length) items that cover the whole group. They
 * say what no extent item covers: superblock stripes inside a group are free here.
 *
 * The callers exclude each other per group with group_tree_lock().
 */
#ifndef CORE_SPACE_FREE_SPACE_TREE_H
#define CORE_SPACE_FREE_SPACE_TREE_H

#include "core/space/free_extents.h"

struct fs;
struct trans;

/* Adds the free runs of the group to @ret (empty). Reads; no tree lock. -EUCLEAN (logged) if the
 * items contradict each other; @ret is cleared on failure. */
_must_check_ int free_space_tree_read(struct fs *fs, u64 group, u64 length,
				      struct free_extents *ret);

/* The items of a group that was just made: all free. */
_must_check_ int free_space_tree_create(struct trans *trans, u64 group, u64 length);
/* Replaces the items of a group, if any, by what the extent tree says. In settle. */
_must_check_ int free_space_tree_fill(struct trans *trans, u64 group, u64 length);
/* Removes all items of a group. */
_must_check_ int free_space_tree_delete(struct trans *trans, u64 group, u64 length);

/* Takes @take out of the group's free space, then adds @give; keeps the count and converts between
 * the two forms as the kernel would. -EUCLEAN (logged) if the tree says otherwise. */
_must_check_ int free_space_tree_update(struct trans *trans, u64 group, u64 length,
					const struct free_extents *take,
					const struct free_extents *give);

#endif
