/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph.c - building the closure: from nodes to the nodes that point to them. See graph.h. */
#include "relocation/graph.h"

#include <errno.h>
#include <stdlib.h>

#include "core/fs.h"
#include "core/subvol/root_table.h"
#include "core/trans/epoch.h"
#include "core/tree/node_cache.h"
#include "core/tree/root.h"
#include "core/tree/search.h"
#include "disk/base/log.h"
#include "disk/format/node.h"
#include "relocation/graph_internal.h"

static int by_address(struct graph_node *a, struct graph_node *b)
{
	return (a->logical > b->logical) - (a->logical < b->logical);
}

RB_GENERATE_INTERNAL(graph_tree, graph_node, link, by_address, static __attribute__((unused)))

void graph_init(struct graph *g, struct fs *fs, u64 transid, moved_extent_fn *moved, void *ctx)
{
	*g = (struct graph){ .fs = fs, .transid = transid, .moved = moved, .moved_ctx = ctx };
	RB_INIT(&g->nodes);
	for (unsigned i = 0; i < NODE_LEVEL_MAX; i++)
		TAILQ_INIT(&g->levels[i]);
}

static void node_free(struct graph_node *node)
{
	for (unsigned i = 0; i < node->top_count; i++)
		root_put(node->tops[i]);
	free(node->tops);
	ref_list_free(&node->refs);
	eb_put(node->copy);
	eb_put(node->old);
	free(node);
}

void graph_free(struct graph *g)
{
	for (unsigned i = 0; i < NODE_LEVEL_MAX; i++) {
		struct graph_node *node, *next;

		for (node = TAILQ_FIRST(&g->levels[i]); node; node = next) {
			next = TAILQ_NEXT(node, level_link);
			node_free(node);
		}
		TAILQ_INIT(&g->levels[i]);
	}
	RB_INIT(&g->nodes);
	g->count = 0;
}

struct graph_node *graph_find(struct graph *g, u64 logical)
{
	struct graph_node want = { .logical = logical };

	return RB_FIND(graph_tree, &g->nodes, &want);
}

int graph_add(struct graph *g, u64 logical, u8 level)
{
	struct graph_node *node = graph_find(g, logical);

	if (node)
		return node->level == level ? 0 : -EUCLEAN;
	if (level >= NODE_LEVEL_MAX)
		return -EUCLEAN;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->logical = logical;
	node->level = level;
	RB_INSERT(graph_tree, &g->nodes, node);
	TAILQ_INSERT_TAIL(&g->levels[level], node, level_link);
	g->count++;
	return 0;
}

static int add_top(struct graph_node *node, struct root *root)
{
	struct root **tops = reallocarray(node->tops, node->top_count + 1, sizeof(struct root *));

	if (!tops)
		return -ENOMEM;
	atomic_fetch_add(&root->refs, 1);
	tops[node->top_count++] = root;
	node->tops = tops;
	return 0;
}

static int no_parent(const struct graph_node *node, const char *kind, u64 holder)
{
	log_fault("node %llu: %s %llu holds a reference but does not point to it",
		  (unsigned long long)node->logical, kind, (unsigned long long)holder);
	return -EUCLEAN;
}

/* A reference by root: the parent is the node on that tree's way to our first key. */
static int parent_in_tree(struct graph *g, struct graph_node *node, u64 root_id)
{
	_cleanup_root_ struct root *root = NULL;
	_cleanup_path_ struct path path = {};
	struct extent_buffer *parent;
	struct key first = KEY_MIN;
	int r = root_get(g->fs, root_id, &root);

	if (r < 0)
		return r == -ENOENT ? no_parent(node, "missing tree", root_id) : r;
	if (node_nritems(node->old->data))
		first = node_key(node->old->data, 0);
	r = tree_find_level(root, &first, node->level + 1, &path);
	if (r < 0)
		return r;
	parent = path.nodes[path.lowest_level];
	if (parent->logical == node->logical)
		return add_top(node, root);
	if (path.lowest_level != node->level + 1 ||
	    node_blockptr(parent->data, (u32)path.slots[path.lowest_level]) != node->logical)
		return no_parent(node, "tree", root_id);
	return graph_add(g, parent->logical, node->level + 1);
}

static int add_parent(struct graph *g, struct graph_node *node, const struct ref *ref)
{
	switch (ref->kind) {
	case REF_TREE_BLOCK:
		return parent_in_tree(g, node, ref->root);
	case REF_SHARED_BLOCK:
		return graph_add(g, ref->parent, node->level + 1);
	default:
		return no_parent(node, "data reference", ref->root);
	}
}

/* Made in this transaction, by its one owner: it may be changed where it is, as a writer would. */
static bool may_edit(const struct graph *g, const struct extent_buffer *eb)
{
	return eb->generation == g->transid && !eb_test(eb, EB_WRITTEN) &&
	       !(node_flags(eb->data) & BTRFS_HEADER_FLAG_RELOC);
}

static int read_node(struct graph *g, struct graph_node *node)
{
	struct node_expect want = { .logical = node->logical, .level = node->level };
	EPOCH_SCOPE(g->fs);

	return node_cache_read(g->fs, &want, &node->old);
}

static int close_node(struct graph *g, struct graph_node *node)
{
	int r = read_node(g, node);

	if (r < 0)
		return r;
	node->in_place = may_edit(g, node->old);
	if (node->in_place)
		return 0;
	r = extent_refs_list(g->fs, node->logical, &node->refs);
	if (r == -ENOENT)
		r = -EUCLEAN;
	for (u32 i = 0; r == 0 && i < node->refs.count; i++)
		r = add_parent(g, node, &node->refs.v[i].ref);
	return r;
}

int graph_close(struct graph *g)
{
	for (unsigned level = 0; level < NODE_LEVEL_MAX; level++) {
		struct graph_node *node;

		TAILQ_FOREACH(node, &g->levels[level], level_link) {
			int r = node->old ? 0 : close_node(g, node);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

unsigned graph_items(size_t nodes)
{
	return (unsigned)(nodes / 8 + 1); /* an item is worth 8 nodes or more: reservation.h */
}
