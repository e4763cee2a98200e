/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_change.c - see qgroup_change.h.
 *
 * Changes of membership: if all that a group refers to is its own, a parent that comes to be above it
 * gains exactly that, and one that ceases to be loses it. Otherwise only a rescan can tell.
 */
#include "core/quota/qgroup_change.h"

#include <errno.h>

#include "core/extent/delayed_ref.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/quota/qgroup_table.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"

#define CHANGE_ITEMS 8u

/* What is asked for, and what is done about it. */
struct change {
	struct quota *q;
	u64 id, parent;
	const struct btrfs_qgroup_limit *limit;
	int answer; /* if all goes well */
};

struct change_kind {
	int (*refuse)(struct change *c); /* changes nothing */
	int (*apply)(struct change *c, struct trans *trans);
	const char *what;
};

static int change_run(struct fs *fs, const struct change_kind *kind, struct change *c)
{
	struct trans trans;
	int end, r = trans_exclusive_begin(fs, CHANGE_ITEMS, &trans);

	if (r < 0)
		return r;
	c->q = fs->quota;
	r = quota_is_on(c->q) ? kind->refuse(c) : -ENOTCONN;
	if (r == 0) {
		r = kind->apply(c, &trans);
		if (r < 0)
			trans_abort(&trans, r, kind->what);
	}
	end = trans_exclusive_end(&trans, r == 0);
	return r < 0 ? r : end < 0 ? end : c->answer;
}

/* ---- groups ---- */

static int refuse_create(struct change *c)
{
	if (!c->id || qgroup_counts_tree(c->id))
		return -EINVAL;
	return qgroup_find(c->q, c->id) ? -EEXIST : 0;
}

static int apply_create(struct change *c, struct trans *trans)
{
	struct qgroup *group;
	int r = qgroup_items_add(trans, c->q, c->id);

	MUTEX_SCOPE(&c->q->lock);
	return r < 0 ? r : qgroup_get(c->q, c->id, &group);
}

int qgroup_create(struct fs *fs, u64 id)
{
	static const struct change_kind kind = {refuse_create, apply_create, "creating a qgroup"};
	struct change c = {.id = id};

	return change_run(fs, &kind, &c);
}

static bool is_parent_of(const struct qgroup *parent, const struct qgroup *child)
{
	for (u32 i = 0; i < child->parent_count; i++)
		if (child->parents[i] == parent)
			return true;
	return false;
}

/* ---- members ---- */

static bool climb_to(struct quota *q, struct qgroup *lower, const struct qgroup *upper)
{
	if (lower == upper)
		return true;
	if (lower->visit == q->visits)
		return false;
	lower->visit = q->visits;
	for (u32 i = 0; i < lower->parent_count; i++)
		if (climb_to(q, lower->parents[i], upper))
			return true;
	return false;
}

static bool is_above(struct quota *q, const struct qgroup *upper, struct qgroup *lower)
{
	q->visits++;
	return climb_to(q, lower, upper);
}

/* Groups from @parent upwards that were not, or are not any more, above @child: theirs is what it has
 * alone. Lock held; @child and @parent are not related now. */
static void shift_sums(struct quota *q, struct qgroup *child, struct qgroup *parent, int sign)
{
	for (struct qgroup *g = qgroup_first(q); g; g = qgroup_next(g)) {
		if (!is_above(q, g, parent) || is_above(q, g, child))
			continue;
		g->rfer += sign > 0 ? child->rfer : -MIN(child->rfer, g->rfer);
		g->excl += sign > 0 ? child->excl : -MIN(child->excl, g->excl);
		g->dirty = true;
	}
}

static void change_sums(struct change *c, struct qgroup *child, struct qgroup *parent, int sign)
{
	if (child->rfer == child->excl) {
		shift_sums(c->q, child, parent, sign);
		return;
	}
	if (quota_rescanning(c->q)) { /* what it has passed counts anew */
		quota_begin_rescan(c->q);
		return;
	}
	c->q->flags |= BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT;
	c->answer = 1;
}

static void part_members(struct change *c, struct qgroup *child, struct qgroup *parent)
{
	qgroup_unlink(child, parent);
	change_sums(c, child, parent, -1);
}

static int find_pair(struct change *c, struct qgroup **child, struct qgroup **parent)
{
	*child = qgroup_find(c->q, c->id);
	*parent = qgroup_find(c->q, c->parent);
	if (!*child || !*parent || btrfs_qgroup_level(c->id) >= btrfs_qgroup_level(c->parent))
		return -EINVAL;
	return 0;
}

static int refuse_assign(struct change *c)
{
	struct qgroup *child, *parent;
	int r = find_pair(c, &child, &parent);

	return r == 0 && is_parent_of(parent, child) ? -EEXIST : r;
}

static int apply_assign(struct change *c, struct trans *trans)
{
	struct qgroup *child = qgroup_find(c->q, c->id), *parent = qgroup_find(c->q, c->parent);
	int r = qgroup_items_relate(trans, c->q, c->id, c->parent);

	MUTEX_SCOPE(&c->q->lock);
	if (r == 0) {
		change_sums(c, child, parent, 1);
		r = qgroup_link(child, parent);
		quota_spread_promises(c->q);
	}
	return r;
}

int qgroup_assign(struct fs *fs, u64 child, u64 parent)
{
	static const struct change_kind kind = {refuse_assign, apply_assign,
						"assigning a qgroup"};
	struct change c = {.id = child, .parent = parent};

	return change_run(fs, &kind, &c);
}

