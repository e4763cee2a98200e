/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_limit.c - limits: a writer is refused before anything changes.
 *
 * Against a limit count the sums of the last commit, what was made since, and what has been promised
 * to writers who have not made anything of it yet. A group's limit covers all its members.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/quota/qgroup_table.h"

static bool over(u64 max, u64 sum, const struct qgroup *group, u64 bytes)
{
	u64 soon = sum + group->promised + group->made;

	return bytes > max || soon > max - bytes;
}

static bool allows(const struct qgroup *group, u64 bytes)
{
	if (group->limit_flags & BTRFS_QGROUP_LIMIT_MAX_RFER &&
	    over(group->max_rfer, group->rfer, group, bytes))
		return false;
	return !(group->limit_flags & BTRFS_QGROUP_LIMIT_MAX_EXCL &&
		 over(group->max_excl, group->excl, group, bytes));
}

/* Lock held. */
static bool all_allow(const struct qgroup_list *met, u64 bytes)
{
	const struct qgroup *group;

	SLIST_FOREACH(group, met, met)
		if (!allows(group, bytes))
			return false;
	return true;
}

enum change { CHECK_ONLY, PROMISE, UNPROMISE, MADE };

static void change_group(struct qgroup *group, u64 bytes, enum change change)
{
	if (change == PROMISE)
		group->promised += bytes;
	if (change == UNPROMISE || change == MADE)
		group->promised -= MIN(group->promised, bytes);
	if (change == MADE)
		group->made += bytes;
}

static int change_all(struct fs *fs, u64 root, u64 bytes, enum change change)
{
	struct qgroup_list met = SLIST_HEAD_INITIALIZER(met);
	struct quota *q = fs->quota;
	struct qgroup *group;
	int r = 0;

	if (!quota_is_on(q) || !bytes)
		return 0;
	MUTEX_SCOPE(&q->lock);
	qgroup_meet(q, root, &met, true);
	if ((change == PROMISE || change == CHECK_ONLY) && !all_allow(&met, bytes))
		r = -EDQUOT;
	SLIST_FOREACH(group, &met, met)
		if (r == 0)
			change_group(group, bytes, change);
	qgroup_part(&met);
	return r;
}

int quota_promise(struct fs *fs, u64 root, u64 bytes)
{
	return change_all(fs, root, bytes, PROMISE);
}

void quota_unpromise(struct fs *fs, u64 root, u64 bytes)
{
	(void)!change_all(fs, root, bytes, UNPROMISE);
}

void quota_extent_made(struct fs *fs, u64 root, u64 bytes)
{
	(void)!change_all(fs, root, bytes, MADE);
}

bool quota_allows(struct fs *fs, u64 root, u64 bytes)
{
	return change_all(fs, root, bytes, CHECK_ONLY) == 0;
}

static void add_promises(struct quota *q, const struct qgroup *of)
{
	struct qgroup_list met = SLIST_HEAD_INITIALIZER(met);
	struct qgroup *group;

	qgroup_meet(q, of->id, &met, true);
	SLIST_FOREACH(group, &met, met) {
		if (group == of)
			continue;
		group->promised += of->promised;
		group->made += of->made;
	}
	qgroup_part(&met);
}

void quota_spread_promises(struct quota *q)
{
	struct qgroup *group;

	for (group = qgroup_first(q); group; group = qgroup_next(group))
		if (btrfs_qgroup_level(group->id))
			group->promised = group->made = 0;
	for (group = qgroup_first(q); group; group = qgroup_next(group))
		if (!btrfs_qgroup_level(group->id) && (group->promised || group->made))
			add_promises(q, group);
}
