/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_buffer.h - one tree node in memory, reference-counted.
 *
 * The contents of a node are guarded by the lock of the tree that reaches it; a node that is
 * shared by several trees is never changed in place, so any of their locks will do for reading.
 * The node cache owns one reference to every node that it lists, the dirty list of a transaction
 * another one. A node is freed with its last reference.
 */
#ifndef BTRFUSE_CORE_TREE_EXTENT_BUFFER_H
#define BTRFUSE_CORE_TREE_EXTENT_BUFFER_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "disk/base/types.h"

struct fs;

enum eb_flag {
	EB_DIRTY = 1,   /* on a transaction's dirty list and not durable, never evicted */
	EB_WRITTEN = 2, /* its transaction is frozen: so is the node, for ever, changes go to a copy */
	EB_TOUCHED = 4, /* used since the eviction clock came by */
};

struct extent_buffer {
	/* constant from creation on */
	struct fs *fs;
	u8 *data; /* fs->nodesize bytes, 4 KiB aligned */
	u64 logical;
	u64 generation;
	u64 owner;
	u8 level;

	_Atomic u32 refs;
	_Atomic u32 flags;

	/* under the cache shard's mutex */
	bool cached;
	struct extent_buffer *hash_next;
	TAILQ_ENTRY(extent_buffer) clock_link;

	/* core/trans: under the transaction's mutex, while EB_DIRTY */
	TAILQ_ENTRY(extent_buffer) dirty_link;
};

TAILQ_HEAD(extent_buffer_list, extent_buffer);

/* A zeroed node outside any cache with one reference, NULL when memory is short. */
struct extent_buffer *eb_new(struct fs *fs, u64 logical, u64 generation, u64 owner, u8 level);

/* Everything but the checksum, which may just be filled in if @from is frozen. */
void eb_copy_content(struct extent_buffer *to, const struct extent_buffer *from);

struct extent_buffer *eb_get(struct extent_buffer *eb);
void eb_put(struct extent_buffer *eb); /* accepts NULL */

static inline bool eb_test(const struct extent_buffer *eb, enum eb_flag flag)
{
	return atomic_load_explicit(&eb->flags, memory_order_acquire) & flag;
}

static inline void eb_set(struct extent_buffer *eb, enum eb_flag flag)
{
	atomic_fetch_or_explicit(&eb->flags, flag, memory_order_acq_rel);
}

static inline void eb_clear(struct extent_buffer *eb, enum eb_flag flag)
{
	atomic_fetch_and_explicit(&eb->flags, ~(u32)flag, memory_order_acq_rel);
}

static inline void eb_put_cleanup(struct extent_buffer **eb)
{
	eb_put(*eb);
}
#define _cleanup_eb_ __attribute__((cleanup(eb_put_cleanup)))

#endif
