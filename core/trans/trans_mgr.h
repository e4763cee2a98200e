/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trans_mgr.h - state shared by the files of core/trans. Private to this folder.
 *
 * Two transactions exist at most: the one that runs, and the one before it while it is on its way to
 * the device. Who may do what:
 *  `blocked`: the one thread that set it changes trees alone, once nobody is joined; short.
 *  `committing`: the one thread that set it takes a transaction from its last settling to durable;
 *  so N+1 is not frozen before N is durable, and a superblock is written by one thread at a time.
 * Order: committing before blocked; whoever holds blocked never waits for committing.
 */
#ifndef CORE_TRANS_TRANS_MGR_H
#define CORE_TRANS_TRANS_MGR_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "core/trans/transaction.h"
#include "disk/base/lock.h"
#include "disk/format/ondisk.h"

#define UNPIN_MAX 64

struct transaction {
	u64 transid;
	unsigned joined;
	bool dirty; /* there is something to commit */

	struct extent_buffer **nodes; /* frozen: those to be written, nobody else's any more */
	_Atomic size_t node_count;    /* changed by one thread at a time; joins look at it */
	size_t node_room;
	struct root **roots;
	size_t root_count, root_room;

	struct btrfs_super_block super; /* frozen: what is going to be the superblock */
};

/* What transaction @transid freed waits for the epochs before @epoch. */
struct unpin_wait {
	u64 transid;
	u64 epoch;
};

struct trans_mgr {
	struct mutex lock; /* RANK_TRANS; all below */
	struct cond changed; /* joined, blocked, frozen, durable or error */
	struct cond tick;    /* for the commit thread alone */
	struct transaction slots[2];
	struct transaction *running;
	struct transaction *writing; /* frozen, not durable (after a failure: never); or NULL */
	bool committing;
	bool blocked;
	u64 blocked_at_ns;
	u64 freeze_ns;      /* how long the last commit held joins */
	unsigned waiting;   /* joins that wait for blocked to end */
	unsigned owed;      /* of these, the ones that come before the next block */
	u64 join_waits;     /* joins that had to wait, since mount */
	bool settling;      /* the running transaction has looked at what changed in memory */
	bool late;          /* while settling: something changed in memory, for the next one */
	u64 durable;
	struct unpin_wait unpins[UNPIN_MAX];
	unsigned unpin_count;
	u64 dirty_limit_bytes;
	bool hurry;         /* for the commit thread: the running transaction is large */
	bool stopping;
	bool thread_runs;
	pthread_t thread;
};

static inline u64 trans_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

/* ---- transaction.c ---- */

/* Keeps joins out and waits for the joined: afterwards @ret may change trees, alone. -EROFS. */
_must_check_ int joins_block(struct fs *fs, struct trans *ret);
/* Lets joins in again; those that waited come before the next block. Returns how long they had to, in
 * nanoseconds. */
u64 joins_unblock(struct fs *fs);

/* Forgets nodes and roots of a transaction: it is durable, or the file system goes away. */
void transaction_forget_nodes(struct transaction *tx);
void transaction_forget_roots(struct transaction *tx);

/* ---- settle.c ---- */

/* Writes everything that hangs on something else into the trees, until nothing changes. */
_must_check_ int settle(struct trans *trans);
/* The same ahead of time as far as it goes slice by slice, so that the block that follows is short. Joins
 * are let in between the slices. Nothing held. */
_must_check_ int settle_ahead(struct fs *fs);

/* ---- frozen.c ---- */

/* No node of @tx changes from here on, and its superblock is what it is. Joins are blocked. */
void transaction_freeze(struct fs *fs, struct transaction *tx);
/* Writes a frozen transaction: durable on success. *step says what it was about. */
_must_check_ int transaction_write(struct fs *fs, struct transaction *tx, const char **step);

/* ---- commit.c ---- */

/* Waits until @target is durable; commits it if nobody else does. Nothing held. */
_must_check_ int commit_until(struct fs *fs, u64 target);
/* All that was changed before is durable afterwards, except content in place, which may need a flush:
 * *ret_flushed says whether one came after the call began. */
_must_check_ int commit_changes(struct fs *fs, bool *ret_flushed);

/* ---- unpin.c ---- */

/* Hands out again what was pinned for epochs that are over. True if some still wait. */
bool unpin_passed(struct fs *fs);
/* What @transid freed waits for the epochs that are open now. */
void unpin_later(struct fs *fs, u64 transid);

#endif
