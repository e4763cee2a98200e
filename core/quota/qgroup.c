/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup.c - see qgroup.h. */
#include "core/quota/qgroup.h"

#include <errno.h>

#include "core/extent/delayed_ref.h"
#include "core/fs.h"
#include "core/quota/qgroup_table.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"
#include "disk/base/log.h"

#define TOUCHED_MAX 32768u

void quota_destroy(struct quota *q)
{
	if (!q)
		return;
	qgroup_table_free(q);
	touched_free(&q->moved);
	for (u32 i = 0; i < q->removed_count; i++)
		root_put(q->removed_trees[i]);
	free(q->removed_trees);
	cond_destroy(&q->scanned);
	mutex_destroy(&q->lock);
	free(q);
}

static struct tree_top top_of(const struct root *root)
{
	return (struct tree_top){root->node->logical, root->node->generation, root->node->level};
}

void quota_trees_settled(struct fs *fs)
{
	if (!fs->quota)
		return;
	fs->quota->committed.extent_tree = top_of(fs->extent_root);
	fs->quota->committed.root_tree = top_of(fs->tree_root);
}

static int load(struct quota *q, struct reason *why)
{
	int r = q->fs->quota_root ? qgroup_items_load(q, why) : 0;

	if (r < 0)
		return r;
	if (quota_is_simple(q) && !fs_has_incompat(q->fs, BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA)) {
		reason_set(why, "quota tree: simple mode without the feature simple quotas");
		return -EUCLEAN;
	}
	atomic_store(&q->on, q->flags & BTRFS_QGROUP_STATUS_FLAG_ON);
	return 0;
}

static void begin(struct quota *q)
{
	quota_trees_settled(q->fs);
	if (!quota_is_on(q))
		return;
	if (!quota_is_simple(q))
		delayed_refs_trace(q->fs, true);
	if (quota_rescanning(q))
		trans_note_dirty(q->fs);
}

int quota_load(struct fs *fs, struct reason *why)
{
	struct quota *q;
	int r;

	if (fs->readonly)
		return 0;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->fs = fs;
	mutex_init(&q->lock, RANK_QUOTA);
	cond_init(&q->scanned);
	RB_INIT(&q->groups);
	fs->quota = q;
	r = load(q, why);
	if (r == 0)
		begin(q);
	return r;
}

bool quota_commit_due(struct fs *fs)
{
	return quota_is_on(fs->quota) && delayed_refs_touched(fs) > TOUCHED_MAX;
}

bool quota_rescan_runs(struct fs *fs)
{
	if (!quota_is_on(fs->quota) || fs_error(fs) || atomic_load(&fs->quota->held))
		return false;
	MUTEX_SCOPE(&fs->quota->lock);
	return quota_rescanning(fs->quota);
}

void quota_rescan_hold(struct fs *fs, bool hold)
{
	if (!fs->quota)
		return;
	atomic_store(&fs->quota->held, hold);
	if (!hold && quota_rescan_runs(fs))
		trans_note_dirty(fs);
}

static bool accounts_fully(const struct quota *q)
{
	return quota_is_on(q) && !quota_is_simple(q) && !q->gave_up;
}

int quota_moved(struct trans *trans, u64 from, u64 to, u64 len)
{
	struct fs *fs = trans->fs;
	struct quota *q = fs->quota;

	if (!accounts_fully(q))
		return 0;
	/* a rescan has seen the old place, perhaps, and comes to the new one, perhaps */
	if (quota_rescanning(q))
		return delayed_refs_touch_moved(fs, from, to, len);
	if (delayed_refs_move_touched(fs, from, to))
		return 0;
	return touched_put(&q->moved, &(struct touched){.logical = to, .before = from, .len = len});
}

/* As the kernel does it: whoever cannot account says so, and a rescan makes it right. Nobody takes notes
 * until then. */
static void give_up(struct quota *q, int err)
{
	log_fault("quotas: accounting failed: %s: a rescan is needed", strerror(-err));
	delayed_refs_trace(q->fs, false);
	MUTEX_SCOPE(&q->lock);
	q->gave_up = true;
	q->flags |= BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT;
	q->flags &= ~(u64)BTRFS_QGROUP_STATUS_FLAG_RESCAN;
	cond_broadcast(&q->scanned);
}

/* What was made in this transaction is in the sums now. */
static void forget_made(struct quota *q)
{
	MUTEX_SCOPE(&q->lock);
	for (struct qgroup *group = qgroup_first(q); group; group = qgroup_next(group))
		group->made = 0;
}

int quota_settle(struct trans *trans)
{
	struct quota *q = trans->fs->quota;
	int r;

	if (!quota_is_on(q))
		return 0;
	r = delayed_refs_run(trans);
	if (r < 0)
		return r;
	if (accounts_fully(q)) {
		r = qgroup_account(q);
		if (r < 0)
			give_up(q, r);
	}
	touched_free(&q->moved);
	forget_made(q);
	if (quota_rescan_runs(trans->fs))
		trans_note_dirty(trans->fs);
	return qgroup_items_write(trans, q);
}

int quota_check_nodes(struct fs *fs, u64 root, unsigned nodes)
{
	u64 bytes = (u64)nodes * fs->nodesize;

	if (quota_allows(fs, root, bytes))
		return 0;
	/* promises that are more than is needed, and what was overwritten, go with a commit */
	return fs_sync(fs) == 0 && quota_allows(fs, root, bytes) ? 0 : -EDQUOT;
}
