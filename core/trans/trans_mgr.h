/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trans_mgr.h - state shared by transaction.c (who may change trees) and commit.c (how a
 * transaction becomes durable). Private to core/trans. */
#ifndef CORE_TRANS_TRANS_MGR_H
#define CORE_TRANS_TRANS_MGR_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/trans/transaction.h"
#include "disk/base/lock.h"

#define UNPIN_MAX 64

struct transaction {
	u64 transid;
	unsigned joined;
	bool dirty; /* there is something to commit; while settling, for the next one */

	struct extent_buffer **nodes;
	_Atomic size_t node_count; /* changed by one thread at a time; joins look at it */
	size_t node_room;
	struct root **roots;
	size_t root_count, root_room;
};

/* What transaction @transid freed waits for the epochs before @epoch. */
struct unpin_wait {
	u64 transid;
	u64 epoch;
};

struct trans_mgr {
	struct mutex lock; /* RANK_TRANS; all below */
	struct cond changed; /* joined, blocked, durable or error */
	struct cond tick;    /* for the commit thread alone */
	struct transaction running;
	bool blocked; /* a commit or an exclusive section holds joins */
	u64 join_waits; /* joins that had to wait for one, since mount */
	bool settling; /* a commit has looked at what changed in memory, and is not durable yet */
	u64 durable;
	struct unpin_wait unpins[UNPIN_MAX];
	unsigned unpin_count;
	u64 dirty_limit_bytes;
	bool stopping;
	bool thread_runs;
	pthread_t thread;
};

/* Settles, writes and publishes the running transaction. Joins are blocked and nobody is joined.
 * On success the next transaction runs (joins still blocked). On failure the file system has been
 * aborted. */
_must_check_ int commit_run(struct fs *fs);

/* Forgets the dirty nodes and roots of the running transaction. */
void transaction_forget(struct fs *fs, struct transaction *tx);

#endif
