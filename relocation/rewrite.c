/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rewrite.c - graph_apply(): every node of a closed graph gets its copy, its references and its
 * place. See graph.h.
 *
 * Steps: copies bottom-up, so that a parent finds where its children went; references, when all
 * addresses are known; then the root nodes. A node that this transaction made itself is edited
 * where it is, under its tree's lock.
 *
 * References of a copy are those of the original, holder by holder. What an original with
 * full backrefs holds itself (children that stay where they are) is handed from the old parent
 * address to the new one; children that move do that on their own. Source: the rules of back
 * references in the btrfs documentation; nothing but addresses changes.
 */
#include <errno.h>
#include <linux/btrfs_tree.h>
#include <string.h>

#include "core/extent/delayed_ref.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/space/space.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/node_cache.h"
#include "core/tree/root.h"
#include "disk/base/sync_point.h"
#include "disk/format/node.h"
#include "relocation/graph_internal.h"

static void edit_pointers(struct graph *g, struct extent_buffer *eb)
{
	for (u32 slot = 0; slot < node_nritems(eb->data); slot++) {
		struct graph_node *child = graph_find(g, node_blockptr(eb->data, slot));
		struct key key;

		if (!child || !child->copy)
			continue;
		key = node_key(eb->data, slot);
		node_set_ptr(eb->data, slot, &key, child->copy->logical, child->copy->generation);
	}
}

/* Where the item at @slot says the place (8 bytes) and length (the next 8) of its data extent;
 * NULL if it has none. */
static u8 *item_extent(struct extent_buffer *eb, u32 slot)
{
	u8 *item;

	if (node_key(eb->data, slot).type != BTRFS_EXTENT_DATA_KEY)
		return NULL;
	item = leaf_data_mut(eb->data, slot);
	if (item[offsetof(struct btrfs_file_extent_item, type)] == BTRFS_FILE_EXTENT_INLINE)
		return NULL;
	item += offsetof(struct btrfs_file_extent_item, disk_bytenr);
	return get_le64(item) ? item : NULL;
}

/* Only the address changes: the item's generation guards against implied sharing. */
static void edit_extents(struct graph *g, struct extent_buffer *eb)
{
	for (u32 slot = 0; g->moved && slot < node_nritems(eb->data); slot++) {
		u8 *extent = item_extent(eb, slot);
		u64 to = extent ? g->moved(g->moved_ctx, get_le64(extent)) : 0;

		if (!to)
			continue;
		put_le64(extent, to);
		if (!GUARD(keep_type)) /* the mistake: as if all of the copy were data */
			extent[-1] = BTRFS_FILE_EXTENT_REG;
		if (!GUARD(all_pieces)) /* as if one item held the whole extent */
			return;
	}
}

static void edit(struct graph *g, struct extent_buffer *eb)
{
	if (eb->level)
		edit_pointers(g, eb);
	else
		edit_extents(g, eb);
}

/* Guard last_snapshot (there is none in the design): with it off the kernel's rule holds, whose
 * relocation is a snapshot of every tree that it touches. Tree lock held for writing. */
static void touch_root(const struct graph *g, struct root *root)
{
	if (!GUARD(last_snapshot))
		root->last_snapshot = g->transid;
}

static int edit_in_place(struct graph *g, struct graph_node *node)
{
	_cleanup_root_ struct root *root = NULL;
	int r = root_get(g->fs, node->old->owner, &root);

	if (r < 0)
		return r == -ENOENT ? -EUCLEAN : r;
	WRLOCK_SCOPE(&root->lock);
	touch_root(g, root);
	edit(g, node->old);
	return 0;
}

/* A copy keeps its generation: "not younger than the last snapshot" is how everybody, the kernel
 * included, knows that a node may be shared. A root node is never shared, and its generation is
 * the tree's. */
static u64 copy_generation(const struct graph *g, const struct graph_node *node)
{
	return node->top_count ? g->transid : node->old->generation;
}

static int make_copy(struct graph *g, struct trans *trans, struct graph_node *node)
{
	u64 generation = copy_generation(g, node);
	struct extent_buffer *copy;
	u64 logical;
	int r = space_alloc_tree_block(g->fs, false, &logical);

	if (r < 0)
		return r;
	copy = eb_new(g->fs, logical, generation, node->old->owner, node->level);
	if (!copy)
		return -ENOMEM;
	eb_copy_content(copy, node->old);
	node_set_bytenr(copy->data, logical);
	node_set_generation(copy->data, generation);
	/* a node of a seed device becomes one of this file system */
	memcpy(node_fsid(copy->data), g->fs->fsid, sizeof(g->fs->fsid));
	memcpy(node_chunk_tree_uuid(copy->data), g->fs->chunk_tree_uuid,
	       sizeof(g->fs->chunk_tree_uuid));
	edit(g, copy);
	node->copy = copy;
	node_cache_insert_new(copy);
	trans_add_dirty(trans, copy);
	return quota_moved(trans, node->logical, logical, g->fs->nodesize);
}

