/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settle.c - everything that hangs on something else goes into the trees: inode items, delayed references,
 * new chunks, root items, group items and the free-space tree, in rounds, until nothing changes.
 *
 * Most of it can be done before the commit keeps joins out for good: in slices of a few milliseconds, with
 * joins in between. What a slice writes belongs to the running transaction like any other change, and what
 * changes again is written again.
 */
#include <errno.h>

#include "core/device_stats.h"
#include "core/extent/delayed_ref.h"
#include "core/fs.h"
#include "core/log/log_write.h"
#include "core/inode/inode.h"
#include "core/quota/qgroup.h"
#include "core/space/space.h"
#include "core/subvol/root_item.h"
#include "core/trans/trans_mgr.h"
#include "core/tree/item.h"
#include "core/tree/root.h"
#include "disk/base/sync_point.h"

#define SETTLE_ROUNDS_MAX 1000
#define SLICE_NS 4000000ull
#define SLICES_MAX 500
#define SLICE_INODES 128
#define REFS_LEFT 256   /* so few are not worth a slice */
#define INODES_LEFT 128

static bool is_super_root(const struct fs *fs, const struct root *root)
{
	return root == fs->tree_root || root == fs->chunk_root;
}

/* Root items of all roots that changed; the root tree's own place is in the superblock. Nobody
 * else is about: the list changes only through what this very thread does. */
static int write_root_items(struct trans *trans, size_t *seen)
{
	struct transaction *tx = trans->tx;
	int r = 0;

	while (r == 0 && *seen < tx->root_count) {
		struct root *root = tx->roots[(*seen)++];

		if (!is_super_root(trans->fs, root))
			r = root_item_write(trans, root);
	}
	return r;
}

/* A root whose node moved again after its item was written is written again. */
static int rewrite_moved_roots(struct trans *trans, bool *moved)
{
	struct transaction *tx = trans->tx;

	for (size_t i = 0; i < tx->root_count; i++) {
		struct root *root = tx->roots[i];
		int r;

		if (is_super_root(trans->fs, root) || root_item_current(root))
			continue;
		*moved = true;
		r = root_item_write(trans, root);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One round of settling: 1 if it changed something, so that another is due. */
static int settle_round(struct trans *trans, size_t *roots_seen)
{
	size_t before = *roots_seen;
	bool moved = false;
	int groups, r;

	r = delayed_refs_run(trans);
	if (r == 0)
		r = space_commit_pending_chunks(trans);
	if (r == 0)
		r = write_root_items(trans, roots_seen);
	if (r == 0)
		r = rewrite_moved_roots(trans, &moved);
	if (r < 0)
		return r;
	groups = space_write_dirty_groups(trans);
	if (groups < 0)
		return groups;
	if (!GUARD(settle_again))
		return 0;
	return groups || moved || *roots_seen != before || delayed_refs_count(trans->fs);
}

/* The superblock's generation is that of the root tree's top node: whoever mounts compares them. So
 * a commit in which no root item changed renews that node all the same. */
static int renew_root_tree(struct trans *trans)
{
	struct root *root = trans->fs->tree_root;
	struct key first = KEY_MIN;
	int r;

	if (root->node->generation == trans->transid)
		return 0;
	r = tree_cow_node(trans, root, &first, root->node->level, 0);
	return r > 0 ? -EUCLEAN : r;
}

int settle(struct trans *trans)
{
	size_t roots_seen = 0;
	int r;

	SP("tx.delrefs", .transid = trans->transid);
	r = log_settle(trans);
	if (r == 0)
		r = inodes_write_dirty(trans, UINT64_MAX);
	if (r == 0)
		r = device_stats_write(trans);
	if (r == 0)
		r = renew_root_tree(trans);
	if (r == 0)
		r = quota_settle(trans);
	for (int round = 0; r == 0; round++) {
		r = settle_round(trans, &roots_seen);
		if (r == 0)
			return 0;
		if (r > 0)
			r = round < SETTLE_ROUNDS_MAX ? 0 : -EUCLEAN;
	}
	return r;
}

static bool worth_a_slice(struct fs *fs)
{
	return delayed_refs_count(fs) > REFS_LEFT || inode_table_dirty_count(fs) > INODES_LEFT;
}

static int settle_slice(struct trans *trans)
{
	u64 deadline = trans_now_ns() + SLICE_NS;
	int r = inodes_write_dirty(trans, SLICE_INODES);

	if (r == 0)
		r = delayed_refs_run_some(trans, deadline);
	return MIN(r, 0);
}

int settle_ahead(struct fs *fs)
{
	int r = 0;

	for (int i = 0; r == 0 && i < SLICES_MAX && worth_a_slice(fs); i++) {
		struct trans trans = {};

		r = joins_block(fs, &trans);
		if (r < 0)
			return r;
		r = settle_slice(&trans);
		if (r < 0)
			trans_abort(&trans, r, "settling ahead");
		joins_unblock(fs);
	}
	return r;
}
