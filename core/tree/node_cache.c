/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node_cache.c - sharded hash of nodes with a clock for eviction, see node_cache.h.
 *
 * Each shard has a hash and a clock list under its own mutex (RANK_CACHE, nothing is taken
 * inside). The cache's own reference is the only one of an idle node, and only a holder of the
 * shard's mutex can turn it into two: refs == 1 under the mutex means idle. Nodes are freed
 * after the mutex is released. The byte count spans all shards.
 */
#include "core/tree/node_cache.h"

#include "core/fs.h"
#include "disk/base/lock.h"
#include "disk/format/node.h"

#define CACHE_SHARDS 16
#define CLOCK_STEPS 64 /* list entries that one insertion looks at */

struct cache_shard {
	struct mutex mutex;
	struct extent_buffer **buckets;
	struct extent_buffer_list clock; /* the hand is at the head */
	u64 nodes, hits, misses, evictions;
};

struct node_cache {
	u64 budget;
	_Atomic u64 bytes;
	size_t bucket_mask;
	struct cache_shard shards[CACHE_SHARDS];
};

static u64 logical_hash(u64 logical)
{
	return (logical >> 12) * 0x9e3779b97f4a7c15ull;
}

static struct cache_shard *cache_shard_of(struct node_cache *cache, u64 logical)
{
	return &cache->shards[logical_hash(logical) >> 60];
}

static struct extent_buffer **cache_bucket(struct node_cache *cache, struct cache_shard *shard,
					   u64 logical)
{
	return &shard->buckets[logical_hash(logical) >> 28 & cache->bucket_mask];
}

static size_t cache_bucket_count(u64 budget)
{
	size_t count = 64;

	while (count < 16384 && count * CACHE_SHARDS * KIB(16) < budget)
		count *= 2;
	return count;
}

struct node_cache *node_cache_new(u64 budget)
{
	struct node_cache *cache = calloc(1, sizeof(*cache));
	size_t count = cache_bucket_count(budget);
	bool complete = true;

	if (!cache)
		return NULL;
	cache->budget = budget;
	cache->bucket_mask = count - 1;
	for (int i = 0; i < CACHE_SHARDS; i++) {
		struct cache_shard *shard = &cache->shards[i];

		mutex_init(&shard->mutex, RANK_CACHE);
		TAILQ_INIT(&shard->clock);
		shard->buckets = calloc(count, sizeof(struct extent_buffer *));
		complete = complete && shard->buckets;
	}
	if (complete)
		return cache;
	node_cache_free(cache);
	return NULL;
}

/* The three below: shard mutex held. */
static struct extent_buffer *shard_find(struct node_cache *cache, struct cache_shard *shard,
					u64 logical)
{
	struct extent_buffer *eb = *cache_bucket(cache, shard, logical);

	while (eb && eb->logical != logical)
		eb = eb->hash_next;
	return eb;
}

static void shard_add(struct node_cache *cache, struct cache_shard *shard, struct extent_buffer *eb)
{
	struct extent_buffer **bucket = cache_bucket(cache, shard, eb->logical);

	eb->hash_next = *bucket;
	*bucket = eb_get(eb);
	TAILQ_INSERT_TAIL(&shard->clock, eb, clock_link);
	eb->cached = true;
	shard->nodes++;
	atomic_fetch_add(&cache->bytes, eb->fs->nodesize);
}

/* The caller gets the cache's reference. */
static void shard_remove(struct node_cache *cache, struct cache_shard *shard,
			 struct extent_buffer *eb)
{
	struct extent_buffer **at = cache_bucket(cache, shard, eb->logical);

	while (*at != eb)
		at = &(*at)->hash_next;
	*at = eb->hash_next;
	TAILQ_REMOVE(&shard->clock, eb, clock_link);
	eb->cached = false;
	shard->nodes--;
	atomic_fetch_sub(&cache->bytes, eb->fs->nodesize);
}

void node_cache_free(struct node_cache *cache)
{
	if (!cache)
		return;
	for (int i = 0; i < CACHE_SHARDS; i++) {
		struct cache_shard *shard = &cache->shards[i];
		struct extent_buffer *eb;

		while (shard->buckets && (eb = TAILQ_FIRST(&shard->clock))) {
			shard_remove(cache, shard, eb);
			eb_put(eb);
		}
		free(shard->buckets);
		mutex_destroy(&shard->mutex);
	}
	free(cache);
}

static bool eb_idle(const struct extent_buffer *eb)
{
	return atomic_load_explicit(&eb->refs, memory_order_acquire) == 1 && !eb_test(eb, EB_DIRTY);
}

/* One idle node out of the shard, or NULL. @steps is used up by looking. */
static struct extent_buffer *shard_evict(struct node_cache *cache, struct cache_shard *shard,
					 u64 *steps)
{
	struct extent_buffer *eb;

	MUTEX_SCOPE(&shard->mutex);
	while (*steps && (eb = TAILQ_FIRST(&shard->clock))) {
		(*steps)--;
		if (eb_idle(eb) && !eb_test(eb, EB_TOUCHED)) {
			shard_remove(cache, shard, eb);
			shard->evictions++;
			return eb;
		}
		eb_clear(eb, EB_TOUCHED);
		TAILQ_REMOVE(&shard->clock, eb, clock_link);
		TAILQ_INSERT_TAIL(&shard->clock, eb, clock_link);
	}
	return NULL;
}

