/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transaction.h - joining, ending, committing and aborting transactions.
 *
 * One transaction runs at a time. An operation reserves, joins, changes trees, ends; a commit
 * blocks joins, waits for the joined, settles, freezes, lets joins in to the next transaction, and
 * writes. So the transaction before the running one may not be durable yet: who needs something to be
 * durable asks trans_commit() or compares with trans_durable_id(), never with the running number. An
 * exclusive section blocks joins in the same way for work that must see the trees at rest (the switch of a
 * relocation).
 *
 * Lock rank: a join stands below inode and range locks and above tree locks: a thread may hold the
 * former when it joins, never the latter. A joined thread neither reserves nor joins again.
 */
#ifndef CORE_TRANS_TRANSACTION_H
#define CORE_TRANS_TRANSACTION_H

#include "core/space/reservation.h"
#include "disk/base/types.h"

struct fs;
struct root;
struct extent_buffer;
struct transaction;
struct trans_mgr;

/* A thread's part in the running transaction. Lives on its stack. */
struct trans {
	struct fs *fs;
	struct transaction *tx; /* NULL: not joined */
	u64 transid;
	struct meta_rsv rsv;
	bool exclusive; /* joins are blocked on our behalf */
	bool neutral;   /* what is changed moves extents, and all their holders with them */
	u64 held_ns;    /* after an exclusive section: how long it, or the commit that ended it, blocked joins */
};

/* Reserves metadata space for @items changed items and joins. Waits while a commit settles; may
 * commit or allocate a chunk itself. -ENOSPC, -EROFS, or the error that aborted the file system. */
_must_check_ int trans_join(struct fs *fs, unsigned items, struct trans *ret);

/* The same for work that gives space back (unlink, truncate): may use the global reserve. */
_must_check_ int trans_join_release(struct fs *fs, unsigned items, struct trans *ret);

/* Leaves the transaction and gives the unused reservation back. A no-op if not joined. */
void trans_end(struct trans *trans);
#define _cleanup_trans_ _cleanup_(trans_end)

/* Moves the reservation for @items out of a joined handle, for an item that is written later. */
void trans_take_rsv(struct trans *trans, unsigned items, struct meta_rsv *ret);

/* A failure after the first tree change: nothing of this transaction is ever written, and the file
 * system turns read-only. @what names the step. Call it once, before trans_end(). */
void trans_abort(struct trans *trans, int err, const char *what);
void fs_abort(struct fs *fs, int err, const char *what);

/* 0, or the negative errno that every change gets now (-EROFS for a read-only mount). */
int fs_error(struct fs *fs);

/* All that was changed before the call is durable afterwards, what was written in place included. No lock
 * below RANK_JOIN held. */
_must_check_ int trans_commit(struct fs *fs);

/* Transaction @transid, which does not run any more, is durable afterwards. Not joined. */
_must_check_ int trans_wait_durable(struct fs *fs, u64 transid);

/* Writes back dirty file data first: sync(2). */
_must_check_ int fs_sync(struct fs *fs);

/* Commits and waits, bounded, until what was pinned can be used again. For those short of space. */
_must_check_ int trans_reclaim(struct fs *fs);

/* Blocks joins, waits for the joined, applies all delayed references. The caller may then read
 * and change any tree, and do device reads, until trans_exclusive_end(). */
_must_check_ int trans_exclusive_begin(struct fs *fs, unsigned items, struct trans *ret);

/* The same for work that must not fail for want of space: may use the global reserve. */
_must_check_ int trans_exclusive_begin_release(struct fs *fs, unsigned items, struct trans *ret);

/* Ends the section and lets joins in; with @commit the transaction is durable on return. */
_must_check_ int trans_exclusive_end(struct trans *trans, bool commit);

/* The running transaction has something to commit although nobody joined (a dirty inode item). */
void trans_note_dirty(struct fs *fs);

/* @root's node is about to change or has: its root item is rewritten at commit. Root locked for
 * writing by the caller. */
void trans_mark_root_dirty(struct trans *trans, struct root *root);

/* @root is deleted in this exclusive section: it has no item any more. */
void trans_forget_root(struct trans *trans, struct root *root);

/* @eb is new or about to be changed in this transaction: it is written by the commit. Takes a
 * reference. Once per buffer and transaction (EB_DIRTY tells). */
void trans_add_dirty(struct trans *trans, struct extent_buffer *eb);

/* How many joins had to wait for a commit or an exclusive section since the mount. */
u64 trans_join_waits(struct fs *fs);

/* Number of the transaction that runs now / of the last one that is durable. */
u64 trans_running_id(struct fs *fs);
u64 trans_durable_id(struct fs *fs);

int trans_mgr_create(struct fs *fs) _must_check_;
/* Starts the thread that commits every `commit=` seconds. */
int trans_mgr_start(struct fs *fs) _must_check_;
/* Stops that thread; no commit is made. */
void trans_mgr_stop(struct fs *fs);
void trans_mgr_destroy(struct fs *fs);

#endif
