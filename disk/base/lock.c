/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lock.c - initialisation, waiting, and the rank check of debug builds.
 * Each thread keeps a small stack of what it holds; taking a lock of a rank at or below one that is
 * held aborts, but for the exceptions listed in lock.h. The check runs before the lock is waited
 * for, so a wrong order is a message, not a deadlock.
 */
#include <stdio.h>
#include <time.h>

#include "disk/base/lock.h"

void mutex_init(struct mutex *m, enum lock_rank rank)
{
	pthread_mutex_init(&m->m, NULL);
	m->rank = rank;
}

void mutex_destroy(struct mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l->l, &attr);
	pthread_rwlockattr_destroy(&attr);
	l->rank = rank;
}

void rwlock_destroy(struct rwlock *l)
{
	pthread_rwlock_destroy(&l->l);
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->c, &attr);
	pthread_condattr_destroy(&attr);
}

void cond_destroy(struct cond *c)
{
	pthread_cond_destroy(&c->c);
}

void cond_wait(struct cond *c, struct mutex *m)
{
	if (m->rank != RANK_NONE)
		rank_assert_held(m);
	rank_forbid(RANK_TREE, "waiting on a condition");
	pthread_cond_wait(&c->c, &m->m);
}

int cond_timedwait_ms(struct cond *c, struct mutex *m, u64 ms)
{
	struct timespec until;

	if (m->rank != RANK_NONE)
		rank_assert_held(m);
	rank_forbid(RANK_TREE, "waiting on a condition");
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return -pthread_cond_timedwait(&c->c, &m->m, &until);
}

void cond_signal(struct cond *c)
{
	pthread_cond_signal(&c->c);
}

void cond_broadcast(struct cond *c)
{
	pthread_cond_broadcast(&c->c);
}

#ifdef BTRFUSE_DEBUG

#define RANK_DEPTH_MAX 64

struct held {
	const void *lock;
	enum lock_rank rank;
	enum rank_mode mode;
};

static __thread struct held held[RANK_DEPTH_MAX];
static __thread unsigned held_count;

static const char *const rank_names[RANK_COUNT] = {
	[RANK_NONE] = "none",
	[RANK_TABLE_OUTER] = "table-outer",
	[RANK_INODE] = "inode",
	[RANK_RANGE] = "range",
	[RANK_FILE_DIRTY] = "file-dirty",
	[RANK_JOIN] = "join",
	[RANK_NODE_REF] = "node-ref",
	[RANK_TREE] = "tree",
	[RANK_ATTR] = "attr",
	[RANK_INODE_TABLE] = "inode-table",
	[RANK_DREF_QUEUE] = "dref-queue",
	[RANK_GROUP_TABLE] = "group-table",
	[RANK_SPACE] = "space",
	[RANK_GROUP] = "group",
	[RANK_TRANS] = "trans",
	[RANK_CACHE] = "cache",
	[RANK_EPOCH] = "epoch",
	[RANK_CHUNK_MAP] = "chunk-map",
	[RANK_DEVICE] = "device",
	[RANK_LOG] = "log",
};

static void __attribute__((noreturn)) rank_die(const char *what, enum lock_rank rank)
{
	fprintf(stderr, "btrfuse: lock order: %s (%s) while holding:", what, rank_names[rank]);
	for (unsigned i = 0; i < held_count; i++)
		fprintf(stderr, " %s%s", rank_names[held[i].rank],
			held[i].mode == RANK_SHARED ? "(r)" : "");
	fprintf(stderr, "\n");
	abort();
}

static unsigned rank_held(enum lock_rank rank)
{
	unsigned n = 0;

	for (unsigned i = 0; i < held_count; i++)
		n += held[i].rank == rank;
	return n;
}

static bool rank_pair_ok(const struct held *h, enum lock_rank rank, enum rank_mode mode)
{
	if (h->rank < rank)
		return true;
	if (h->rank == rank && (rank == RANK_INODE || rank == RANK_RANGE))
		return true;
	if (h->rank == RANK_TREE && rank == RANK_NODE_REF)
		return rank_held(RANK_TREE) == 1;
	if (h->rank == RANK_TREE && rank == RANK_TREE)
		return mode == RANK_SHARED && rank_held(RANK_NODE_REF) == 1 &&
		       rank_held(RANK_TREE) == 1;
	return false;
}

void rank_push(const void *lock, enum lock_rank rank, enum rank_mode mode)
{
	if (rank == RANK_NONE)
		return;
	for (unsigned i = 0; i < held_count; i++)
		if (held[i].lock == lock || !rank_pair_ok(&held[i], rank, mode))
			rank_die("taking", rank);
	if (held_count == RANK_DEPTH_MAX)
		rank_die("too many locks", rank);
	held[held_count++] = (struct held){lock, rank, mode};
}

void rank_pop(const void *lock)
{
	for (unsigned i = held_count; i-- > 0;) {
		if (held[i].lock != lock)
			continue;
		memmove(&held[i], &held[i + 1], (held_count - i - 1) * sizeof(held[0]));
		held_count--;
		return;
	}
}

void rank_forbid(enum lock_rank rank, const char *what)
{
	if (rank_held(rank))
		rank_die(what, rank);
}

void rank_assert_held(const void *lock)
{
	for (unsigned i = 0; i < held_count; i++)
		if (held[i].lock == lock)
			return;
	rank_die("a lock that must be held is not", RANK_NONE);
}

#endif