static void cache_evict_from(struct node_cache *cache, struct cache_shard *shard, u64 steps)
{
	struct extent_buffer *eb;

	while (atomic_load(&cache->bytes) > cache->budget &&
	       (eb = shard_evict(cache, shard, &steps)))
		eb_put(eb);
}

/* Bounded work: own shard first, then its neighbours. */
static void cache_make_room(struct node_cache *cache, struct cache_shard *shard)
{
	size_t first = (size_t)(shard - cache->shards);

	for (size_t i = 0; i < CACHE_SHARDS && atomic_load(&cache->bytes) > cache->budget; i++)
		cache_evict_from(cache, &cache->shards[(first + i) % CACHE_SHARDS], CLOCK_STEPS);
}

void node_cache_shrink(struct fs *fs)
{
	for (int i = 0; i < CACHE_SHARDS; i++) {
		struct cache_shard *shard = &fs->cache->shards[i];
		u64 steps;

		mutex_lock(&shard->mutex);
		steps = 2 * shard->nodes;
		mutex_unlock(&shard->mutex);
		cache_evict_from(fs->cache, shard, steps);
	}
}

struct extent_buffer *node_cache_find(struct fs *fs, u64 logical)
{
	struct cache_shard *shard = cache_shard_of(fs->cache, logical);
	struct extent_buffer *eb;

	MUTEX_SCOPE(&shard->mutex);
	eb = shard_find(fs->cache, shard, logical);
	if (!eb) {
		shard->misses++;
		return NULL;
	}
	shard->hits++;
	if (!eb_test(eb, EB_TOUCHED))
		eb_set(eb, EB_TOUCHED);
	return eb_get(eb);
}

/* Lists a node that was read; one that is there already wins if it is the same or newer. Takes
 * the reference to @eb, returns one to the winner. */
static struct extent_buffer *cache_insert_read(struct node_cache *cache, struct extent_buffer *eb)
{
	struct cache_shard *shard = cache_shard_of(cache, eb->logical);
	struct extent_buffer *old;

	mutex_lock(&shard->mutex);
	old = shard_find(cache, shard, eb->logical);
	if (old && old->generation >= eb->generation) {
		eb_get(old);
		mutex_unlock(&shard->mutex);
		eb_put(eb);
		return old;
	}
	if (old)
		shard_remove(cache, shard, old);
	shard_add(cache, shard, eb);
	mutex_unlock(&shard->mutex);
	eb_put(old);
	cache_make_room(cache, shard);
	return eb;
}

static bool eb_matches(const struct extent_buffer *eb, const struct node_expect *want)
{
	bool any = !want->generation && !want->exact_generation;

	return eb->level == want->level && (any || eb->generation == want->generation);
}

int node_cache_read(struct fs *fs, const struct node_expect *want, struct extent_buffer **ret)
{
	_cleanup_eb_ struct extent_buffer *eb = node_cache_find(fs, want->logical);
	int rc;

	if (eb && eb_matches(eb, want)) {
		*ret = TAKE(eb);
		return 0;
	}
	eb_put(eb);
	eb = eb_new(fs, want->logical, want->generation, 0, want->level);
	if (!eb)
		return -ENOMEM;
	rc = volume_read_node(fs->vol, want, eb->data);
	if (rc < 0)
		return rc;
	eb->generation = node_generation(eb->data);
	eb->owner = node_owner(eb->data);
	eb = cache_insert_read(fs->cache, eb);
	if (!eb_matches(eb, want))
		return -EIO; /* replaced since: the caller asks whether the pointer has moved on */
	*ret = TAKE(eb);
	return 0;
}

void node_cache_insert_new(struct extent_buffer *eb)
{
	struct node_cache *cache = eb->fs->cache;
	struct cache_shard *shard = cache_shard_of(cache, eb->logical);
	struct extent_buffer *old;

	mutex_lock(&shard->mutex);
	old = shard_find(cache, shard, eb->logical);
	if (old)
		shard_remove(cache, shard, old);
	shard_add(cache, shard, eb);
	mutex_unlock(&shard->mutex);
	eb_put(old);
	cache_make_room(cache, shard);
}

void node_cache_drop(struct fs *fs, u64 logical)
{
	struct cache_shard *shard = cache_shard_of(fs->cache, logical);
	struct extent_buffer *eb;

	mutex_lock(&shard->mutex);
	eb = shard_find(fs->cache, shard, logical);
	if (eb)
		shard_remove(fs->cache, shard, eb);
	mutex_unlock(&shard->mutex);
	eb_put(eb);
}

void node_cache_stats(struct fs *fs, struct node_cache_stats *ret)
{
	*ret = (struct node_cache_stats){.bytes = atomic_load(&fs->cache->bytes)};
	for (int i = 0; i < CACHE_SHARDS; i++) {
		struct cache_shard *shard = &fs->cache->shards[i];

		MUTEX_SCOPE(&shard->mutex);
		ret->nodes += shard->nodes;
		ret->hits += shard->hits;
		ret->misses += shard->misses;
		ret->evictions += shard->evictions;
	}
}
