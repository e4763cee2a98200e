/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chunk_map.h - logical addresses to device addresses. Chunks are immutable and reference counted:
 * whoever found one may keep it after it was removed from the map. Sorted array under one
 * reader-writer lock (RANK_CHUNK_MAP, innermost but for devices).
 */
#ifndef DISK_VOLUME_CHUNK_MAP_H
#define DISK_VOLUME_CHUNK_MAP_H

#include "disk/base/lock.h"
#include "disk/format/ondisk.h"

struct chunk_stripe {
	u64 devid;
	u64 physical;
	u8 dev_uuid[BTRFS_UUID_SIZE];
};

struct chunk {
	u64 logical;
	u64 length;
	u64 type; /* BTRFS_BLOCK_GROUP_* */
	u64 owner;
	u32 io_align, io_width, sector_size;
	u32 stripe_len;
	u16 num_stripes;
	u16 sub_stripes;
	int refs; /* atomic */
	struct chunk_stripe stripes[];
};

struct chunk_map {
	struct rwlock lock;
	/* under lock */
	struct chunk **chunks; /* by logical */
	size_t count, room;
};

void chunk_map_init(struct chunk_map *map);
void chunk_map_destroy(struct chunk_map *map);

/* From a chunk item that passed check_chunk(). Refs 1. NULL without memory. */
struct chunk *chunk_from_disk(u64 logical, const struct btrfs_chunk *disk);
/* Bytes of the item; with @disk not NULL also writes it. */
u32 chunk_to_disk(const struct chunk *chunk, struct btrfs_chunk *disk);
struct chunk *chunk_get(struct chunk *chunk);
void chunk_put(struct chunk *chunk); /* accepts NULL */

/* The chunk that holds @logical, with a reference, or NULL. */
struct chunk *chunk_map_find(struct chunk_map *map, u64 logical);
/* The first chunk that starts at or after @logical, with a reference, or NULL: iteration is
 * for (at = 0; (c = chunk_map_next(map, at)); at = c->logical + c->length, chunk_put(c)). */
struct chunk *chunk_map_next(struct chunk_map *map, u64 logical);
/* The last chunk that starts before @logical, with a reference, or NULL. */
struct chunk *chunk_map_prev(struct chunk_map *map, u64 logical);
/* Takes a reference of its own. -EEXIST: overlaps another chunk. */
_must_check_ int chunk_map_insert(struct chunk_map *map, struct chunk *chunk);
/* -ENOENT if no chunk starts at @logical. Content is not touched. */
_must_check_ int chunk_map_remove(struct chunk_map *map, u64 logical);
size_t chunk_map_count(struct chunk_map *map);

/* Bytes that the chunk occupies on each of its devices (length of each dev extent). */
u64 chunk_stripe_bytes(const struct chunk *chunk);
static inline void cleanup_chunk(struct chunk **c)
{
	chunk_put(*c);
}

#define _cleanup_chunk_ _cleanup_(cleanup_chunk)

#endif
