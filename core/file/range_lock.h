/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * range_lock.h - byte ranges of one file, shared by readers and write-back, exclusive for whoever
 * changes content. First come, first served among those that conflict, so nobody starves.
 *
 * Rank RANK_RANGE: outside joins and tree locks, inside the inode's lock. A struct range_lock
 * lives on its holder's stack. One thread does not lock overlapping ranges twice.
 */
#ifndef CORE_FILE_RANGE_LOCK_H
#define CORE_FILE_RANGE_LOCK_H

#include <sys/queue.h>

#include "disk/base/lock.h"

struct range_lock {
	struct range_locks *owner; /* NULL: not locked */
	u64 start, end;
	bool exclusive;
	TAILQ_ENTRY(range_lock) link;
};

struct range_locks {
	struct mutex lock;
	struct cond changed;
	TAILQ_HEAD(, range_lock) held;
	TAILQ_HEAD(, range_lock) waiting;
};

void range_locks_init(struct range_locks *locks);
void range_locks_destroy(struct range_locks *locks);

/* Waits until [start, end) can be had. */
void range_lock(struct range_locks *locks, struct range_lock *l, u64 start, u64 end,
		bool exclusive);
/* True if it could be had at once. */
_must_check_ bool range_trylock(struct range_locks *locks, struct range_lock *l, u64 start,
				u64 end, bool exclusive);
/* Nothing happens if @l (zeroed) was never locked. */
void range_unlock(struct range_lock *l);

#define _cleanup_range_ _cleanup_(range_unlock)

#endif
