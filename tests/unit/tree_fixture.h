/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree_fixture.h - a file system that is only trees: for the unit tests of core/tree.
 *
 * Stands in for the layers around the trees: addresses are handed out once and never again,
 * a "device" in memory takes the dirty nodes at fx_commit() and gives them back to cache misses,
 * copying may claim that a node of the auxiliary ("extent") tree is missing, as the reference
 * check does. fx_verify() walks a whole tree and checks its shape, and that exactly the reachable
 * nodes are alive. One writer; reading threads are welcome.
 */
#ifndef TREE_FIXTURE_H
#define TREE_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/trans/epoch.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/node_cache.h"
#include "disk/base/buffer.h"
#include "disk/format/check.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define FX_BASE MIB(16)
#define FX_BLOCKS (1u << 20)
#define FX_ITEM_TYPE 99 /* a type that no checker knows */

struct fixture {
	struct fs fs;
	struct trans trans;
	struct root root, aux;
	u32 live[2]; /* nodes of root, aux */
	u32 next_block;
	pthread_mutex_t disk_lock;
	u8 *disk[FX_BLOCKS];
	struct extent_buffer **dirty;
	size_t dirty_count, dirty_room;
	struct mutex ref_mutex;
	unsigned miss_percent; /* how often copying asks the auxiliary tree first */
	u64 misses;
	u64 rng;
};

static struct fixture *fx;

static u64 fx_random(void)
{
	fx->rng ^= fx->rng << 13;
	fx->rng ^= fx->rng >> 7;
	fx->rng ^= fx->rng << 17;
	return fx->rng;
}

static u32 fx_below(u32 n)
{
	return (u32)(fx_random() >> 16) % n;
}

/* What surrounds the trees */

void trans_mark_root_dirty(struct trans *trans, struct root *root)
{
	root->dirty = true;
}

void trans_add_dirty(struct trans *trans, struct extent_buffer *eb)
{
	CHECK(!eb_test(eb, EB_DIRTY));
	eb_set(eb, EB_DIRTY);
	if (fx->dirty_count == fx->dirty_room) {
		fx->dirty_room = fx->dirty_room * 2 + 64;
		fx->dirty = realloc(fx->dirty, fx->dirty_room * sizeof(*fx->dirty));
		CHECK(fx->dirty);
	}
	fx->dirty[fx->dirty_count++] = eb_get(eb);
}

static u32 fx_block(u64 logical)
{
	u64 block = (logical - FX_BASE) / fx->fs.nodesize;

	CHECK(block < FX_BLOCKS);
	return (u32)block;
}

int tree_block_alloc(struct trans *trans, struct root *root, u8 level, const struct key *first_key,
		     struct extent_buffer **ret)
{
	u64 logical = FX_BASE + (u64)fx->next_block++ * fx->fs.nodesize;
	struct extent_buffer *eb = eb_new(&fx->fs, logical, trans->transid, root->id, level);

	CHECK(eb);
	node_set_bytenr(eb->data, logical);
	node_set_generation(eb->data, trans->transid);
	node_set_owner(eb->data, root->id);
	node_set_level(eb->data, level);
	node_set_flags(eb->data, BTRFS_HEADER_FLAG_WRITTEN);
	node_set_backref_rev(eb->data, 1);
	node_cache_insert_new(eb);
	trans_add_dirty(trans, eb);
	fx->live[root == &fx->aux]++;
	*ret = eb;
	return 0;
}

int tree_block_free(struct trans *trans, struct root *root, struct extent_buffer *eb)
{
	eb_clear(eb, EB_DIRTY);
	node_cache_drop(&fx->fs, eb->logical);
	fx->live[root == &fx->aux]--;
	return 0;
}

/* Looks something up in the auxiliary tree as the reference check does in the extent tree. */
static int fx_reference_check(struct tree_miss *miss)
{
	_cleanup_path_ struct path path = {.cached_only = true};
	struct key key = KEY(fx_random() % 4096, FX_ITEM_TYPE, 0);
	int rc;

	MUTEX_SCOPE(&fx->ref_mutex);
	rc = tree_search(&fx->aux, &key, &path);
	if (rc == -EAGAIN) {
		*miss = TAKE(path.miss);
		fx->misses++;
	}
	CHECK(rc >= 0 || rc == -EAGAIN);
	return MIN(rc, 0);
}

int tree_block_cow(struct trans *trans, struct root *root, struct extent_buffer *old,
		   struct extent_buffer **ret, struct tree_miss *miss)
{
	struct key key = KEY_MIN;
	u32 body = fx->fs.nodesize - NODE_HEADER_SIZE;
	int rc = 0;

	if (root == &fx->root && fx_below(100) < fx->miss_percent)
		rc = fx_reference_check(miss);
	if (!rc)
		rc = tree_block_alloc(trans, root, old->level, &key, ret);
	if (rc)
		return rc;
	memcpy((*ret)->data + NODE_HEADER_SIZE, old->data + NODE_HEADER_SIZE, body);
	node_set_nritems((*ret)->data, node_nritems(old->data));
	return tree_block_free(trans, root, old);
}

int volume_read_node(struct volume *vol, const struct node_expect *want, void *buf)
{
	const u8 *block;

	rank_assert_free(RANK_TREE, "reading a node");
	pthread_mutex_lock(&fx->disk_lock);
	block = fx->disk[fx_block(want->logical)];
	if (block)
		memcpy(buf, block, fx->fs.nodesize);
	pthread_mutex_unlock(&fx->disk_lock);
	if (!block || node_generation(buf) != want->generation || node_level(buf) != want->level)
		return -EIO;
	if (want->has_first_key) {
		struct key key = node_key(buf, 0);

		CHECK(key_equal(&key, &want->first_key));
	}
	return 0;
}

