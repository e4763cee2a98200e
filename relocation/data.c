/* SPDX-License-Identifier: GPL-2.0-or-later */
/* data.c - data extents: find who points to them, switch all of them at once, commit. See data.h.
 *
 * The switch reads the references again inside the exclusive section: an extent that was freed or
 * replaced since it was copied is found to have fewer holders, or none, and whoever points
 * somewhere else by now is not touched. So no file lock is needed.
 */
#include "relocation/data.h"

#include <errno.h>
#include <linux/btrfs_tree.h>
#include <stdlib.h>

#include "core/extent/csum_tree.h"
#include "core/extent/extent_alloc.h"
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/space/block_group.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/search.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/codec/compress.h"
#include "relocation/extent_batch.h"
#include "relocation/graph.h"

#define BATCH_BYTES MIB(32)
#define SPARE_NODES 64u /* interior nodes above a batch's leaves */

/* ---- who points to an extent ---- */

/* Leaves of @root with items of @ino that point to @e the way @ref says. */
static int leaves_in_tree(struct graph *g, struct root *root, const struct moved_extent *e,
			  const struct ref *ref, u64 *found)
{
	u64 first = (s64)ref->offset < 0 ? 0 : ref->offset;
	/* both may have wrapped below zero; a compressed extent covers more of a file than it has
	 * bytes, but never more than this */
	u64 end = ref->offset + MAX(e->len, (u64)COMPRESS_MAX);
	struct key key = file_extent_key(ref->ino, first);
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(root, &key, &path);

	for (; r >= 0; r = tree_next(&path)) {
		struct file_mapping m;

		if (path_at_end(&path))
			return 0;
		key = path_key(&path);
		if (key.objectid != ref->ino || key.type != BTRFS_EXTENT_DATA_KEY || key.offset >= end)
			return 0;
		file_mapping_decode(path_data(&path), path_size(&path), key.offset, &m);
		if (m.disk_bytenr != e->from || m.off - m.extent_off != ref->offset)
			continue;
		r = graph_add(g, path.nodes[0]->logical, 0);
		if (r < 0)
			return r;
		++*found;
	}
	return r == -ENOENT ? 0 : r;
}

static int leaves_by_root(struct graph *g, const struct moved_extent *e, const struct ref *ref)
{
	_cleanup_root_ struct root *root = NULL;
	u64 found = 0;
	int r = root_get(g->fs, ref->root, &root);

	if (r == 0)
		r = leaves_in_tree(g, root, e, ref, &found);
	if (r < 0 && r != -ENOENT)
		return r;
	if (found)
		return 0;
	log_fault("extent %llu: tree %llu inode %llu holds a reference but does not point to it",
		  (unsigned long long)e->from, (unsigned long long)ref->root,
		  (unsigned long long)ref->ino);
	return -EUCLEAN;
}

static int read_refs(struct fs *fs, struct moved_extent *e)
{
	int r;

	ref_list_free(&e->refs);
	r = extent_refs_list(fs, e->from, &e->refs);
	return r == -ENOENT ? 0 : r; /* freed meanwhile */
}

static int add_leaves(struct graph *g, struct moved_extent *e)
{
	int r = 0;

	if (e->state != MOVED_COPIED)
		return 0;
	if (GUARD(switch_cas))
		r = read_refs(g->fs, e);
	for (u32 i = 0; r == 0 && i < e->refs.count; i++) {
		const struct ref *ref = &e->refs.v[i].ref;

		r = ref->kind == REF_SHARED_DATA ? graph_add(g, ref->parent, 0) :
						   leaves_by_root(g, e, ref);
	}
	return r;
}

static u64 new_place(void *ctx, u64 logical)
{
	struct moved_extent *e = extent_batch_find(ctx, logical);

	return e && e->state == MOVED_COPIED && e->refs.count ? e->to.logical : 0;
}

/* ---- the switch ---- */

