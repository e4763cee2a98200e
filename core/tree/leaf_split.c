/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * leaf_split.c - making room in the leaf of a writable path.
 *
 * First neighbours that are cached and have plenty take some items, then the leaf is split. Who
 * appends (at a leaf's end, or to the items of one object and type) gets a new leaf and leaves a
 * full one behind, so that keys written in order come out dense. The place chosen depends on
 * lengths alone (split_choose is pure); an item too large for both halves gets a leaf of its own in
 * a second round.
 */
#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/tree_internal.h"

/* What is to be fitted in. */
struct leaf_want {
	const struct key *key;
	u32 need;    /* bytes, the item's header included */
	bool extend; /* the item at the slot grows, instead of a new one coming before it */
};

/* Smallest number of items (at most @max_count) from one end whose bytes reach @bytes; 0: none. */
static u32 push_count(const void *leaf, bool front, u32 max_count, u32 bytes, u32 max_bytes)
{
	u32 n = node_nritems(leaf), got;

	for (u32 count = 1; count <= max_count; count++) {
		got = front ? leaf_items_bytes(leaf, 0, count)
			    : leaf_items_bytes(leaf, n - count, n);
		if (got > max_bytes)
			return 0;
		if (got >= bytes)
			return count;
	}
	return 0;
}

/* How many items of the leaf the cached sibling at @slot should take. */
static u32 push_plan(struct path *path, const struct leaf_want *want, int slot, bool left)
{
	const struct extent_buffer *leaf = path->nodes[0];
	u32 nodesize = leaf->fs->nodesize, n = node_nritems(leaf->data);
	u32 at = (u32)path->slots[0], room = leaf_free_space(leaf->data, nodesize), free_bytes;
	u32 movable = left ? at : n - at - want->extend;
	struct extent_buffer *sibling;

	if (slot < 0 || slot >= (int)node_nritems(path->nodes[1]->data) ||
	    path_child_at(path, 1, slot, &sibling) < 0)
		return 0;
	free_bytes = leaf_free_space(sibling->data, nodesize);
	eb_put(sibling);
	if (free_bytes < LEAF_DATA(nodesize) / 8 || free_bytes < room)
		return 0;
	return push_count(leaf->data, left, MIN(movable, n - 1),
			  MAX(want->need - room, (free_bytes - room) / 2), free_bytes);
}

static void push_left(struct path *path, struct extent_buffer *left, u32 count)
{
	struct extent_buffer *leaf = path->nodes[0];
	u32 nodesize = leaf->fs->nodesize;

	leaf_copy_items(left->data, nodesize, node_nritems(left->data), leaf->data, 0, count);
	leaf_remove_items(leaf->data, nodesize, 0, count);
	path->slots[0] -= (int)count;
	path_fix_low_key(path, 0);
}

static void push_right(struct path *path, struct extent_buffer *right, u32 count)
{
	struct extent_buffer *leaf = path->nodes[0];
	u32 nodesize = leaf->fs->nodesize, n = node_nritems(leaf->data);
	struct key key = node_key(leaf->data, n - count);

	leaf_copy_items(right->data, nodesize, 0, leaf->data, n - count, count);
	leaf_remove_items(leaf->data, nodesize, n - count, count);
	node_set_key(path->nodes[1]->data, (u32)path->slots[1] + 1, &key);
}

static int path_push(struct trans *trans, struct path *path, const struct leaf_want *want,
		     bool left)
{
	int slot = path->slots[1] + (left ? -1 : 1);
	_cleanup_eb_ struct extent_buffer *sibling = NULL;
	u32 count = push_plan(path, want, slot, left);
	int rc;

	if (!count)
		return 0;
	rc = path_cow_sibling(trans, path, 1, slot, &sibling);
	if (rc < 0 || !sibling)
		return rc;
	if (left)
		push_left(path, sibling, count);
	else
		push_right(path, sibling, count);
	return 0;
}

/* Does what goes to the item's half fit, if the leaf is split before item @at? */
static bool split_fits(const void *leaf, u32 nodesize, u32 slot, u32 at,
		       const struct leaf_want *want, bool item_left)
{
	u32 half = item_left ? leaf_items_bytes(leaf, 0, at)
			     : leaf_items_bytes(leaf, at, node_nritems(leaf));

	if (want->extend ? item_left != (slot < at) : item_left ? slot > at : slot < at)
		return false;
	return half + want->need <= LEAF_DATA(nodesize);
}

/* Does the new item prolong a run of one object and type that fills much of the leaf? */
static bool split_ends_run(const void *leaf, u32 nodesize, u32 slot, const struct leaf_want *want)
{
	struct key before, after;

	if (want->extend || !slot || slot == node_nritems(leaf) ||
	    leaf_items_bytes(leaf, 0, slot) < LEAF_DATA(nodesize) / 2)
		return false;
	before = node_key(leaf, slot - 1);
	after = node_key(leaf, slot);
	return before.objectid == want->key->objectid && before.type == want->key->type &&
	       (after.objectid != want->key->objectid || after.type != want->key->type) &&
	       split_fits(leaf, nodesize, slot, slot, want, false);
}

/* Item before which to split: balanced, with room for the wanted on one side. If no place is
 * good, next to the slot; the caller comes again. */
static u32 split_choose(const void *leaf, u32 nodesize, u32 slot, const struct leaf_want *want)
{
	u32 n = node_nritems(leaf), best = slot ? slot : 1, best_score = UINT32_MAX;

	if (slot + want->extend == n)
		return MAX(slot, 1u);
	if (split_ends_run(leaf, nodesize, slot, want))
		return slot;
	for (u32 at = want->extend || slot ? 1 : 0; at < n; at++) {
		u32 left = leaf_items_bytes(leaf, 0, at), right = leaf_items_bytes(leaf, at, n);
		u32 score = left > right ? left - right : right - left;

		if (score < best_score &&
		    (split_fits(leaf, nodesize, slot, at, want, true) ||
		     (at && split_fits(leaf, nodesize, slot, at, want, false)))) {
			best = at;
			best_score = score;
		}
	}
	return best;
}

static bool split_goes_right(const void *leaf, u32 nodesize, u32 slot, u32 at,
			     const struct leaf_want *want)
{
	if (slot != at)
		return slot > at;
	if (want->extend || at == node_nritems(leaf) || split_ends_run(leaf, nodesize, slot, want))
		return true;
	return at && !split_fits(leaf, nodesize, slot, at, want, true) &&
	       split_fits(leaf, nodesize, slot, at, want, false);
}

/* Items from @at on go to a new leaf (which stays empty if there are none: for who appends). */
static int path_split_leaf(struct trans *trans, struct path *path, u32 at,
			   const struct leaf_want *want)
{
	_cleanup_eb_ struct extent_buffer *right = NULL;
	struct extent_buffer *leaf = path->nodes[0];
	u32 nodesize = trans->fs->nodesize, n = node_nritems(leaf->data);
	struct key key = at < n ? node_key(leaf->data, at) : *want->key;
	bool go = split_goes_right(leaf->data, nodesize, (u32)path->slots[0], at, want);
	int rc = path_reserve_ptr(trans, path, 1);

	if (!rc)
		rc = tree_block_alloc(trans, path->root, 0, &key, &right);
	if (rc < 0)
		return rc;
	leaf_copy_items(right->data, nodesize, 0, leaf->data, at, n - at);
	if (at < n)
		leaf_remove_items(leaf->data, nodesize, at, n - at);
	path_insert_ptr(path, 1, &key, right);
	if (go) {
		path->slots[0] -= (int)at;
		path->slots[1]++;
		path->nodes[0] = TAKE(right);
		eb_put(leaf);
	}
	return 0;
}

static bool path_has_room(const struct path *path, const struct leaf_want *want)
{
	const struct extent_buffer *leaf = path->nodes[0];

	return leaf_free_space(leaf->data, leaf->fs->nodesize) >= want->need;
}

int path_make_room(struct trans *trans, struct path *path, const struct key *key, u32 size,
		   bool extend)
{
	struct leaf_want want = {
		.key = key,
		.need = size + (extend ? 0 : (u32)sizeof(struct btrfs_item)),
		.extend = extend,
	};
	u32 total = size + (extend ? path_size(path) : 0);
	int rc = 0;

	if (total < size || total > LEAF_ITEM_MAX(trans->fs->nodesize))
		return -EOVERFLOW;
	if (path->nodes[0] != path->root->node && !path_at_end(path)) {
		for (int side = 0; side < 2 && !rc && !path_has_room(path, &want); side++)
			rc = path_push(trans, path, &want, side == 0);
	}
	while (!rc && !path_has_room(path, &want))
		rc = path_split_leaf(trans, path,
				     split_choose(path->nodes[0]->data, trans->fs->nodesize,
						  (u32)path->slots[0], &want),
				     &want);
	return rc;
}