/* Transactions */

static void fx_commit(void)
{
	for (size_t i = 0; i < fx->dirty_count; i++) {
		struct extent_buffer *eb = fx->dirty[i];

		if (eb_test(eb, EB_DIRTY)) {
			u8 *block = malloc(fx->fs.nodesize);

			CHECK(block);
			memcpy(block, eb->data, fx->fs.nodesize);
			pthread_mutex_lock(&fx->disk_lock);
			fx->disk[fx_block(eb->logical)] = block;
			pthread_mutex_unlock(&fx->disk_lock);
			eb_set(eb, EB_WRITTEN);
			eb_clear(eb, EB_DIRTY);
		}
		eb_put(eb);
	}
	fx->dirty_count = 0;
	fx->trans.transid++;
	node_cache_shrink(&fx->fs);
}

/* Shape */

struct fx_walk {
	u64 nodes, leaf_nodes, leaf_bytes;
	struct key last;
	bool any;
};

static void fx_check_node(const void *node)
{
	struct check_env env = {.nodesize = fx->fs.nodesize, .sectorsize = 4096, .csum_size = 4};
	struct reason why;
	int rc = check_node(&env, node, &why);

	if (rc)
		fprintf(stderr, "check_node: %s\n", why.text);
	CHECK(!rc);
}

static void fx_walk_leaf(struct fx_walk *walk, const void *leaf)
{
	u32 top = LEAF_DATA(fx->fs.nodesize);

	for (u32 i = 0; i < node_nritems(leaf); i++) {
		struct key key = node_key(leaf, i);

		CHECK(!walk->any || key_cmp(&walk->last, &key) < 0);
		CHECK(leaf_item_offset(leaf, i) + leaf_item_size(leaf, i) == top);
		top = leaf_item_offset(leaf, i);
		walk->last = key;
		walk->any = true;
	}
	CHECK(top >= node_nritems(leaf) * sizeof(struct btrfs_item));
	walk->leaf_nodes++;
	walk->leaf_bytes += LEAF_DATA(fx->fs.nodesize) - leaf_free_space(leaf, fx->fs.nodesize);
}

static void fx_walk_node(struct fx_walk *walk, const void *node);

static void fx_walk_child(struct fx_walk *walk, const void *node, u32 slot)
{
	u64 logical = node_blockptr(node, slot);
	struct extent_buffer *eb = node_cache_find(&fx->fs, logical);
	const void *child = eb ? eb->data : fx->disk[fx_block(logical)];
	struct key want = node_key(node, slot), got;

	CHECK(child && node_bytenr(child) == logical);
	CHECK(node_generation(child) == node_ptr_generation(node, slot));
	CHECK(node_level(child) == node_level(node) - 1);
	CHECK(node_nritems(child) > 0);
	got = node_key(child, 0);
	CHECK(key_equal(&want, &got));
	fx_walk_node(walk, child);
	eb_put(eb);
}

static void fx_walk_node(struct fx_walk *walk, const void *node)
{
	fx_check_node(node);
	walk->nodes++;
	if (!node_level(node)) {
		fx_walk_leaf(walk, node);
		return;
	}
	CHECK(node_nritems(node) > 0 && node_nritems(node) <= NODE_PTRS_MAX(fx->fs.nodesize));
	for (u32 i = 0; i < node_nritems(node); i++)
		fx_walk_child(walk, node, i);
}

static struct fx_walk fx_verify(void)
{
	struct fx_walk walk = {};

	fx_walk_node(&walk, fx->root.node->data);
	CHECK(walk.nodes == fx->live[0]);
	return walk;
}

/* Life */

static void fx_root_init(struct root *root, u64 id)
{
	struct key key = KEY_MIN;

	root->fs = &fx->fs;
	root->id = id;
	rwlock_init(&root->lock, RANK_TREE);
	CHECK(tree_block_alloc(&fx->trans, root, 0, &key, &root->node) == 0);
}

static void fx_fill_aux(void)
{
	u8 data[300] = {};

	for (u64 i = 0; i < 4096; i += 4) {
		struct key key = KEY(i, FX_ITEM_TYPE, 0);

		CHECK(tree_insert(&fx->trans, &fx->aux, &key, data, sizeof(data)) == 0);
	}
}

static void fx_open(u32 nodesize, u64 cache_bytes, u64 seed)
{
	fx = calloc(1, sizeof(*fx));
	CHECK(fx);
	fx->rng = seed * 0x9e3779b97f4a7c15ull + 1;
	fx->fs.nodesize = nodesize;
	fx->fs.sectorsize = 4096;
	fx->trans = (struct trans){.fs = &fx->fs, .transid = 7};
	pthread_mutex_init(&fx->disk_lock, NULL);
	mutex_init(&fx->ref_mutex, RANK_NODE_REF);
	CHECK(epochs_create(&fx->fs.epochs) == 0);
	fx->fs.cache = node_cache_new(cache_bytes);
	CHECK(fx->fs.cache);
	fx_root_init(&fx->root, 4711);
	fx_root_init(&fx->aux, 4712);
	fx_fill_aux();
}

static void fx_close(void)
{
	fx_commit();
	eb_put(fx->root.node);
	eb_put(fx->aux.node);
	CHECK(epoch_passed(&fx->fs, epoch_advance(&fx->fs)));
	node_cache_free(fx->fs.cache);
	epochs_destroy(fx->fs.epochs);
	for (u32 i = 0; i < FX_BLOCKS; i++)
		free(fx->disk[i]);
	free(fx->dirty);
	free(fx);
	fx = NULL;
	buffer_pool_drain();
}

#endif