int graph_map_ref(struct graph *g, const struct ref *ref, struct ref *ret)
{
	struct graph_node *parent;

	*ret = *ref;
	if (!ref->parent)
		return 0;
	parent = graph_find(g, ref->parent);
	if (!parent || !parent->copy)
		return -EUCLEAN;
	ret->parent = parent->copy->logical;
	return 0;
}

static int move_refs(struct graph *g, struct trans *trans, struct graph_node *node)
{
	u64 flags = node->refs.info.flags;
	struct key first = KEY_MIN;
	int r = node->refs.count ? 0 : -EUCLEAN;

	if (node_nritems(node->old->data))
		first = node_key(node->old->data, 0);
	for (u32 i = 0; r == 0 && i < node->refs.count; i++) {
		const struct ref_count *held = &node->refs.v[i];
		int more = (int)held->count;
		struct ref ref;

		r = graph_map_ref(g, &held->ref, &ref);
		if (r == 0 && i == 0) {
			r = dref_add_moved_node(trans, node->copy->logical, node->level, flags,
						node->old->owner, &ref, &first,
						node->copy->generation);
			more--;
		}
		if (r == 0 && more)
			r = dref_add(trans, node->copy->logical, g->fs->nodesize, node->level,
				     false, &ref, more);
		if (r == 0)
			r = dref_drop_node(trans, node->logical, node->level, node->old->owner,
					   &held->ref, (int)held->count);
	}
	return r;
}

static int hand_over(struct trans *trans, u64 logical, u64 len, u8 level, bool is_data, u64 from,
		     u64 to)
{
	struct ref old = is_data ? ref_data(0, from, 0, 0) : ref_tree_block(0, from);
	struct ref new = is_data ? ref_data(0, to, 0, 0) : ref_tree_block(0, to);
	int r = dref_add(trans, logical, len, level, is_data, &new, 1);

	return r < 0 ? r : dref_add(trans, logical, len, level, is_data, &old, -1);
}

/* Children that stay get the new address of their full-backref parent. */
static int hand_over_children(struct graph *g, struct trans *trans, struct graph_node *node)
{
	u64 from = node->logical, to = node->copy->logical;
	struct extent_buffer *eb = node->old;
	int r = 0;

	for (u32 slot = 0; r == 0 && slot < node_nritems(eb->data); slot++) {
		u8 *extent;

		if (eb->level) {
			u64 child = node_blockptr(eb->data, slot);
			struct graph_node *moved = graph_find(g, child);

			if (!moved || !moved->copy)
				r = hand_over(trans, child, g->fs->nodesize, eb->level - 1, false,
					      from, to);
			continue;
		}
		extent = item_extent(eb, slot);
		if (extent && !(g->moved && g->moved(g->moved_ctx, get_le64(extent))))
			r = hand_over(trans, get_le64(extent), get_le64(extent + 8), 0, true, from,
				      to);
	}
	return r;
}

static int move_node_refs(struct graph *g, struct trans *trans, struct graph_node *node)
{
	int r = move_refs(g, trans, node);

	if (r == 0 && node->refs.info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF)
		r = hand_over_children(g, trans, node);
	return r;
}

static void swap_tops(struct graph *g, struct trans *trans, struct graph_node *node)
{
	for (unsigned i = 0; i < node->top_count; i++) {
		struct root *root = node->tops[i];

		WRLOCK_SCOPE(&root->lock);
		eb_put(root->node);
		root->node = eb_get(node->copy);
		touch_root(g, root);
		trans_mark_root_dirty(trans, root);
	}
}

typedef int step_fn(struct graph *g, struct trans *trans, struct graph_node *node);

static int copy_or_edit(struct graph *g, struct trans *trans, struct graph_node *node)
{
	return node->in_place ? edit_in_place(g, node) : make_copy(g, trans, node);
}

static int refs_of_copy(struct graph *g, struct trans *trans, struct graph_node *node)
{
	return node->in_place ? 0 : move_node_refs(g, trans, node);
}

static int publish(struct graph *g, struct trans *trans, struct graph_node *node)
{
	if (node->in_place)
		return 0;
	swap_tops(g, trans, node);
	node_cache_drop(g->fs, node->logical);
	return 0;
}

static int each_node(struct graph *g, struct trans *trans, step_fn *step)
{
	struct graph_node *node;
	int r = 0;

	for (unsigned level = 0; level < NODE_LEVEL_MAX; level++)
		TAILQ_FOREACH(node, &g->levels[level], level_link) {
			r = step(g, trans, node);
			if (r < 0)
				return r;
		}
	return r;
}

int graph_apply(struct graph *g, struct trans *trans)
{
	int r;

	trans->neutral = true;
	r = each_node(g, trans, copy_or_edit);
	if (r == 0)
		r = each_node(g, trans, refs_of_copy);
	SP("rl.switch_mid");
	if (r == 0)
		r = each_node(g, trans, publish);
	return r;
}
