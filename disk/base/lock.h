/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lock.h - mutex, reader-writer lock and condition variable with a rank.
 * Debug builds (-DBTRFUSE_DEBUG) assert that each thread takes locks in increasing rank; release
 * builds pay nothing. Exceptions, all of them: RANK_INODE and RANK_RANGE nest among themselves
 * (caller orders by number); RANK_NODE_REF may be taken under one RANK_TREE lock, and one more
 * RANK_TREE lock for reading inside RANK_NODE_REF. Waiting on a condition and device I/O assert
 * that no RANK_TREE lock is held. Reader-writer locks prefer writers and must not be
 * read-locked twice by one thread.
 */
#ifndef DISK_BASE_LOCK_H
#define DISK_BASE_LOCK_H

#include <pthread.h>

#include "disk/base/types.h"

enum lock_rank {
	RANK_NONE, /* not tracked */
	RANK_TABLE_OUTER,
	RANK_INODE,
	RANK_RANGE,
	RANK_FILE_DIRTY,
	RANK_JOIN,
	RANK_TREE_LOG,
	RANK_NODE_REF,
	RANK_TREE,
	RANK_ATTR,
	RANK_INODE_TABLE,
	RANK_DREF_QUEUE,
	RANK_QUOTA,
	RANK_GROUP_TABLE,
	RANK_SPACE,
	RANK_GROUP,
	RANK_TRANS,
	RANK_CACHE,
	RANK_EPOCH,
	RANK_CHUNK_MAP,
	RANK_DEVICE,
	RANK_LOG,
	RANK_COUNT
};

struct mutex {
	pthread_mutex_t m;
	enum lock_rank rank;
};

struct rwlock {
	pthread_rwlock_t l;
	enum lock_rank rank;
};

struct cond {
	pthread_cond_t c; /* CLOCK_MONOTONIC */
};

#ifdef BTRFUSE_DEBUG
enum rank_mode { RANK_EXCLUSIVE, RANK_SHARED };
void rank_push(const void *lock, enum lock_rank rank, enum rank_mode mode);
void rank_pop(const void *lock);
void rank_forbid(enum lock_rank rank, const char *what);
void rank_assert_held(const void *lock);
#else
#define rank_push(lock, rank, mode) ((void)0)
#define rank_pop(lock) ((void)0)
#define rank_forbid(rank, what) ((void)0)
#define rank_assert_held(lock) ((void)0)
#endif

/* A rank without a lock (RANK_JOIN): @token is any address that identifies the holder. */
#define rank_enter(token, rank) rank_push(token, rank, RANK_SHARED)
#define rank_exit(token) rank_pop(token)
/* Aborts in debug builds if this thread holds a lock of @rank. */
#define rank_assert_free(rank, what) rank_forbid(rank, what)

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_destroy(struct mutex *m);
void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_destroy(struct rwlock *l);
void cond_init(struct cond *c);
void cond_destroy(struct cond *c);

static inline void mutex_lock(struct mutex *m)
{
	rank_push(m, m->rank, RANK_EXCLUSIVE);
	pthread_mutex_lock(&m->m);
}

/* True if taken; takes part in the rank order when it was. */
static inline bool mutex_trylock(struct mutex *m)
{
	if (pthread_mutex_trylock(&m->m))
		return false;
	rank_push(m, m->rank, RANK_EXCLUSIVE);
	return true;
}

static inline void mutex_unlock(struct mutex *m)
{
	rank_pop(m);
	pthread_mutex_unlock(&m->m);
}

static inline void rwlock_rdlock(struct rwlock *l)
{
	rank_push(l, l->rank, RANK_SHARED);
	pthread_rwlock_rdlock(&l->l);
}

static inline void rwlock_wrlock(struct rwlock *l)
{
	rank_push(l, l->rank, RANK_EXCLUSIVE);
	pthread_rwlock_wrlock(&l->l);
}

static inline bool rwlock_trywrlock(struct rwlock *l)
{
	if (pthread_rwlock_trywrlock(&l->l))
		return false;
	rank_push(l, l->rank, RANK_EXCLUSIVE);
	return true;
}

static inline void rwlock_unlock(struct rwlock *l)
{
	rank_pop(l);
	pthread_rwlock_unlock(&l->l);
}

/* Debug builds abort unless this thread holds the lock. */
#define mutex_assert_held(m) rank_assert_held(m)
#define rwlock_assert_held(l) rank_assert_held(l)

/* The caller holds @m, looks at its condition again afterwards, and holds no tree lock. */
void cond_wait(struct cond *c, struct mutex *m);
/* 0, or -ETIMEDOUT after @ms milliseconds. */
int cond_timedwait_ms(struct cond *c, struct mutex *m, u64 ms);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

static inline void cleanup_mutex(struct mutex **m)
{
	if (*m)
		mutex_unlock(*m);
}

static inline void cleanup_rwlock(struct rwlock **l)
{
	if (*l)
		rwlock_unlock(*l);
}

static inline struct mutex *mutex_lock_scope(struct mutex *m)
{
	mutex_lock(m);
	return m;
}

static inline struct rwlock *rwlock_rdlock_scope(struct rwlock *l)
{
	rwlock_rdlock(l);
	return l;
}

static inline struct rwlock *rwlock_wrlock_scope(struct rwlock *l)
{
	rwlock_wrlock(l);
	return l;
}

#define LOCK_PASTE_(a, b) a##b
#define LOCK_PASTE(a, b) LOCK_PASTE_(a, b)
#define LOCK_NAME LOCK_PASTE(scope_lock_, __LINE__)
#define LOCK_SCOPE_ATTR(f) __attribute__((cleanup(f), unused))

/* Held until the enclosing scope ends. */
#define MUTEX_SCOPE(m) LOCK_SCOPE_ATTR(cleanup_mutex) struct mutex *LOCK_NAME = mutex_lock_scope(m)
#define RDLOCK_SCOPE(l)                                                                            \
	LOCK_SCOPE_ATTR(cleanup_rwlock) struct rwlock *LOCK_NAME = rwlock_rdlock_scope(l)
#define WRLOCK_SCOPE(l)                                                                            \
	LOCK_SCOPE_ATTR(cleanup_rwlock) struct rwlock *LOCK_NAME = rwlock_wrlock_scope(l)

#endif
