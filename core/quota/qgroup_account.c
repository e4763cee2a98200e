/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_account.c - full accounting: from touched extents to sums.
 *
 * For each touched extent: who held it at the last commit and who holds it now. Extents with the
 * same answer are added up first, so the groups are looked at once for each pair of answers. A group
 * refers to an extent if any of its members does, and holds it exclusively if all who do are its
 * members. Subvolumes without a group count as strangers.
 *
 * While a rescan runs, extents behind its place are not accounted: it will find them as they are.
 */
#include <errno.h>

#include "core/extent/delayed_ref.h"
#include "core/extent/extent_info.h"
#include "core/fs.h"
#include "core/quota/qgroup_account.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"
#include "disk/base/log.h"

#define RESCAN_EXTENTS 4096 /* a commit, while joins wait */

static int shift_cmp(const struct shift *a, const struct shift *b)
{
	if (a->before != b->before)
		return (uintptr_t)a->before < (uintptr_t)b->before ? -1 : 1;
	return ((uintptr_t)a->after > (uintptr_t)b->after) -
	       ((uintptr_t)a->after < (uintptr_t)b->after);
}

RB_TREE(shift_tree, shift, link, shift_cmp)

static void account_end(struct account *a)
{
	struct shift *shift;

	while ((shift = RB_MIN(shift_tree, &a->shifts))) {
		RB_REMOVE(shift_tree, &a->shifts, shift);
		free(shift);
	}
	free(a->scanned);
	touched_free(&a->touched);
	tree_state_close(&a->before);
	tree_state_close(&a->after);
	root_sets_free(&a->sets);
}

static int account_begin(struct account *a, struct quota *q)
{
	struct root_list none = {};
	int r;

	*a = (struct account){.q = q};
	RB_INIT(&a->shifts);
	r = root_sets_get(&a->sets, &none, &a->nobody);
	if (r == 0)
		r = tree_state_open(&a->before, q->fs, &a->sets, &q->committed);
	return r < 0 ? r : tree_state_open(&a->after, q->fs, &a->sets, NULL);
}

static int shift_add(struct account *a, const struct root_set *before, const struct root_set *after,
		     u64 bytes)
{
	struct shift want = {.before = before, .after = after}, *shift;

	if (before == after)
		return 0;
	shift = RB_FIND(shift_tree, &a->shifts, &want);
	if (!shift) {
		shift = malloc(sizeof(*shift));
		if (!shift)
			return -ENOMEM;
		*shift = want;
		RB_INSERT(shift_tree, &a->shifts, shift);
	}
	shift->bytes += bytes;
	return 0;
}

bool account_left_to_scan(const struct quota *q, u64 logical)
{
	return quota_rescanning(q) && logical >= q->rescan;
}

/* What this transaction moved before it was touched is looked up where it was. */
static u64 origin_of(const struct quota *q, const struct touched *t)
{
	const struct touched *moved = touched_find(&q->moved, t->logical);

	return moved && t->before == t->logical ? moved->before : t->before;
}

int account_extent(struct account *a, const struct touched *t, const struct root_set **before,
		   const struct root_set **after)
{
	int r = 0;

	*before = a->nobody;
	if (!t->fresh)
		r = extent_roots(&a->before, origin_of(a->q, t), before);
	if (r == 0)
		r = extent_roots(&a->after, t->logical, after);
	if (r < 0 || account_left_to_scan(a->q, t->logical))
		return r;
	return shift_add(a, *before, *after, t->len);
}

static int account_touched(struct account *a)
{
	_cleanup_free_ struct touched *list = NULL;
	int r = delayed_refs_take_touched(a->q->fs, &a->touched);
	s64 nr = r < 0 ? r : touched_list(&a->touched, &list);

	for (s64 i = 0; r == 0 && i < nr; i++) {
		const struct root_set *before, *after;

		r = account_extent(a, &list[i], &before, &after);
		if (r == 0)
			r = account_below(a, &list[i], before, after);
	}
	return nr < 0 ? (int)nr : r;
}

/* ---- sums ---- */

