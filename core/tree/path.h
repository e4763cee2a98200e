/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * path.h - a place in a tree: the nodes from the root to an item, with the tree locked.
 *
 * A path that is locked for reading shows a stable tree; one that is locked for writing (after
 * tree_search_cow) additionally consists of nodes that may be changed. Nothing may wait while
 * a path is locked. `_cleanup_path_ struct path p = {};` releases by scope.
 * A search that misses a node drops the lock, reads, and starts again; the nodes that it has read
 * stay referenced in `kept` until path_release, so that a small cache makes progress.
 */
#ifndef BTRFUSE_CORE_TREE_PATH_H
#define BTRFUSE_CORE_TREE_PATH_H

#include "core/trans/epoch.h"
#include "core/tree/root.h"
#include "disk/format/key.h"
#include "disk/format/node.h"
#include "disk/volume/volume.h"

enum path_lock { PATH_UNLOCKED, PATH_READ, PATH_WRITE };

#define PATH_KEPT 24

/*
 * A node that a search with the tree locked did not find in the cache. It owns an epoch, entered
 * under the lock, so what the pointer says stays readable. One of the two ends it.
 */
struct tree_miss {
	bool set;
	struct root *root;
	struct epoch epoch;
	struct key key; /* leads to the pointer */
	struct node_expect expect;
};

/* Reads the node. No locks held. 0 and a reference in *ret; -EAGAIN: the tree has changed
 * meanwhile, search again; -EIO, -ENOMEM. Ends the miss in every case. */
_must_check_ int tree_miss_read(struct tree_miss *miss, struct extent_buffer **ret);

void tree_miss_drop(struct tree_miss *miss); /* ends a miss without reading; unset is fine */

struct path {
	struct root *root;
	struct extent_buffer *nodes[NODE_LEVEL_MAX]; /* referenced, [0] is the leaf */
	int slots[NODE_LEVEL_MAX];
	enum path_lock lock;
	u8 lowest_level; /* set by searches */

	/* Set by the caller: return -EAGAIN with `miss` instead of reading. The lock is then
	 * released; the caller hands the miss on (TAKE-wise) or drops it. */
	bool cached_only;
	struct tree_miss miss;

	struct key want; /* what was searched for; tree_next never goes below it */

	struct extent_buffer *kept[PATH_KEPT];
	unsigned kept_next;
};

/* Unlocks and forgets everything, an unread miss included; the path may be used again. */
void path_release(struct path *path);

/* Unlocks, but keeps references to nodes read: for a restart after tree_miss_read. */
void path_unlock(struct path *path);

/* Reads path->miss (set by somebody who searched another tree on behalf of this path) after
 * unlocking, and keeps the node. 0: start again; <0: error, path released. */
_must_check_ int path_read_miss(struct path *path);

#define _cleanup_path_ __attribute__((cleanup(path_release)))

/* The item at the path; only while locked and with slots[0] < path_nritems(). */
static inline const void *path_node_data(const struct path *path)
{
	return path->nodes[0]->data;
}

static inline int path_nritems(const struct path *path)
{
	return (int)node_nritems(path->nodes[0]->data);
}

static inline bool path_at_end(const struct path *path)
{
	return path->slots[0] >= path_nritems(path);
}

struct key path_key(const struct path *path);
u32 path_size(const struct path *path);
/* Writable only with PATH_WRITE. */
void *path_data(const struct path *path);

#endif
