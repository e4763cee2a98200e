/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frozen.c - a transaction that does not change any more, and its way to the device.
 *
 * Steps, each finished before the next: freeze (joins blocked), then, with the next transaction running,
 * check and checksum the nodes, write them, flush, write the primary superblock, flush, write the other
 * copies. The first flush also covers file data that was written before its pointer was inserted.
 *
 * Invariants: a frozen node is never changed, stays in memory and in the cache until the transaction is
 * durable (its EB_DIRTY keeps it), and is written even if the next transaction has dropped it by then, since
 * this one's trees lead to it. Only the header's checksum is still filled in, which nobody reads in memory.
 */
#include <stdlib.h>
#include <sys/uio.h>

#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/super.h"
#include "core/trans/trans_mgr.h"
#include "core/tree/extent_buffer.h"
#include "disk/base/sync_point.h"
#include "disk/volume/volume.h"

#define WRITE_BATCH 64

/* Drops what was freed again, and forbids changes in place of the rest. */
static void freeze_nodes(struct transaction *tx)
{
	size_t kept = 0;

	for (size_t i = 0; i < tx->node_count; i++) {
		struct extent_buffer *eb = tx->nodes[i];

		if (eb_test(eb, EB_DIRTY)) {
			eb_set(eb, EB_WRITTEN);
			tx->nodes[kept++] = eb;
		} else {
			eb_put(eb);
		}
	}
	tx->node_count = kept;
}

void transaction_freeze(struct fs *fs, struct transaction *tx)
{
	freeze_nodes(tx);
	super_prepare(fs, tx->transid);
	tx->super = fs->super;
	volume_freeze_device_items(fs->vol);
	quota_trees_settled(fs);
	/* the next transaction has a list of its own */
	transaction_forget_roots(tx);
}

static int by_logical(const void *a, const void *b)
{
	const struct extent_buffer *const *x = a, *const *y = b;

	return ((*x)->logical > (*y)->logical) - ((*x)->logical < (*y)->logical);
}

/* The checker that looks at what is read looks at what is about to be written, too. */
static int seal_nodes(struct fs *fs, struct transaction *tx)
{
	int r = 0;

	qsort(tx->nodes, tx->node_count, sizeof(*tx->nodes), by_logical);
	for (size_t i = 0; r == 0 && i < tx->node_count; i++)
		r = volume_seal_node(fs->vol, tx->nodes[i]->data);
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

static int write_supers(struct fs *fs, struct transaction *tx)
{
	int r;

	SP("tx.super_pre", .transid = tx->transid);
	r = SP_FAIL("tx.super", .transid = tx->transid);
	if (r == 0)
		r = volume_write_super(fs->vol, &tx->super, SUPER_PRIMARY);
	if (r == 0)
		r = volume_flush(fs->vol);
	if (r < 0)
		return r;
	SP("tx.super_post", .transid = tx->transid);
	/* a copy that cannot be written is counted, not fatal: the primary is what counts */
	return volume_write_super(fs->vol, &tx->super, SUPER_COPIES);
}

int transaction_write(struct fs *fs, struct transaction *tx, const char **step)
{
	int r;

	SP("tx.frozen", .transid = tx->transid);
	*step = "checking nodes before writing them";
	r = seal_nodes(fs, tx);
	if (r < 0)
		return r;
	*step = "writing nodes";
	r = write_nodes(fs, tx);
	/* guard copy_flush: without it the superblock may overtake data and nodes */
	if (r == 0 && GUARD(copy_flush))
		r = volume_flush(fs->vol);
	if (r < 0)
		return r;
	SP("tx.flushed", .transid = tx->transid);
	*step = "writing the superblock";
	return write_supers(fs, tx);
}
