/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_buffer.c - memory of tree nodes, see extent_buffer.h.
 *
 * Invariant: whoever raises the count already holds a reference, or the mutex of the cache shard
 * that lists the node, so a count that has reached zero stays there.
 */
#include "core/tree/extent_buffer.h"

#include "core/fs.h"
#include "disk/base/buffer.h"
#include "disk/format/ondisk.h"

struct extent_buffer *eb_new(struct fs *fs, u64 logical, u64 generation, u64 owner, u8 level)
{
	_cleanup_free_ struct extent_buffer *eb = calloc(1, sizeof(*eb));

	if (!eb)
		return NULL;
	eb->data = buffer_get(fs->nodesize);
	if (!eb->data)
		return NULL;
	memset(eb->data, 0, fs->nodesize);
	eb->fs = fs;
	eb->logical = logical;
	eb->generation = generation;
	eb->owner = owner;
	eb->level = level;
	atomic_init(&eb->refs, 1);
	return TAKE(eb);
}

void eb_copy_content(struct extent_buffer *to, const struct extent_buffer *from)
{
	memcpy(to->data + BTRFS_CSUM_SIZE, from->data + BTRFS_CSUM_SIZE,
	       from->fs->nodesize - BTRFS_CSUM_SIZE);
}

struct extent_buffer *eb_get(struct extent_buffer *eb)
{
	atomic_fetch_add_explicit(&eb->refs, 1, memory_order_relaxed);
	return eb;
}

void eb_put(struct extent_buffer *eb)
{
	if (!eb || atomic_fetch_sub_explicit(&eb->refs, 1, memory_order_acq_rel) != 1)
		return;
	buffer_put(eb->data);
	free(eb);
}
