/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_simple.c - simple quotas: an extent is its owner's from the moment its item is made to the
 * moment it goes. Called while queued references are applied; the sums reach the quota tree with
 * the commit that settles them.
 */
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/quota/qgroup_table.h"

u64 quota_data_owner(struct fs *fs, u64 root)
{
	return quota_is_on(fs->quota) && quota_is_simple(fs->quota) ? root : 0;
}

void quota_simple_change(struct fs *fs, u64 owner, u64 bytes, u64 generation, int sign)
{
	struct qgroup_list met = SLIST_HEAD_INITIALIZER(met);
	struct quota *q = fs->quota;
	struct qgroup *group;

	if (!quota_is_on(q) || !quota_is_simple(q) || generation < q->enable_gen || !qgroup_counts_tree(owner))
		return;
	MUTEX_SCOPE(&q->lock);
	qgroup_meet(q, owner, &met, true);
	SLIST_FOREACH(group, &met, met) {
		u64 by = sign > 0 ? bytes : -MIN(bytes, group->rfer);

		group->rfer += by;
		group->excl = group->rfer;
		group->dirty = true;
	}
	qgroup_part(&met);
}