/* The holders of @e, as they are after the switch. free() them. */
static int new_holders(struct graph *g, const struct moved_extent *e, struct ref_count **ret)
{
	_cleanup_free_ struct ref_count *v = calloc(e->refs.count, sizeof(*v));
	int r = v ? 0 : -ENOMEM;

	for (u32 i = 0; r == 0 && i < e->refs.count; i++) {
		v[i].count = e->refs.v[i].count;
		r = graph_map_ref(g, &e->refs.v[i].ref, &v[i].ref);
	}
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

static int switch_refs(struct graph *g, struct trans *trans, struct moved_extent *e)
{
	_cleanup_free_ struct ref_count *holders = NULL;
	int r = new_holders(g, e, &holders);

	if (r == 0)
		r = dref_add_new_shared(trans, e->to.logical, e->len, e->refs.info.owner,
					e->refs.info.owner ? e->refs.info.generation : 0, holders,
					e->refs.count);
	for (u32 i = 0; r == 0 && i < e->refs.count; i++) {
		const struct ref_count *held = &e->refs.v[i];

		r = dref_add(trans, e->from, e->len, 0, true, &held->ref, -(int)held->count);
	}
	return r < 0 ? r : quota_moved(trans, e->from, e->to.logical, e->len);
}

static bool is_switched_now(const struct moved_extent *e)
{
	return e->state == MOVED_COPIED && e->refs.count;
}

/* Runs of sectors that have checksums take them along, unchanged. Before the pointers change:
 * readers look without joining, and a mapped sector must never be without its checksum. */
static int carry_csums(struct trans *trans, const struct moved_extent *e)
{
	u32 sectorsize = trans->fs->sectorsize;
	size_t sectors = is_switched_now(e) && e->any_csum ? e->len / sectorsize : 0;

	for (size_t i = 0, end; i < sectors; i = end) {
		int r;

		for (end = i; end < sectors && e->present[end] == e->present[i]; end++)
			;
		if (!e->present[i])
			continue;
		r = csum_insert(trans, e->to.logical + i * sectorsize, (end - i) * sectorsize,
				e->csums + i * trans->fs->csum_size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int switch_extent(struct graph *g, struct trans *trans, struct moved_extent *e)
{
	int r;

	if (e->state == MOVED_COPIED) /* also if nobody holds it any more */
		TRACE("extent.switched", .bytenr = e->from, .len = e->len, .to = e->to.logical);
	if (!is_switched_now(e))
		return 0;
	r = switch_refs(g, trans, e);
	if (r == 0) {
		e->state = MOVED_SWITCHED;
		block_group_reservation_put(TAKE(e->to.bg));
	}
	return r;
}

static int apply(struct graph *g, struct trans *trans, struct extent_batch *batch)
{
	int r = 0;

	/* before anybody can see a new place and write to it */
	atomic_store(&trans->fs->moved_transid, trans->transid);
	for (size_t i = 0; r == 0 && i < batch->count; i++)
		r = carry_csums(trans, &batch->v[i]);
	if (r == 0)
		r = graph_apply(g, trans);
	for (size_t i = 0; r == 0 && i < batch->count; i++)
		r = switch_extent(g, trans, &batch->v[i]);
	if (r < 0)
		trans_abort(trans, r, "switching references of moved extents");
	SP("rl.switched", .transid = trans->transid);
	return r;
}

static int build(struct graph *g, struct extent_batch *batch)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < batch->count; i++)
		r = add_leaves(g, &batch->v[i]);
	return r < 0 ? r : graph_close(g);
}

/* Leaves of the checksum tree that the new places may change: each run of addresses is split off at
 * both ends, and filled in between. */
static size_t csum_nodes(const struct extent_batch *batch)
{
	struct fs *fs = batch->fs;
	size_t runs = 0;
	u64 end = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct data_alloc *to = &batch->v[i].to;

		if (!batch->v[i].any_csum)
			continue;
		runs += to->logical != end;
		end = to->logical + to->len;
	}
	return 4 * runs + 2 * batch->bytes / fs->sectorsize * fs->csum_size / fs->nodesize;
}

/* What the switch may make anew. */
static size_t nodes_needed(const struct graph *g, const struct extent_batch *batch)
{
	return g->count + csum_nodes(batch);
}

/* 1: more nodes are needed than were reserved, *nodes says how many; nothing was changed. */
static int try_switch(struct extent_batch *batch, size_t *nodes, struct pace *pace)
{
	struct pace_section section = pace_enter(batch->fs);
	_cleanup_graph_ struct graph g = {};
	struct trans trans;
	bool fits;
	int r = trans_exclusive_begin(batch->fs, graph_items(*nodes), &trans);
	int end;

	if (r < 0)
		return r;
	graph_init(&g, batch->fs, trans.transid, new_place, batch);
	r = build(&g, batch);
	fits = nodes_needed(&g, batch) <= *nodes;
	if (r == 0 && fits)
		r = apply(&g, &trans, batch);
	SP("rl.commit", .transid = trans.transid);
	end = trans_exclusive_end(&trans, r == 0 && fits);
	pace_leave(&section, trans.held_ns, &pace->refs, PACE_REFS_MAX);
	if (r < 0 || end < 0)
		return r < 0 ? r : end;
	*nodes = nodes_needed(&g, batch) + SPARE_NODES;
	return !fits;
}

static int switch_batch(struct extent_batch *batch, struct pace *pace)
{
	size_t nodes = SPARE_NODES + csum_nodes(batch);
	int r = 0;

	/* Guard switch_cas: with it off the references are looked at too early, and not again. */
	for (size_t i = 0; !GUARD(switch_cas) && r == 0 && i < batch->count; i++)
		r = read_refs(batch->fs, &batch->v[i]);
	if (r < 0)
		return r;
	SP("rl.switch_pre");
	do
		r = try_switch(batch, &nodes, pace);
	while (r == 1);
	SP("rl.committed");
	return r;
}

/* ---- a pass ---- */

/* Collects a batch from @next on; stops the scan when it is full. */
struct collector {
	struct extent_batch *batch;
	u32 refs_max;
	u64 next;
	bool mixed;
};

static int collect(void *ctx, const struct extent_info *info)
{
	struct collector *c = ctx;
	int r;

	if (!(info->flags & BTRFS_EXTENT_FLAG_DATA)) /* mixed groups: metadata_pass() moves it */
		return c->mixed ? 0 : -EUCLEAN;
	if (c->batch->count &&
	    (c->batch->bytes + info->length > BATCH_BYTES || c->batch->refs + info->refs > c->refs_max))
		return 1;
	r = extent_batch_add(c->batch, info);
	c->next = info->logical + info->length;
	return r;
}

static int move_batch(struct extent_batch *batch, const struct stop_flag *stop, struct pace *pace,
		      u64 *moved, u64 *stuck)
{
	int r;

	SP("rl.copy_pre", .bytenr = batch->v[0].from);
	r = extent_batch_copy(batch, stop);
	SP("rl.copied", .bytenr = batch->v[0].from);
	SP("rl.flush", .bytenr = batch->v[0].from); /* none of its own: the commit's covers the copies */
	if (r == 0)
		r = switch_batch(batch, pace);
	for (size_t i = 0; r == 0 && i < batch->count; i++)
		++*(batch->v[i].state == MOVED_UNREADABLE ? stuck : moved);
	return r;
}

/* Moves what begins in @bg from *at on, as much as fits into a batch; 1: there was nothing. */
static int next_batch(struct block_group *bg, u64 *at, const struct stop_flag *stop,
		      struct pace *pace, u64 *moved, u64 *stuck)
{
	_cleanup_extent_batch_ struct extent_batch batch;
	struct collector c = { .batch = &batch, .refs_max = pace->refs, .next = *at };
	int r;

	c.mixed = bg->flags & BTRFS_BLOCK_GROUP_METADATA;
	extent_batch_init(&batch, bg->fs);
	r = extent_scan(bg->fs, *at, bg->logical + bg->length, collect, &c);
	if (r < 0 || batch.count == 0)
		return r < 0 ? r : 1;
	r = move_batch(&batch, stop, pace, moved, stuck);
	if (r == -ENOSPC && pace_shrink(&pace->refs, batch.count))
		return 0;
	*at = c.next;
	return r;
}

int data_pass(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
	      struct pace *pace, u64 *moved, u64 *stuck)
{
	u64 at = bg->logical;
	int r = 0;

	while (r == 0)
		r = stop_asked(stop) ? -ECANCELED :
				       next_batch(bg, &at, stop, pace, moved, stuck);
	return r < 0 ? r : 0;
}