static int refuse_unassign(struct change *c)
{
	struct qgroup *child, *parent;
	int r = find_pair(c, &child, &parent);

	return r == 0 && !is_parent_of(parent, child) ? -ENOENT : r;
}

static int apply_unassign(struct change *c, struct trans *trans)
{
	struct qgroup *child = qgroup_find(c->q, c->id), *parent = qgroup_find(c->q, c->parent);
	int r = qgroup_items_unrelate(trans, c->q, c->id, c->parent);

	MUTEX_SCOPE(&c->q->lock);
	if (r == 0) {
		part_members(c, child, parent);
		quota_spread_promises(c->q);
	}
	return r;
}

int qgroup_unassign(struct fs *fs, u64 child, u64 parent)
{
	static const struct change_kind kind = {refuse_unassign, apply_unassign,
						"removing a qgroup from another"};
	struct change c = {.id = child, .parent = parent};

	return change_run(fs, &kind, &c);
}

/* ---- an end ---- */

static int refuse_destroy(struct change *c)
{
	struct qgroup *group = qgroup_find(c->q, c->id);

	if (!group)
		return -ENOENT;
	for (struct qgroup *g = qgroup_first(c->q); g; g = qgroup_next(g))
		if (is_parent_of(group, g))
			return -EBUSY;
	if (quota_is_simple(c->q) && group->rfer) /* snapshots hold what it owns */
		return -EBUSY;
	return qgroup_counts_tree(c->id) ? qgroup_refuse_living(c->q->fs, c->id) : 0;
}

static int apply_destroy(struct change *c, struct trans *trans)
{
	struct qgroup *group = qgroup_find(c->q, c->id);
	int r = 0;

	for (u32 i = 0; r == 0 && i < group->parent_count; i++)
		r = qgroup_items_unrelate(trans, c->q, c->id, group->parents[i]->id);
	if (r == 0)
		r = qgroup_items_remove(trans, c->q, c->id);
	if (r < 0)
		return r;
	MUTEX_SCOPE(&c->q->lock);
	while (group->parent_count)
		part_members(c, group, group->parents[0]);
	qgroup_forget(c->q, group);
	quota_spread_promises(c->q);
	c->answer = 0;
	return 0;
}

int qgroup_destroy(struct fs *fs, u64 id)
{
	static const struct change_kind kind = {refuse_destroy, apply_destroy,
						"destroying a qgroup"};
	struct change c = {.id = id};

	return change_run(fs, &kind, &c);
}

/* ---- limits ---- */

static int refuse_limit(struct change *c)
{
	return qgroup_find(c->q, c->id) ? 0 : -ENOENT;
}

static void set_one(struct qgroup *group, u64 asked, u64 flag, u64 *max, u64 value)
{
	if (!(asked & flag))
		return;
	*max = value == UINT64_MAX ? 0 : value;
	group->limit_flags &= ~flag;
	if (value != UINT64_MAX)
		group->limit_flags |= flag;
}

static int apply_limit(struct change *c, struct trans *trans)
{
	struct qgroup *group = qgroup_find(c->q, c->id);
	u64 asked = c->limit->flags;

	mutex_lock(&c->q->lock);
	set_one(group, asked, BTRFS_QGROUP_LIMIT_MAX_RFER, &group->max_rfer, c->limit->max_rfer);
	set_one(group, asked, BTRFS_QGROUP_LIMIT_MAX_EXCL, &group->max_excl, c->limit->max_excl);
	mutex_unlock(&c->q->lock);
	return qgroup_items_limit(trans, c->q, group);
}

int qgroup_set_limit(struct fs *fs, u64 id, const struct btrfs_qgroup_limit *limit)
{
	static const struct change_kind kind = {refuse_limit, apply_limit, "limiting a qgroup"};
	struct change c = {.id = id, .limit = limit};

	return change_run(fs, &kind, &c);
}

/* ---- rescan ---- */

static int refuse_rescan(struct change *c)
{
	if (quota_is_simple(c->q))
		return -EINVAL;
	return quota_rescanning(c->q) ? -EINPROGRESS : 0;
}

static int apply_rescan(struct change *c, struct trans *trans)
{
	MUTEX_SCOPE(&c->q->lock);
	quota_begin_rescan(c->q);
	delayed_refs_trace(trans->fs, true);
	return 0;
}

int quota_rescan(struct fs *fs)
{
	static const struct change_kind kind = {refuse_rescan, apply_rescan,
						"beginning a rescan"};
	struct change c = {};

	return change_run(fs, &kind, &c);
}

bool quota_rescan_status(struct fs *fs, u64 *progress)
{
	struct quota *q = fs->quota;

	*progress = 0;
	if (!q)
		return false;
	MUTEX_SCOPE(&q->lock);
	if (quota_rescanning(q))
		*progress = q->rescan;
	return quota_rescanning(q);
}

int quota_rescan_wait(struct fs *fs, u64 ms)
{
	struct quota *q = fs->quota;

	if (!q)
		return 0;
	MUTEX_SCOPE(&q->lock);
	if (quota_rescanning(q))
		(void)cond_timedwait_ms(&q->scanned, &q->lock, ms);
	if (!quota_rescanning(q))
		return 0;
	return fs_error(fs) ? fs_error(fs) : -ETIMEDOUT;
}
