/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node_table.c - see node_table.h. Entries lie in an array of chunks that never move and are found
 * through a hash of their ids; index 0 means none. The mutex covers all of it.
 */
#include "fuse/node_table.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "core/inode/inode.h"
#include "disk/base/lock.h"
#include "fuse/inode_number.h"

#define CHUNK_SHIFT 13
#define CHUNK_ENTRIES (1u << CHUNK_SHIFT)
#define MAX_CHUNKS (1u << 16)

struct node {
	u64 id;
	struct inode *pinned;
	u32 lookups; /* saturates nowhere: the kernel's own count is 64 bits but bounded by ours */
	u32 next;    /* in the hash chain or the free list */
};

struct node_table {
	u64 root_id, root_ino; /* what FUSE_ROOT_ID stands for */

	struct mutex lock; /* all below */
	u32 *buckets;
	u32 bucket_mask;
	u32 used;
	u32 made; /* entries ever made, index 0 included */
	u32 free_list;
	struct node *_Atomic chunks[MAX_CHUNKS];
};

static struct node *node_at(struct node_table *t, u64 index)
{
	struct node *chunk;

	if (index >> CHUNK_SHIFT >= MAX_CHUNKS)
		return NULL;
	chunk = atomic_load_explicit(&t->chunks[index >> CHUNK_SHIFT], memory_order_acquire);
	return chunk ? &chunk[index & (CHUNK_ENTRIES - 1)] : NULL;
}

static u64 id_of(const struct node_table *t, u64 root_id, u64 ino)
{
	if (root_id == t->root_id && ino == t->root_ino)
		return FUSE_ROOT_ID;
	return inode_number(t->root_id, root_id, ino);
}

static u32 *bucket_of(struct node_table *t, u64 id)
{
	return &t->buckets[(id * 0xff51afd7ed558ccdull >> 32) & t->bucket_mask];
}

static u32 hash_find(struct node_table *t, u64 id)
{
	u32 i = *bucket_of(t, id);

	while (i && node_at(t, i)->id != id)
		i = node_at(t, i)->next;
	return i;
}

static void hash_add(struct node_table *t, u32 index)
{
	struct node *n = node_at(t, index);
	u32 *head = bucket_of(t, n->id);

	n->next = *head;
	*head = index;
}

static void hash_remove(struct node_table *t, u32 index)
{
	struct node *n = node_at(t, index);
	u32 *at = bucket_of(t, n->id);

	while (*at != index)
		at = &node_at(t, *at)->next;
	*at = n->next;
}

/* Failure is harmless: chains grow longer. */
static void hash_grow(struct node_table *t)
{
	u32 count = (t->bucket_mask + 1) * 2;
	u32 *bigger = calloc(count, sizeof(u32));

	if (!bigger)
		return;
	free(t->buckets);
	t->buckets = bigger;
	t->bucket_mask = count - 1;
	for (u32 i = 1; i < t->made; i++)
		if (node_at(t, i)->lookups)
			hash_add(t, i);
}

static u32 node_make(struct node_table *t)
{
	u32 index = t->free_list;
	struct node *chunk;

	if (index) {
		t->free_list = node_at(t, index)->next;
		return index;
	}
	if (!node_at(t, t->made)) {
		if (t->made >> CHUNK_SHIFT >= MAX_CHUNKS)
			return 0;
		chunk = calloc(CHUNK_ENTRIES, sizeof(*chunk));
		if (!chunk)
			return 0;
		atomic_store_explicit(&t->chunks[t->made >> CHUNK_SHIFT], chunk,
				      memory_order_release);
	}
	return t->made++;
}

fuse_ino_t node_table_lookup(struct node_table *t, u64 root_id, u64 ino)
{
	u64 id = id_of(t, root_id, ino);
	MUTEX_SCOPE(&t->lock);
	u32 index = hash_find(t, id);

	if (index) {
		node_at(t, index)->lookups++;
		return id;
	}
	if (t->used > t->bucket_mask)
		hash_grow(t);
	index = node_make(t);
	if (!index)
		return 0;
	*node_at(t, index) = (struct node){.id = id, .lookups = 1};
	hash_add(t, index);
	t->used++;
	return id;
}

int node_table_find(struct node_table *t, fuse_ino_t node, u64 *root_id, u64 *ino)
{
	if (node == FUSE_ROOT_ID) {
		*root_id = t->root_id;
		*ino = t->root_ino;
		return 0;
	}
	return inode_number_decode(t->root_id, node, root_id, ino) ? 0 : -ESTALE;
}

struct inode *node_table_forget(struct node_table *t, fuse_ino_t node, u64 count)
{
	MUTEX_SCOPE(&t->lock);
	u32 index = node == FUSE_ROOT_ID ? 0 : hash_find(t, node);
	struct node *n = node_at(t, index);
	struct inode *pinned;

	if (!index || count > n->lookups)
		return NULL;
	n->lookups -= (u32)count;
	if (n->lookups)
		return NULL;
	hash_remove(t, index);
	pinned = n->pinned;
	*n = (struct node){.next = t->free_list};
	t->free_list = index;
	t->used--;
	return pinned;
}

bool node_table_pin(struct node_table *t, u64 root_id, u64 ino, struct inode *inode)
{
	MUTEX_SCOPE(&t->lock);
	u32 index = hash_find(t, id_of(t, root_id, ino));
	struct node *n = index ? node_at(t, index) : NULL;

	if (!n || n->pinned)
		return false;
	n->pinned = inode;
	return true;
}

u64 node_table_count(struct node_table *t)
{
	MUTEX_SCOPE(&t->lock);
	return t->used;
}

int node_table_create(u64 root_id, u64 ino, struct node_table **ret)
{
	/* The array of chunk pointers is large and stays mostly untouched. */
	struct node_table *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (t == MAP_FAILED)
		return -ENOMEM;
	mutex_init(&t->lock, RANK_NONE);
	t->root_id = root_id;
	t->root_ino = ino;
	t->made = 1;
	t->bucket_mask = 1023;
	t->buckets = calloc(t->bucket_mask + 1, sizeof(u32));
	if (!t->buckets || node_table_lookup(t, root_id, ino) != FUSE_ROOT_ID) {
		node_table_destroy(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void node_table_destroy(struct node_table *t)
{
	if (!t)
		return;
	for (u32 i = 1; i < t->made; i++)
		inode_put(node_at(t, i)->pinned);
	for (u32 i = 0; i < MAX_CHUNKS && t->chunks[i]; i++)
		free(t->chunks[i]);
	free(t->buckets);
	mutex_destroy(&t->lock);
	munmap(t, sizeof(*t));
}
