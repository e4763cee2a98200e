/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node_cache.h - tree nodes in memory by logical address, within a budget of bytes.
 *
 * Invariants: one node an address; a dirty node stays listed until it has been written; a node
 * that anybody references is not evicted. An entry may be stale (its address was freed while a
 * reader brought it in): whoever follows a pointer compares the generation, and a new node at the
 * address replaces it. Locks: one mutex a shard, a leaf lock; nothing here waits except
 * node_cache_read, which does device I/O.
 */
#ifndef BTRFUSE_CORE_TREE_NODE_CACHE_H
#define BTRFUSE_CORE_TREE_NODE_CACHE_H

#include "core/tree/extent_buffer.h"
#include "disk/volume/volume.h"

struct node_cache;

struct node_cache_stats {
	u64 bytes;
	u64 nodes;
	u64 hits;
	u64 misses;
	u64 evictions;
};

/* NULL when memory is short. @budget in bytes; it is exceeded only by dirty and referenced nodes.
 */
struct node_cache *node_cache_new(u64 budget);
void node_cache_free(struct node_cache *cache); /* accepts NULL; drops every listed node */

/* The node at @logical with a reference, or NULL. Does not wait. */
struct extent_buffer *node_cache_find(struct fs *fs, u64 logical);

/*
 * The node that @want describes: from the cache or verified from the device (every mirror,
 * repair included). The caller is in an epoch entered before it let go of the lock that showed it
 * the pointer, and holds no tree lock. Returns 0 and a referenced node, -EIO, -ENOMEM.
 */
_must_check_ int node_cache_read(struct fs *fs, const struct node_expect *want,
				 struct extent_buffer **ret);

/* Lists a fresh node; a stale entry at its address is thrown out. */
void node_cache_insert_new(struct extent_buffer *eb);

/* Takes the address out; references stay good. */
void node_cache_drop(struct fs *fs, u64 logical);

/* Evicts down to the budget, e.g. when a commit has made many nodes clean. */
void node_cache_shrink(struct fs *fs);

void node_cache_stats(struct fs *fs, struct node_cache_stats *ret);

#endif
