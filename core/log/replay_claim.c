/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_claim.c - space that a log occupies or names, and that nothing in the extent tree speaks
 * of.
 *
 * Invariants: a log node is claimed before it is followed, so a walk ends however nodes point, and
 * no node is walked twice; then it is pinned: reusable when this transaction is durable. A data
 * extent that a log names is either in the extent tree with that length, or free as a whole.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/extent/extent_info.h"
#include "core/log/replay_internal.h"
#include "core/space/space.h"
#include "core/tree/node_cache.h"

static int note_extent(struct replay *rp, u64 logical, u64 len)
{
	if (rp->claim_count == rp->claim_room) {
		size_t room = rp->claim_room ? rp->claim_room * 2 : 256;
		void *grown = reallocarray(rp->claims, room, sizeof(*rp->claims));

		if (!grown)
			return -ENOMEM;
		rp->claims = grown;
		rp->claim_room = room;
	}
	rp->claims[rp->claim_count++] = (struct replay_claim){.logical = logical, .len = len};
	return 0;
}

static int note_leaf(struct replay *rp, const void *leaf)
{
	u32 count = node_nritems(leaf);
	int r = 0;

	for (u32 i = 0; r == 0 && i < count; i++) {
		const struct btrfs_file_extent_item *fi = (const void *)leaf_data(leaf, i);

		if (node_key(leaf, i).type != BTRFS_EXTENT_DATA_KEY ||
		    fi->type == BTRFS_FILE_EXTENT_INLINE || !get_le64(&fi->disk_bytenr))
			continue;
		r = note_extent(rp, get_le64(&fi->disk_bytenr), get_le64(&fi->disk_num_bytes));
	}
	return r;
}

static int claim_node(struct replay *rp, u64 logical)
{
	int r = space_claim(rp->fs, logical, rp->fs->nodesize, false);

	if (r == -ENOENT)
		return replay_refuse(rp, -EUCLEAN, "its node %llu lies in space that is in use",
				     (unsigned long long)logical);
	return r < 0 ? r : space_alloc_cancelled(rp->trans, logical, rp->fs->nodesize);
}

static int read_node(struct replay *rp, const struct node_expect *want, struct extent_buffer **ret)
{
	EPOCH_SCOPE(rp->fs);
	int r = node_cache_read(rp->fs, want, ret);

	if (r < 0)
		return replay_refuse(rp, r, "cannot read its node %llu",
				     (unsigned long long)want->logical);
	if ((*ret)->owner != (u64)BTRFS_TREE_LOG_OBJECTID)
		return replay_refuse(rp, -EUCLEAN, "node %llu belongs to tree %lld",
				     (unsigned long long)want->logical, (long long)(*ret)->owner);
	return 0;
}

static int walk_node(struct replay *rp, const struct node_expect *want, bool extents)
{
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	int r = claim_node(rp, want->logical);

	if (r == 0)
		r = read_node(rp, want, &eb);
	if (r < 0)
		return r;
	if (!eb->level)
		return extents ? note_leaf(rp, eb->data) : 0;
	for (u32 i = 0; r == 0 && i < node_nritems(eb->data); i++) {
		struct node_expect child = {.logical = node_blockptr(eb->data, i),
					    .generation = node_ptr_generation(eb->data, i),
					    .level = (u8)(eb->level - 1),
					    .has_first_key = true,
					    .first_key = node_key(eb->data, i)};

		r = walk_node(rp, &child, extents);
	}
	return r;
}

int replay_claim_nodes(struct replay *rp, const struct root *tree, bool extents)
{
	struct node_expect top = {.logical = tree->node->logical,
				  .generation = tree->node->generation,
				  .level = tree->node->level};

	return walk_node(rp, &top, extents);
}

static int by_logical(const void *a, const void *b)
{
	const struct replay_claim *x = a, *y = b;

	if (x->logical != y->logical)
		return x->logical < y->logical ? -1 : 1;
	return x->len < y->len ? -1 : x->len > y->len;
}

static int claim_extent(struct replay *rp, struct replay_claim *c)
{
	struct extent_info info = {};
	int r = space_claim(rp->fs, c->logical, c->len, true);

	c->fresh = r == 0;
	if (r != -ENOENT)
		return r;
	r = extent_info(rp->fs, c->logical, &info);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && info.length == c->len && info.flags & BTRFS_EXTENT_FLAG_DATA)
		return 0;
	return replay_refuse(rp, -EUCLEAN,
			     "extent %llu + %llu, which it names, is neither free nor one",
			     (unsigned long long)c->logical, (unsigned long long)c->len);
}

int replay_claim_extents(struct replay *rp)
{
	size_t kept = 0;
	int r = 0;

	if (rp->claim_count)
		qsort(rp->claims, rp->claim_count, sizeof(*rp->claims), by_logical);
	for (size_t i = 0; r == 0 && i < rp->claim_count; i++) {
		struct replay_claim c = rp->claims[i];

		if (kept && by_logical(&c, &rp->claims[kept - 1]) == 0)
			continue;
		r = claim_extent(rp, &c);
		rp->claims[kept++] = c;
	}
	rp->claim_count = kept;
	return r;
}

static int at_address(const void *key, const void *claim)
{
	u64 logical = *(const u64 *)key, at = ((const struct replay_claim *)claim)->logical;

	return logical < at ? -1 : logical > at;
}

int replay_extent_ref(struct replay *rp, u64 logical, u64 ino, u64 off)
{
	struct ref ref = ref_data(rp->root->id, 0, ino, off);
	struct replay_claim *c =
		bsearch(&logical, rp->claims, rp->claim_count, sizeof(*c), at_address);

	if (!c)
		return -EUCLEAN;
	if (!c->fresh || c->used)
		return dref_add(rp->trans, c->logical, c->len, 0, true, &ref, 1);
	c->used = true;
	return dref_add_new(rp->trans, c->logical, c->len, 0, BTRFS_EXTENT_FLAG_DATA, &ref, NULL);
}

int replay_claim_end(struct replay *rp)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < rp->claim_count; i++) {
		const struct replay_claim *c = &rp->claims[i];

		if (c->fresh && !c->used)
			r = space_alloc_cancelled(rp->trans, c->logical, c->len);
	}
	return r;
}
