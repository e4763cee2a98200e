/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph.h - the nodes of subvolume trees that must be written anew together.
 *
 * Moving a node, or changing a file extent in a leaf, changes its address, so every node that
 * points to it must be rewritten, too, up to the root nodes. The graph is that closure: each
 * distinct node once, however many trees share it. Each copy gets exactly the references and the
 * generation that its original had, so sharing is kept as it is, and known as before. (The header
 * flag RELOC is no way to say it: `btrfs check` wants full backrefs wherever it stands.)
 *
 * Used inside an exclusive section: nobody else changes trees; readers walk old nodes until the
 * new root nodes are in place. graph_close() only reads. graph_apply() changes things: a failure
 * of it means abort.
 */
#ifndef RELOCATION_GRAPH_H
#define RELOCATION_GRAPH_H

#include <bsd/sys/tree.h>
#include <sys/queue.h>

#include "core/extent/extent_info.h"
#include "core/tree/extent_buffer.h"
#include "disk/format/ondisk.h"

struct fs;
struct root;
struct trans;

struct graph_node {
	RB_ENTRY(graph_node) link;
	TAILQ_ENTRY(graph_node) level_link;
	u64 logical;
	u8 level;
	bool in_place;              /* made in this transaction and not shared: edited where it is */
	struct extent_buffer *old;  /* referenced */
	struct extent_buffer *copy; /* referenced; NULL before graph_apply() and if in place */
	struct ref_list refs;       /* of the old node */
	struct root **tops;         /* roots whose root node this is, referenced */
	unsigned top_count;
};

RB_HEAD(graph_tree, graph_node);
TAILQ_HEAD(graph_level, graph_node);

/* Where a data extent goes: the new address of the extent that begins at @logical, 0 if it stays. */
typedef u64 moved_extent_fn(void *ctx, u64 logical);

struct graph {
	struct fs *fs;
	u64 transid;
	moved_extent_fn *moved; /* NULL: no data extents move */
	void *moved_ctx;
	struct graph_tree nodes;
	struct graph_level levels[NODE_LEVEL_MAX];
	size_t count;
};

void graph_init(struct graph *g, struct fs *fs, u64 transid, moved_extent_fn *moved, void *ctx);
void graph_free(struct graph *g);
#define _cleanup_graph_ _cleanup_(graph_free)

/* Puts a node into the graph, if it is not there. Pure memory: allowed under a tree lock. */
_must_check_ int graph_add(struct graph *g, u64 logical, u8 level);

/* Reads every node of the graph and adds its parents, up to the roots. No locks held. -EUCLEAN:
 * the extent tree names a parent that does not point here. */
_must_check_ int graph_close(struct graph *g);

/* Writes all nodes of the closed graph anew and hangs them into their trees. From then on @trans is
 * neutral: the rest of it moves extents, too. */
_must_check_ int graph_apply(struct graph *g, struct trans *trans);

/* Reservation items for @nodes new nodes: an item stands for a path that is copied and split. */
unsigned graph_items(size_t nodes);

/* The holder that @ref becomes when its parent has moved; @ref itself if it has none. */
_must_check_ int graph_map_ref(struct graph *g, const struct ref *ref, struct ref *ret);

#endif