/* Saturates: sums that were wrong before must not become absurd. */
static int move_sum(u64 *sum, bool held, bool holds, u64 bytes)
{
	if (held == holds)
		return 0;
	if (holds) {
		*sum += bytes;
		return 0;
	}
	if (*sum >= bytes) {
		*sum -= bytes;
		return 0;
	}
	*sum = 0;
	return -EUCLEAN;
}

static int move_group(const struct quota *q, struct qgroup *g, const struct shift *s)
{
	int r = move_sum(&g->rfer, g->before, g->after, s->bytes);
	int x = move_sum(&g->excl, g->before && g->before == s->before->nr,
			 g->after && g->after == s->after->nr, s->bytes);

	g->dirty = true;
	if ((r == 0 && x == 0) || q->flags & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT)
		return 0;
	log_fault("quotas: group %llu/%llu would fall below zero by %llu bytes",
		  (unsigned long long)(g->id >> 48),
		  (unsigned long long)(g->id & ((1ULL << 48) - 1)), (unsigned long long)s->bytes);
	return -EUCLEAN;
}

static int apply_shift(struct quota *q, const struct shift *s)
{
	struct qgroup_list met = SLIST_HEAD_INITIALIZER(met);
	struct qgroup *group;
	int r = 0;

	for (u32 i = 0; i < s->before->nr; i++)
		qgroup_meet(q, s->before->v[i], &met, false);
	for (u32 i = 0; i < s->after->nr; i++)
		qgroup_meet(q, s->after->v[i], &met, true);
	SLIST_FOREACH(group, &met, met) {
		int fault = move_group(q, group, s);

		r = r ? r : fault;
	}
	qgroup_part(&met);
	return r;
}

static int apply_shifts(struct account *a)
{
	struct shift *shift;
	int r = 0;

	MUTEX_SCOPE(&a->q->lock);
	RB_FOREACH(shift, shift_tree, &a->shifts) {
		int fault = apply_shift(a->q, shift);

		r = r ? r : fault;
	}
	return r;
}

/* ---- rescan ---- */

static int collect(void *ctx, const struct extent_info *info)
{
	struct account *a = ctx;

	if (a->scanned_count == RESCAN_EXTENTS)
		return 1;
	a->scanned[a->scanned_count++] = *info;
	return 0;
}

static void rescan_done(struct quota *q)
{
	MUTEX_SCOPE(&q->lock);
	q->flags &= ~(u64)(BTRFS_QGROUP_STATUS_FLAG_RESCAN | BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT);
	cond_broadcast(&q->scanned);
	log_info("quotas: the rescan is complete");
}

/* The next extents, as they are now, join the sums. */
static int rescan_part(struct account *a, bool *last)
{
	struct quota *q = a->q;
	int r;

	a->scanned = calloc(RESCAN_EXTENTS, sizeof(*a->scanned));
	if (!a->scanned)
		return -ENOMEM;
	r = extent_scan(q->fs, q->rescan, UINT64_MAX, collect, a);
	*last = r == 0;
	for (size_t i = 0; r >= 0 && i < a->scanned_count; i++) {
		const struct extent_info *info = &a->scanned[i];
		const struct root_set *after;

		r = extent_roots(&a->after, info->logical, &after);
		if (r == 0)
			r = shift_add(a, a->nobody, after, info->length);
	}
	if (r < 0)
		return r;
	if (a->scanned_count)
		q->rescan = a->scanned[a->scanned_count - 1].logical + 1;
	return 0;
}

static int account(struct account *a, bool *last)
{
	int r = account_touched(a);

	if (r == 0 && quota_rescanning(a->q) && !atomic_load(&a->q->held))
		r = rescan_part(a, last);
	return r;
}

int qgroup_account(struct quota *q)
{
	_cleanup_(account_end) struct account a;
	bool last = false;
	int r = account_begin(&a, q);

	if (r == 0)
		r = account(&a, &last);
	if (r == 0)
		r = apply_shifts(&a);
	if (r == 0 && last)
		rescan_done(q);
	return r;
}
