/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plain_cache.c - see plain_cache.h: a few slots, replaced in turn. */
#include "core/file/plain_cache.h"

#include "core/file/file_extent.h"
#include "core/fs.h"
#include "disk/base/buffer.h"
#include "disk/base/lock.h"

#define SLOTS 16

struct plain {
	u64 disk_bytenr, disk_bytes, ram_bytes;
	u64 reuse_count;
	u8 *data; /* NULL: empty */
};

struct plain_cache {
	struct mutex lock; /* all below */
	struct plain slot[SLOTS];
	unsigned next;
};

int plain_cache_create(struct plain_cache **ret)
{
	struct plain_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	mutex_init(&cache->lock, RANK_CACHE);
	*ret = cache;
	return 0;
}

void plain_cache_destroy(struct plain_cache *cache)
{
	if (!cache)
		return;
	for (int i = 0; i < SLOTS; i++)
		buffer_put(cache->slot[i].data);
	mutex_destroy(&cache->lock);
	free(cache);
}

static struct plain *find(struct plain_cache *cache, const struct file_mapping *m, u64 reuse_count)
{
	for (int i = 0; i < SLOTS; i++) {
		struct plain *p = &cache->slot[i];

		if (p->data && p->disk_bytenr == m->disk_bytenr && p->disk_bytes == m->disk_bytes &&
		    p->ram_bytes == m->ram_bytes && p->reuse_count == reuse_count)
			return p;
	}
	return NULL;
}

bool plain_cache_get(struct fs *fs, const struct file_mapping *m, u64 from, u64 len, u8 *buf)
{
	struct plain_cache *cache = fs->plain_cache;
	struct plain *p;
	MUTEX_SCOPE(&cache->lock);

	p = find(cache, m, atomic_load(&fs->reuse_count));
	if (p)
		memcpy(buf, p->data + from, len);
	return p != NULL;
}

void plain_cache_put(struct fs *fs, const struct file_mapping *m, u8 *plain)
{
	struct plain_cache *cache = fs->plain_cache;
	u64 count = atomic_load(&fs->reuse_count);
	struct plain *p;
	MUTEX_SCOPE(&cache->lock);

	p = find(cache, m, count);
	if (p) {
		buffer_put(plain);
		return;
	}
	p = &cache->slot[cache->next++ % SLOTS];
	buffer_put(p->data);
	*p = (struct plain){m->disk_bytenr, m->disk_bytes, m->ram_bytes, count, plain};
}
