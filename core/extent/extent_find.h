/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_find.h - from an address to its extent item. Private to core/extent.
 */
#ifndef CORE_EXTENT_EXTENT_FIND_H
#define CORE_EXTENT_EXTENT_FIND_H

#include "core/extent/extent_info.h"
#include "core/extent/extent_item.h"

/* True for the keys of extent items (data, node in the old form, skinny node). */
static inline bool extent_key_is(const struct key *key)
{
	return key->type == BTRFS_EXTENT_ITEM_KEY || key->type == BTRFS_METADATA_ITEM_KEY;
}

/*
 * Loads the item of the extent at @logical, whatever its form; path read-locked at it. @path may
 * be cached_only. -ENOENT (path released), -EAGAIN (miss in the path), -EUCLEAN, <0.
 */
_must_check_ int extent_item_find(struct root *extent_root, struct path *path, u64 logical,
				  struct extent_edit *ret);

/* What a loaded item says. */
void extent_info_from_item(struct fs *fs, const struct extent_edit *e, struct extent_info *ret);

/* Nodes read for a search that looks at the cache only; keeps them there until it succeeds. */
struct kept_nodes {
	struct extent_buffer *nodes[16];
	unsigned next;
};
void kept_nodes_put(struct kept_nodes *kept);
#define _cleanup_kept_ __attribute__((cleanup(kept_nodes_put)))

/* A look at one extent that wants cached nodes only: -EAGAIN and *miss if one is not there. */
typedef int (*extent_look_fn)(struct fs *fs, u64 logical, void *arg, struct tree_miss *miss);

/* Looks under the extent's reference mutex until everything needed is cached. No tree lock held; may
 * read. What @look returns, or -EIO, -ENOMEM. */
_must_check_ int extent_look(struct fs *fs, u64 logical, extent_look_fn look, void *arg);

/* Reads the miss and ends it: 0 search again, <0. */
_must_check_ int kept_nodes_read(struct kept_nodes *kept, struct tree_miss *miss);

#endif
