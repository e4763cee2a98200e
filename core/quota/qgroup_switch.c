/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup_switch.c - quotas on and off: the quota tree comes and goes. See qgroup_change.h. */
#include <errno.h>

#include "core/extent/delayed_ref.h"
#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/quota/qgroup_change.h"
#include "core/quota/qgroup_table.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/volume/volume.h"

#define SWITCH_ITEMS 64u

int qgroup_refuse_living(struct fs *fs, u64 id)
{
	_cleanup_root_ struct root *root = NULL;
	int r = root_get(fs, id, &root);

	return r == -ENOENT ? 0 : r < 0 ? r : -EBUSY;
}

/* The number of the first subvolume >= *id, in *id; -ENOENT. */
static int next_subvolume(struct fs *fs, u64 *id)
{
	struct key key = KEY(*id, 0, 0);
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(fs->tree_root, &key, &path);

	for (r = MIN(r, 0); r == 0 && !path_at_end(&path); r = MIN(tree_next(&path), 0)) {
		const struct btrfs_root_item *item = path_data(&path);

		key = path_key(&path);
		if (key.type != BTRFS_ROOT_ITEM_KEY || !qgroup_counts_tree(key.objectid) ||
		    !get_le32(&item->refs))
			continue;
		*id = key.objectid;
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

static int add_subvolumes(struct trans *trans, struct quota *q)
{
	struct qgroup *group;
	u64 id = 0;
	int r;

	while ((r = next_subvolume(q->fs, &id)) == 0) {
		r = qgroup_items_add(trans, q, id);
		if (r < 0)
			return r;
		MUTEX_SCOPE(&q->lock);
		r = qgroup_get(q, id++, &group);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

static void set_tree(struct quota *q, struct root *root)
{
	MUTEX_SCOPE(&q->lock);
	q->fs->quota_root = root;
}

int quota_tree_get(struct fs *fs, struct root **ret)
{
	struct root *root;

	if (!fs->quota)
		return -ENOENT;
	MUTEX_SCOPE(&fs->quota->lock);
	root = fs->quota_root;
	if (!root)
		return -ENOENT;
	atomic_fetch_add(&root->refs, 1);
	*ret = root;
	return 0;
}

/* The quota tree, with a group for each subvolume. */
static int make_tree(struct trans *trans, struct quota *q)
{
	struct root *root = NULL;
	int r = root_create(trans, BTRFS_QUOTA_TREE_OBJECTID, &root);

	if (r < 0)
		return r;
	set_tree(q, root);
	r = qgroup_items_begin(trans, q);
	return r < 0 ? r : add_subvolumes(trans, q);
}

static int switch_on(struct trans *trans, struct quota *q)
{
	int r = make_tree(trans, q);

	if (r < 0)
		return r;
	MUTEX_SCOPE(&q->lock);
	q->flags = BTRFS_QGROUP_STATUS_FLAG_ON;
	q->gave_up = false;
	quota_begin_rescan(q);
	atomic_store(&q->on, true);
	delayed_refs_trace(q->fs, true);
	return 0;
}

/* Counted is what is made from the next transaction on: this one has made extents already. The
 * feature stays for good, as do the owners in extent items. */
static int switch_on_simple(struct trans *trans, struct quota *q)
{
	int r;

	volume_use_feature(q->fs->vol, BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA);
	atomic_fetch_or(&q->fs->incompat_used, BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA);
	mutex_lock(&q->lock);
	q->flags = BTRFS_QGROUP_STATUS_FLAG_ON | BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE;
	q->enable_gen = trans->transid + 1;
	q->gave_up = false;
	mutex_unlock(&q->lock);
	r = make_tree(trans, q);
	if (r == 0)
		atomic_store(&q->on, true);
	return r;
}

typedef int switch_fn(struct trans *trans, struct quota *q);

static int switch_run(struct fs *fs, bool on, switch_fn *apply, const char *what)
{
	struct trans trans;
	int end, r = trans_exclusive_begin(fs, SWITCH_ITEMS, &trans);
	bool todo;

	if (r < 0)
		return r;
	todo = !fs->quota_root == on;
	if (todo) {
		r = apply(&trans, fs->quota);
		if (r < 0)
			trans_abort(&trans, r, what);
	}
	end = trans_exclusive_end(&trans, r == 0 && todo);
	if (r < 0 || end < 0)
		return r < 0 ? r : end;
	return todo || on ? 0 : -ENOTCONN;
}

int quota_enable(struct fs *fs)
{
	return switch_run(fs, true, switch_on, "enabling quotas");
}

int quota_enable_simple(struct fs *fs)
{
	return switch_run(fs, true, switch_on_simple, "enabling simple quotas");
}

/* Who is looking at the tree keeps it in memory, however often it goes. */
static int keep_removed(struct quota *q, struct root *root)
{
	struct root **trees = reallocarray(q->removed_trees, q->removed_count + 1ul, sizeof(*trees));

	if (!trees)
		return -ENOMEM;
	q->removed_trees = trees;
	trees[q->removed_count++] = root;
	set_tree(q, NULL);
	return 0;
}

static int remove_tree(struct trans *trans, struct quota *q)
{
	struct root *root = q->fs->quota_root;
	struct key key = KEY(root->id, BTRFS_ROOT_ITEM_KEY, 0), first = KEY_MIN;
	int r = tree_delete_all(trans, root);

	if (r == 0)
		r = tree_cow_node(trans, root, &first, 0, 0);
	if (r == 0)
		r = tree_delete_key(trans, q->fs->tree_root, &key);
	if (r == 0)
		r = tree_block_free(trans, root, root->node);
	if (r < 0)
		return r;
	trans_forget_root(trans, root);
	return keep_removed(q, root);
}

static int switch_off(struct trans *trans, struct quota *q)
{
	int r = remove_tree(trans, q);

	if (r < 0)
		return r;
	delayed_refs_trace(q->fs, false);
	MUTEX_SCOPE(&q->lock);
	q->flags = 0;
	atomic_store(&q->on, false);
	qgroup_table_free(q);
	cond_broadcast(&q->scanned);
	return 0;
}

int quota_disable(struct fs *fs)
{
	return switch_run(fs, false, switch_off, "disabling quotas");
}
