/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * range_lock.c - see range_lock.h.
 *
 * Invariant: two overlapping locks in `held` are both shared. A waiter is served when it conflicts
 * with nothing held and with no waiter that came earlier; waiting is a queue, so an exclusive lock
 * is not overtaken for ever by readers. Lists are short: one entry a request in flight.
 */
#include "core/file/range_lock.h"

void range_locks_init(struct range_locks *locks)
{
	mutex_init(&locks->lock, RANK_LOG); /* a leaf */
	cond_init(&locks->changed);
	TAILQ_INIT(&locks->held);
	TAILQ_INIT(&locks->waiting);
}

void range_locks_destroy(struct range_locks *locks)
{
	cond_destroy(&locks->changed);
	mutex_destroy(&locks->lock);
}

static bool conflict(const struct range_lock *a, const struct range_lock *b)
{
	return a->start < b->end && b->start < a->end && (a->exclusive || b->exclusive);
}

static bool grantable(const struct range_locks *locks, const struct range_lock *l)
{
	const struct range_lock *other;

	TAILQ_FOREACH(other, &locks->held, link) {
		if (conflict(other, l))
			return false;
	}
	TAILQ_FOREACH(other, &locks->waiting, link) {
		if (other == l)
			break;
		if (conflict(other, l))
			return false;
	}
	return true;
}

static void fill(struct range_lock *l, u64 start, u64 end, bool exclusive)
{
	*l = (struct range_lock){.start = start, .end = end, .exclusive = exclusive};
}

static void grant(struct range_locks *locks, struct range_lock *l)
{
	TAILQ_INSERT_TAIL(&locks->held, l, link);
	l->owner = locks;
}

void range_lock(struct range_locks *locks, struct range_lock *l, u64 start, u64 end,
		bool exclusive)
{
	fill(l, start, end, exclusive);
	mutex_lock(&locks->lock);
	if (!grantable(locks, l)) {
		TAILQ_INSERT_TAIL(&locks->waiting, l, link);
		do
			cond_wait(&locks->changed, &locks->lock);
		while (!grantable(locks, l));
		TAILQ_REMOVE(&locks->waiting, l, link);
		/* Those behind us may have waited for our turn only. */
		if (!TAILQ_EMPTY(&locks->waiting))
			cond_broadcast(&locks->changed);
	}
	grant(locks, l);
	mutex_unlock(&locks->lock);
	rank_enter(l, RANK_RANGE);
}

bool range_trylock(struct range_locks *locks, struct range_lock *l, u64 start, u64 end,
		   bool exclusive)
{
	bool ok;

	fill(l, start, end, exclusive);
	mutex_lock(&locks->lock);
	ok = grantable(locks, l);
	if (ok)
		grant(locks, l);
	mutex_unlock(&locks->lock);
	if (ok)
		rank_enter(l, RANK_RANGE);
	return ok;
}

void range_unlock(struct range_lock *l)
{
	struct range_locks *locks = l->owner;

	if (!locks)
		return;
	rank_exit(l);
	mutex_lock(&locks->lock);
	TAILQ_REMOVE(&locks->held, l, link);
	l->owner = NULL;
	if (!TAILQ_EMPTY(&locks->waiting))
		cond_broadcast(&locks->changed);
	mutex_unlock(&locks->lock);
}
