/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * buffer.c - slabs of 2 MiB, each cut into buffers of one size class (4 KiB to 1 MiB). The slab of
 * a buffer is found by masking its address; its header is the slab's first page, so free buffers
 * are never touched and cost no resident memory. A larger request has a mapping of its own with the
 * same header. Invariants: a slab with a free buffer is on its class's list; one empty slab a class
 * is kept, the others are unmapped. Lock: one mutex for each class, nothing is taken inside it.
 * Under AddressSanitizer every buffer is an allocation of its own, so that overruns and leaks are
 * seen.
 */
#include <sys/mman.h>
#include <sys/queue.h>

#include "disk/base/buffer.h"
#include "disk/base/lock.h"

#if defined(__SANITIZE_ADDRESS__)
#define BUFFER_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUFFER_PLAIN 1
#endif
#endif

#ifdef BUFFER_PLAIN

void *buffer_get(size_t size)
{
	return aligned_alloc(BUFFER_ALIGN, ALIGN_UP(MAX(size, (size_t)1), BUFFER_ALIGN));
}

void buffer_put(void *buf)
{
	free(buf);
}

void buffer_pool_drain(void)
{
}

#else

#define SLAB_SIZE MIB(2)
#define CLASS_SHIFT_MIN 12
#define CLASS_SHIFT_MAX 20
#define CLASS_COUNT (CLASS_SHIFT_MAX - CLASS_SHIFT_MIN + 1)
#define CLASS_LARGE CLASS_COUNT
#define SLAB_UNITS_MAX 512

struct slab {
	LIST_ENTRY(slab) link; /* only while a buffer is free */
	size_t map_bytes;
	u32 class;
	u32 units, free_count;
	u16 free_units[SLAB_UNITS_MAX]; /* a stack */
};

_Static_assert(sizeof(struct slab) <= BUFFER_ALIGN, "the header is one page");

struct class
{
	pthread_mutex_t lock;
	/* under lock */
	LIST_HEAD(, slab) partial;
	u32 empty_slabs;
};

static struct class classes[CLASS_COUNT] = {
	[0 ... CLASS_COUNT - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER},
};

/* A mapping aligned to SLAB_SIZE, found in a larger one whose ends are given back. */
static void *map_aligned(size_t bytes)
{
	size_t room = bytes + SLAB_SIZE;
	u8 *raw = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t head;

	if (raw == MAP_FAILED)
		return NULL;
	head = ALIGN_UP((uintptr_t)raw, SLAB_SIZE) - (uintptr_t)raw;
	if (head)
		munmap(raw, head);
	if (room - head - bytes)
		munmap(raw + head + bytes, room - head - bytes);
	return raw + head;
}

static struct slab *slab_new(u32 class)
{
	size_t unit = (size_t)1 << (class + CLASS_SHIFT_MIN);
	struct slab *slab = map_aligned(SLAB_SIZE);

	if (!slab)
		return NULL;
	if (unit >= KIB(64))
		madvise(slab, SLAB_SIZE, MADV_NOHUGEPAGE);
	slab->map_bytes = SLAB_SIZE;
	slab->class = class;
	slab->units = (u32)((SLAB_SIZE - BUFFER_ALIGN) / unit);
	for (u32 i = 0; i < slab->units; i++)
		slab->free_units[i] = (u16)(slab->units - 1 - i);
	slab->free_count = slab->units;
	return slab;
}

static void *slab_unit(struct slab *slab, u32 index)
{
	return (u8 *)slab + BUFFER_ALIGN + ((size_t)index << (slab->class + CLASS_SHIFT_MIN));
}

static void *large_get(size_t size)
{
	size_t bytes = ALIGN_UP(size, BUFFER_ALIGN) + BUFFER_ALIGN;
	struct slab *slab = map_aligned(bytes);

	if (!slab)
		return NULL;
	slab->map_bytes = bytes;
	slab->class = CLASS_LARGE;
	return (u8 *)slab + BUFFER_ALIGN;
}

static void *class_get(struct class *c, u32 class)
{
	struct slab *slab = LIST_FIRST(&c->partial);

	if (!slab) {
		slab = slab_new(class);
		if (!slab)
			return NULL;
		LIST_INSERT_HEAD(&c->partial, slab, link);
		c->empty_slabs++;
	}
	if (slab->free_count == slab->units)
		c->empty_slabs--;
	if (--slab->free_count == 0)
		LIST_REMOVE(slab, link);
	return slab_unit(slab, slab->free_units[slab->free_count]);
}

void *buffer_get(size_t size)
{
	u32 class = 0;
	void *buf;

	while (class < CLASS_COUNT && ((size_t)1 << (class + CLASS_SHIFT_MIN)) < size)
		class ++;
	if (class == CLASS_COUNT)
		return large_get(size);
	pthread_mutex_lock(&classes[class].lock);
	buf = class_get(&classes[class], class);
	pthread_mutex_unlock(&classes[class].lock);
	return buf;
}

/* The slab to unmap, or NULL. */
static struct slab *class_put(struct class *c, struct slab *slab, void *buf)
{
	size_t at = (size_t)((u8 *)buf - (u8 *)slab) - BUFFER_ALIGN;

	if (slab->free_count == 0)
		LIST_INSERT_HEAD(&c->partial, slab, link);
	slab->free_units[slab->free_count++] = (u16)(at >> (slab->class + CLASS_SHIFT_MIN));
	if (slab->free_count < slab->units)
		return NULL;
	if (c->empty_slabs) {
		LIST_REMOVE(slab, link);
		return slab;
	}
	c->empty_slabs++;
	return NULL;
}

void buffer_put(void *buf)
{
	struct slab *slab, *unused;
	struct class *c;

	if (!buf)
		return;
	slab = (struct slab *)ALIGN_DOWN((uintptr_t)buf, SLAB_SIZE);
	if (slab->class == CLASS_LARGE) {
		munmap(slab, slab->map_bytes);
		return;
	}
	c = &classes[slab->class];
	pthread_mutex_lock(&c->lock);
	unused = class_put(c, slab, buf);
	pthread_mutex_unlock(&c->lock);
	if (unused)
		munmap(unused, unused->map_bytes);
}

void buffer_pool_drain(void)
{
	for (u32 i = 0; i < CLASS_COUNT; i++) {
		struct class *c = &classes[i];
		struct slab *slab, *next;

		pthread_mutex_lock(&c->lock);
		for (slab = LIST_FIRST(&c->partial); slab; slab = next) {
			next = LIST_NEXT(slab, link);
			if (slab->free_count < slab->units)
				continue;
			LIST_REMOVE(slab, link);
			munmap(slab, slab->map_bytes);
			c->empty_slabs--;
		}
		pthread_mutex_unlock(&c->lock);
	}
}

#endif
