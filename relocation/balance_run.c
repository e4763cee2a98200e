/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance_run.c - see balance_run.h. */
#include "relocation/balance_run.h"

#include <errno.h>
#include <linux/btrfs_tree.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/fs.h"
#include "core/space/block_group.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "disk/base/lock.h"
#include "disk/base/log.h"
#include "disk/volume/volume.h"
#include "relocation/pace.h"

/* What all steps of a walk share. */
struct walk {
	struct fs *fs;
	struct balance_filters *filters;
	const struct stop_flag *stop;
	struct balance_counts *counts;
	struct pace pace;
};

struct chunk_list {
	struct chunk **v; /* ascending */
	size_t count;
};

static void chunk_list_free(struct chunk_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		chunk_put(list->v[i]);
	free(list->v);
}

/* The list takes the reference, also if it fails. */
static int chunk_list_add(struct chunk_list *list, struct chunk *chunk)
{
	struct chunk **v = reallocarray(list->v, list->count + 1, sizeof(struct chunk *));

	if (!v) {
		chunk_put(chunk);
		return -ENOMEM;
	}
	list->v = v;
	v[list->count++] = chunk;
	return 0;
}

static int chunk_list_fill(struct fs *fs, struct chunk_list *list)
{
	struct chunk_map *map = volume_chunks(fs->vol);
	struct chunk *chunk;
	int r = 0;

	for (u64 at = 0; r == 0 && (chunk = chunk_map_next(map, at));) {
		at = chunk->logical + chunk->length;
		r = chunk_list_add(list, chunk);
	}
	return r;
}

static u64 group_used(struct block_group *bg)
{
	MUTEX_SCOPE(&bg->lock);
	return bg->used;
}

/* Does the group pass the filters now, `limit` aside? A removed chunk has none. */
static bool matches(struct fs *fs, struct balance_filters *filters, const struct chunk *chunk)
{
	_cleanup_group_ struct block_group *bg = block_group_find(fs, chunk->logical);

	return bg && balance_filter_match(balance_filter_for(filters, chunk->type), chunk,
					  group_used(bg));
}

/* What the first look takes is filled last, so that nothing is moved twice. */
static void set_leaving(struct fs *fs, const struct chunk *chunk, bool leaving)
{
	_cleanup_group_ struct block_group *bg = block_group_find(fs, chunk->logical);

	if (bg)
		block_group_set_leaving(bg, leaving);
}

static void none_leaving(struct fs *fs, const struct chunk_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		set_leaving(fs, list->v[i], false);
}

/* Fewer than the minimum stay; they count against the limit all the same. */
static void leave_few(struct balance_filter *f, const struct balance_filter *left, u64 seen)
{
	if (seen >= left->limit_min)
		return;
	f->wanted = false;
	f->limit_max = left->limit_max;
}

/* A first look: how many will be taken, and which types have fewer than their minimum. */
static u64 count_expected(struct fs *fs, struct balance_filters *filters,
			  const struct chunk_list *list)
{
	struct balance_filters left = *filters;
	struct balance_filter *of[3] = { &left.data, &left.metadata, &left.system };
	u64 expected = 0, seen[3] = { 0 };

	for (size_t i = list->count; i-- > 0;) {
		struct balance_filter *f = balance_filter_for(&left, list->v[i]->type);

		if (!matches(fs, filters, list->v[i]) || f->limit_max == 0)
			continue;
		f->limit_max--;
		for (unsigned t = 0; t < 3; t++)
			seen[t] += f == of[t];
		set_leaving(fs, list->v[i], true);
		expected++;
	}
	leave_few(&filters->data, &left.data, seen[0]);
	leave_few(&filters->metadata, &left.metadata, seen[1]);
	leave_few(&filters->system, &left.system, seen[2]);
	return expected;
}

static int move_chunk(struct walk *w, const struct chunk *chunk)
{
	_cleanup_group_ struct block_group *bg = block_group_find(w->fs, chunk->logical);
	int r = bg ? group_relocate(w->fs, bg, w->stop, &w->pace) : 0;

	if (bg && r == 0)
		atomic_fetch_add(&w->counts->completed, 1);
	return r;
}

static int consider(struct walk *w, const struct chunk *chunk)
{
	struct balance_filter *f = balance_filter_for(w->filters, chunk->type);

	atomic_fetch_add(&w->counts->considered, 1);
	if (!matches(w->fs, w->filters, chunk) || f->limit_max == 0)
		return 0;
	f->limit_max--;
	return move_chunk(w, chunk);
}

/* What stays where it is. */
struct leftover {
	struct chunk_list full; /* no space elsewhere: may be tried again */
	unsigned unreadable;
};

static void leftover_free(struct leftover *left)
{
	chunk_list_free(&left->full);
}

/* Notes why a chunk was not moved; a failure that the walk cannot go on after is returned. */
static int set_aside(struct fs *fs, struct leftover *left, struct chunk *chunk, int r)
{
	if (r == -ENOSPC)
		return chunk_list_add(&left->full, chunk_get(chunk));
	if (r != -EIO || fs_error(fs) < 0)
		return r;
	left->unreadable++;
	return 0;
}

static int first_round(struct walk *w, const struct chunk_list *list, struct leftover *left)
{
	for (size_t i = list->count; i-- > 0;) {
		int r = stop_asked(w->stop) ? -ECANCELED : consider(w, list->v[i]);

		if (r < 0)
			r = set_aside(w->fs, left, list->v[i], r);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What others left behind when they moved may do now. */
static int second_round(struct walk *w, struct leftover *left)
{
	_cleanup_(leftover_free) struct leftover still = {};

	for (size_t i = 0; i < left->full.count; i++) {
		struct chunk *chunk = left->full.v[i];
		int r = stop_asked(w->stop) ? -ECANCELED : move_chunk(w, chunk);

		if (r < 0)
			r = set_aside(w->fs, &still, chunk, r);
		if (r < 0)
			return r;
	}
	if (still.full.count)
		log_info("balance: no space to move %zu block groups", still.full.count);
	if (left->unreadable + still.unreadable)
		return -EIO;
	return still.full.count ? -ENOSPC : 0;
}

static const u64 types[] = { BTRFS_BLOCK_GROUP_DATA, BTRFS_BLOCK_GROUP_METADATA,
			     BTRFS_BLOCK_GROUP_SYSTEM };

static void begin_conversions(struct fs *fs, struct balance_filters *filters)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		u64 profile;

		if (balance_filter_converts(balance_filter_for(filters, types[i]), &profile))
			space_convert(fs, types[i], profile);
	}
}

static void end_conversions(struct fs *fs, struct balance_filters *filters)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		u64 profile;

		if (balance_filter_converts(balance_filter_for(filters, types[i]), &profile))
			space_convert_end(fs, types[i]);
	}
}

int balance_run(struct fs *fs, struct balance_filters *filters, const struct stop_flag *stop,
		struct balance_counts *counts)
{
	_cleanup_(leftover_free) struct leftover left = {};
	_cleanup_(chunk_list_free) struct chunk_list list = {};
	struct walk w = { fs, filters, stop, counts, {} };
	int r = chunk_list_fill(fs, &list);

	if (r < 0)
		return r;
	pace_init(&w.pace);
	atomic_store(&counts->expected, count_expected(fs, filters, &list));
	begin_conversions(fs, filters);
	r = first_round(&w, &list, &left);
	if (r == 0)
		r = second_round(&w, &left);
	end_conversions(fs, filters);
	none_leaving(fs, &list);
	return r;
}
