/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commit.c - how a transaction becomes durable.
 *
 * Steps, in this order and each finished before the next: settle (write everything that hangs on
 * something else into the trees, until nothing changes), freeze (no node changes from here on),
 * write the nodes, flush, write the primary superblock, flush, write the other copies. The first
 * flush also covers file data that was written before its pointer was inserted.
 *
 * A failure before the primary superblock is durable leaves the previous transaction in force: the
 * file system is aborted and nothing of this one is ever referenced.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "core/device_stats.h"
#include "core/extent/delayed_ref.h"
#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/quota/qgroup.h"
#include "core/space/block_group.h"
#include "core/space/space.h"
#include "core/subvol/root_item.h"
#include "core/super.h"
#include "core/trans/epoch.h"
#include "core/trans/trans_mgr.h"
#include "core/tree/item.h"
#include "core/tree/node_cache.h"
#include "core/tree/root.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/volume/volume.h"

#define SETTLE_ROUNDS_MAX 1000
#define WRITE_BATCH 64

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

static int settle(struct trans *trans)
{
	size_t roots_seen = 0;
	int r;

	SP("tx.delrefs", .transid = trans->transid);
	r = inodes_write_dirty(trans);
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

static int by_logical(const void *a, const void *b)
{
	const struct extent_buffer *const *x = a, *const *y = b;

	return ((*x)->logical > (*y)->logical) - ((*x)->logical < (*y)->logical);
}

/* Sorts the nodes by address, drops those that were freed again, and forbids changes in place.
 * The checker that looks at what is read looks at what is about to be written, too. */
static int freeze(struct fs *fs, struct transaction *tx)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < tx->node_count; i++) {
		struct extent_buffer *eb = tx->nodes[i];

		if (eb_test(eb, EB_DIRTY))
			tx->nodes[kept++] = eb;
		else
			eb_put(eb);
	}
	tx->node_count = kept;
	qsort(tx->nodes, kept, sizeof(*tx->nodes), by_logical);
	for (size_t i = 0; r == 0 && i < kept; i++) {
		eb_set(tx->nodes[i], EB_WRITTEN);
		r = volume_seal_node(fs->vol, tx->nodes[i]->data);
	}
	return r;
}

/* Writes tx->nodes[first...] as far as they are contiguous; returns how many, or an error. */
static int write_run(struct fs *fs, struct transaction *tx, size_t first)
{
	struct iovec iov[WRITE_BATCH];
	u64 start = tx->nodes[first]->logical;
	int n = 0, r;

	while (n < WRITE_BATCH && first + n < tx->node_count &&
	       tx->nodes[first + n]->logical == start + (u64)n * fs->nodesize) {
		iov[n].iov_base = tx->nodes[first + n]->data;
		iov[n++].iov_len = fs->nodesize;
	}
	r = volume_write(fs->vol, start, iov, n);
	return r < 0 ? r : n;
}

static int write_nodes(struct fs *fs, struct transaction *tx)
{
	for (size_t i = 0; i < tx->node_count;) {
		int n = write_run(fs, tx, i);

		if (n < 0)
			return n;
		i += (size_t)n;
	}
	return 0;
}

static int write_supers(struct fs *fs)
{
	int r;

	SP("tx.super_pre");
	r = SP_FAIL("tx.super");
	if (r == 0)
		r = volume_write_super(fs->vol, &fs->super, SUPER_PRIMARY);
	if (r == 0)
		r = volume_flush(fs->vol);
	if (r < 0)
		return r;
	SP("tx.super_post");
	/* a copy that cannot be written is counted, not fatal: the primary is what counts */
	return volume_write_super(fs->vol, &fs->super, SUPER_COPIES);
}

/* The next transaction runs from here on; joins stay blocked until our caller lets them in. */
static void publish(struct fs *fs, u64 transid)
{
	struct trans_mgr *m = fs->trans;
	u64 epoch = epoch_advance(fs);

	transaction_forget(fs, &m->running);
	MUTEX_SCOPE(&m->lock);
	TRACE("commit.durable", .transid = transid);
	m->durable = transid;
	m->running.transid = transid + 1;
	m->settling = false;
	if (m->unpin_count == UNPIN_MAX) { /* merge: the later epoch covers both */
		m->unpins[UNPIN_MAX - 1] = (struct unpin_wait){ transid, epoch };
	} else {
		m->unpins[m->unpin_count++] = (struct unpin_wait){ transid, epoch };
	}
	cond_broadcast(&m->tick);
}

static int write_all(struct fs *fs, struct trans *trans, const char **step)
{
	int r;

	*step = "settling the transaction";
	r = settle(trans);
	if (r < 0)
		return r;
	*step = "checking nodes before writing them";
	r = freeze(fs, trans->tx);
	if (r < 0)
		return r;
	super_prepare(fs, trans->transid);
	quota_trees_settled(fs);
	*step = "writing nodes";
	r = write_nodes(fs, trans->tx);
	/* guard copy_flush: without it the superblock may overtake data and nodes */
	if (r == 0 && GUARD(copy_flush))
		r = volume_flush(fs->vol);
	if (r < 0)
		return r;
	SP("tx.flushed", .transid = trans->transid);
	*step = "writing the superblock";
	return write_supers(fs);
}

/* From here on a change in memory (an inode item, content in place) is the next commit's. */
static void begin_settling(struct trans_mgr *m)
{
	MUTEX_SCOPE(&m->lock);
	m->settling = true;
	m->running.dirty = false;
}

int commit_run(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	struct trans trans = {
		.fs = fs, .tx = &m->running, .transid = m->running.transid, .exclusive = true,
	};
	const char *step = "";
	int r = atomic_load(&fs->error);

	begin_settling(m);
	if (r == 0)
		r = write_all(fs, &trans, &step);
	if (r < 0) {
		fs_abort(fs, r, step);
		space_commit_failed(fs);
		return r;
	}
	publish(fs, trans.transid);
	node_cache_shrink(fs);
	return 0;
}
