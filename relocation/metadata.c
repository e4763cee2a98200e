/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metadata.c - moving the nodes of a metadata or system group. See data.h.
 *
 * Nodes of trees that snapshots never share are copied by the tree itself; its allocator cannot
 * choose the group that is being emptied. Nodes of subvolumes go through the graph, which keeps
 * their sharing.
 */
#include <errno.h>
#include <linux/btrfs_tree.h>
#include <stdlib.h>

#include "core/extent/extent_info.h"
#include "core/fs.h"
#include "core/space/block_group.h"
#include "core/trans/epoch.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/node_cache.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/format/node.h"
#include "relocation/data.h"
#include "relocation/graph.h"

#define BATCH_NODES PACE_NODES_MAX
#define SPARE_NODES 64u /* interior nodes above the batch's */

struct node_place {
	u64 logical;
	u8 level;
};

struct node_batch {
	struct fs *fs;
	struct node_place v[BATCH_NODES];
	unsigned count;
	unsigned limit;
	u64 next;
	bool mixed;
	/* nodes of unshared trees, found by the graph's builder */
	struct extent_buffer *global[BATCH_NODES];
	unsigned global_count;
};

static int collect(void *ctx, const struct extent_info *info)
{
	struct node_batch *b = ctx;

	if (!(info->flags & BTRFS_EXTENT_FLAG_TREE_BLOCK)) /* mixed groups: data_pass() moves it */
		return b->mixed ? 0 : -EUCLEAN;
	if (b->count == b->limit)
		return 1;
	b->v[b->count++] = (struct node_place){ info->logical, info->level };
	b->next = info->logical + info->length;
	return 0;
}

static void drop_globals(struct node_batch *b)
{
	while (b->global_count)
		eb_put(b->global[--b->global_count]);
}

static int read_node(struct fs *fs, const struct node_place *place, struct extent_buffer **ret)
{
	struct node_expect want = { .logical = place->logical, .level = place->level };
	EPOCH_SCOPE(fs);

	return node_cache_read(fs, &want, ret);
}

/* Sorts one node of the batch to the tree or the graph that will move it. */
static int sort_node(struct node_batch *b, struct graph *g, const struct node_place *place)
{
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	struct extent_info info;
	int r = extent_info(b->fs, place->logical, &info);

	if (r < 0) /* freed since the scan */
		return r == -ENOENT ? 0 : r;
	r = read_node(b->fs, place, &eb);
	if (r < 0)
		return r;
	if (!fs_global_root(b->fs, eb->owner))
		return graph_add(g, place->logical, place->level);
	b->global[b->global_count++] = TAKE(eb);
	return 0;
}

static int build(struct node_batch *b, struct graph *g)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < b->count; i++)
		r = sort_node(b, g, &b->v[i]);
	return r < 0 ? r : graph_close(g);
}

static int cow_global(struct trans *trans, struct extent_buffer *eb)
{
	struct root *root = fs_global_root(trans->fs, eb->owner);
	struct key first = KEY_MIN;
	int r;

	if (node_nritems(eb->data))
		first = node_key(eb->data, 0);
	r = tree_cow_node(trans, root, &first, eb->level, eb->logical);
	return r > 0 ? 0 : r; /* 1: copied already, on the way to another */
}

static int apply(struct node_batch *b, struct graph *g, struct trans *trans)
{
	int r = graph_apply(g, trans);

	for (unsigned i = 0; r == 0 && i < b->global_count; i++)
		r = cow_global(trans, b->global[i]);
	if (r < 0)
		trans_abort(trans, r, "moving tree nodes");
	SP("rl.switched", .transid = trans->transid);
	return r;
}

/* 1: more nodes are needed than were reserved, *nodes says how many; nothing was changed. */
static int try_move(struct node_batch *b, size_t *nodes, struct pace *pace)
{
	struct pace_section section = pace_enter(b->fs);
	_cleanup_graph_ struct graph g = {};
	struct trans trans;
	size_t need;
	bool fits;
	int r = trans_exclusive_begin(b->fs, graph_items(*nodes), &trans);
	int end;

	if (r < 0)
		return r;
	graph_init(&g, b->fs, trans.transid, NULL, NULL);
	r = build(b, &g);
	/* copying a global tree's node copies those above it */
	need = g.count + (NODE_LEVEL_MAX / 2) * (size_t)b->global_count;
	fits = need <= *nodes;
	if (r == 0 && fits)
		r = apply(b, &g, &trans);
	drop_globals(b);
	SP("rl.commit", .transid = trans.transid);
	end = trans_exclusive_end(&trans, r == 0 && fits);
	pace_leave(&section, trans.held_ns, &pace->nodes, PACE_NODES_MAX);
	if (r < 0 || end < 0)
		return r < 0 ? r : end;
	*nodes = need + SPARE_NODES;
	return !fits;
}

/* So that the section does not wait for the device. Whatever is wrong is found there again. */
static void warm_cache(struct node_batch *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct extent_buffer *eb;

		if (read_node(b->fs, &b->v[i], &eb) == 0)
			eb_put(eb);
	}
}

static int move_batch(struct node_batch *b, struct pace *pace)
{
	size_t nodes = SPARE_NODES + b->count;
	int r;

	warm_cache(b);
	SP("rl.switch_pre");
	do
		r = try_move(b, &nodes, pace);
	while (r == 1);
	SP("rl.committed");
	return r;
}

/* Collects from *at on and moves that; 1: there was nothing. */
static int next_batch(struct node_batch *b, u64 *at, u64 end, struct pace *pace, u64 *moved)
{
	int r;

	b->count = 0;
	b->limit = pace->nodes;
	b->next = *at;
	r = extent_scan(b->fs, *at, end, collect, b);
	if (r < 0)
		return r;
	if (b->count == 0)
		return 1;
	r = move_batch(b, pace);
	if (r == -ENOSPC && pace_shrink(&pace->nodes, b->count))
		return 0;
	*at = b->next;
	*moved += b->count;
	return r;
}

int metadata_pass(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
		  struct pace *pace, u64 *moved)
{
	_cleanup_free_ struct node_batch *b = calloc(1, sizeof(*b));
	u64 at = bg->logical;
	int r = b ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	b->fs = fs;
	b->mixed = bg->flags & BTRFS_BLOCK_GROUP_DATA;
	while (r == 0)
		r = stop_asked(stop) ? -ECANCELED :
				       next_batch(b, &at, bg->logical + bg->length, pace, moved);
	return r < 0 ? r : 0;
}
