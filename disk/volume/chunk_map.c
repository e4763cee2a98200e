/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chunk_map.c - see chunk_map.h. A file system has tens to thousands of chunks, so a sorted array
 * and binary search do.
 */
#include "disk/volume/chunk_map.h"

#include "disk/format/raid_profile.h"

void chunk_map_init(struct chunk_map *map)
{
	memset(map, 0, sizeof(*map));
	rwlock_init(&map->lock, RANK_CHUNK_MAP);
}

void chunk_map_destroy(struct chunk_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		chunk_put(map->chunks[i]);
	free(map->chunks);
	rwlock_destroy(&map->lock);
}

struct chunk *chunk_from_disk(u64 logical, const struct btrfs_chunk *disk)
{
	u16 n = get_le16(&disk->num_stripes);
	struct chunk *c = calloc(1, sizeof(*c) + n * sizeof(c->stripes[0]));

	if (!c)
		return NULL;
	*c = (struct chunk){
		.logical = logical,
		.length = get_le64(&disk->length),
		.type = get_le64(&disk->type),
		.owner = get_le64(&disk->owner),
		.io_align = get_le32(&disk->io_align),
		.io_width = get_le32(&disk->io_width),
		.sector_size = get_le32(&disk->sector_size),
		.stripe_len = (u32)get_le64(&disk->stripe_len),
		.num_stripes = n,
		.sub_stripes = get_le16(&disk->sub_stripes),
		.refs = 1,
	};
	for (u16 i = 0; i < n; i++) {
		const struct btrfs_stripe *s = &disk->stripe + i;

		c->stripes[i].devid = get_le64(&s->devid);
		c->stripes[i].physical = get_le64(&s->offset);
		memcpy(c->stripes[i].dev_uuid, s->dev_uuid, BTRFS_UUID_SIZE);
	}
	return c;
}

u32 chunk_to_disk(const struct chunk *chunk, struct btrfs_chunk *disk)
{
	u32 size = (u32)(offsetof(struct btrfs_chunk, stripe) +
			 chunk->num_stripes * sizeof(struct btrfs_stripe));
	struct btrfs_stripe *s;

	if (!disk)
		return size;
	put_le64(&disk->length, chunk->length);
	put_le64(&disk->owner, chunk->owner);
	put_le64(&disk->stripe_len, chunk->stripe_len);
	put_le64(&disk->type, chunk->type);
	put_le32(&disk->io_align, chunk->io_align);
	put_le32(&disk->io_width, chunk->io_width);
	put_le32(&disk->sector_size, chunk->sector_size);
	put_le16(&disk->num_stripes, chunk->num_stripes);
	put_le16(&disk->sub_stripes, chunk->sub_stripes);
	/* the struct declares one stripe, more follow */
	s = (struct btrfs_stripe *)((u8 *)disk + offsetof(struct btrfs_chunk, stripe));
	for (u16 i = 0; i < chunk->num_stripes; i++, s++) {
		put_le64(&s->devid, chunk->stripes[i].devid);
		put_le64(&s->offset, chunk->stripes[i].physical);
		memcpy(s->dev_uuid, chunk->stripes[i].dev_uuid, BTRFS_UUID_SIZE);
	}
	return size;
}

struct chunk *chunk_get(struct chunk *chunk)
{
	__atomic_add_fetch(&chunk->refs, 1, __ATOMIC_RELAXED);
	return chunk;
}

void chunk_put(struct chunk *chunk)
{
	if (chunk && __atomic_sub_fetch(&chunk->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(chunk);
}

/* Index of the first chunk that starts at or after @logical. Lock held. */
static size_t map_lower_bound(const struct chunk_map *map, u64 logical)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (map->chunks[mid]->logical < logical)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct chunk *chunk_map_find(struct chunk_map *map, u64 logical)
{
	struct chunk *c;
	size_t i;

	RDLOCK_SCOPE(&map->lock);
	i = map_lower_bound(map, logical);
	if (i == map->count || map->chunks[i]->logical != logical) {
		if (i == 0)
			return NULL;
		i--;
	}
	c = map->chunks[i];
	return logical - c->logical < c->length ? chunk_get(c) : NULL;
}

struct chunk *chunk_map_next(struct chunk_map *map, u64 logical)
{
	size_t i;

	RDLOCK_SCOPE(&map->lock);
	i = map_lower_bound(map, logical);
	return i < map->count ? chunk_get(map->chunks[i]) : NULL;
}

struct chunk *chunk_map_prev(struct chunk_map *map, u64 logical)
{
	size_t i;

	RDLOCK_SCOPE(&map->lock);
	i = map_lower_bound(map, logical);
	return i ? chunk_get(map->chunks[i - 1]) : NULL;
}

/* Lock held for writing. */
static int map_make_room(struct chunk_map *map)
{
	size_t room = map->room ? map->room * 2 : 64;
	struct chunk **chunks;

	if (map->count < map->room)
		return 0;
	chunks = reallocarray(map->chunks, room, sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	map->chunks = chunks;
	map->room = room;
	return 0;
}

int chunk_map_insert(struct chunk_map *map, struct chunk *chunk)
{
	size_t i;
	int err;

	WRLOCK_SCOPE(&map->lock);
	i = map_lower_bound(map, chunk->logical);
	if (i < map->count && map->chunks[i]->logical - chunk->logical < chunk->length)
		return -EEXIST;
	if (i && chunk->logical - map->chunks[i - 1]->logical < map->chunks[i - 1]->length)
		return -EEXIST;
	err = map_make_room(map);
	if (err)
		return err;
	memmove(&map->chunks[i + 1], &map->chunks[i], (map->count - i) * sizeof(map->chunks[0]));
	map->chunks[i] = chunk_get(chunk);
	map->count++;
	return 0;
}

int chunk_map_remove(struct chunk_map *map, u64 logical)
{
	size_t i;

	WRLOCK_SCOPE(&map->lock);
	i = map_lower_bound(map, logical);
	if (i == map->count || map->chunks[i]->logical != logical)
		return -ENOENT;
	chunk_put(map->chunks[i]);
	map->count--;
	memmove(&map->chunks[i], &map->chunks[i + 1], (map->count - i) * sizeof(map->chunks[0]));
	return 0;
}

size_t chunk_map_count(struct chunk_map *map)
{
	RDLOCK_SCOPE(&map->lock);
	return map->count;
}

u64 chunk_stripe_bytes(const struct chunk *chunk)
{
	const struct raid_profile *p = raid_profile_of(chunk->type);
	unsigned data = p->striped ? raid_data_stripes(p, chunk->num_stripes) : 1;

	return chunk->length / MAX(data, 1u);
}
