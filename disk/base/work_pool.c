/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work_pool.c - see work_pool.h. A run is a struct on its caller's stack, listed while it has items
 * that nobody has taken; the caller leaves when none is running. One lock, a leaf, not held while
 * an item runs.
 */
#include "disk/base/work_pool.h"

#include <signal.h>
#include <sys/queue.h>
#include <unistd.h>

#include "disk/base/lock.h"

#define THREADS_MAX 16

struct run {
	TAILQ_ENTRY(run) link;
	void (*fn)(void *item);
	u8 *items;
	size_t size, count;
	size_t taken, done;
};

struct work_pool {
	struct mutex lock; /* all below */
	struct cond work;  /* threads */
	struct cond ended; /* callers */
	TAILQ_HEAD(, run) runs;
	unsigned wanted, started;
	bool stopping;
	pthread_t thread[THREADS_MAX];
};

/* The lock is held before and after, not in between. */
static void take_one(struct work_pool *pool, struct run *run)
{
	u8 *item = run->items + run->size * run->taken++;

	if (run->taken == run->count)
		TAILQ_REMOVE(&pool->runs, run, link);
	mutex_unlock(&pool->lock);
	run->fn(item);
	mutex_lock(&pool->lock);
	if (++run->done == run->count)
		cond_broadcast(&pool->ended);
}

static void *worker(void *arg)
{
	struct work_pool *pool = arg;
	struct run *run;
	MUTEX_SCOPE(&pool->lock);

	while (!pool->stopping) {
		run = TAILQ_FIRST(&pool->runs);
		if (run)
			take_one(pool, run);
		else
			cond_wait(&pool->work, &pool->lock);
	}
	return NULL;
}

/* Without threads the callers do all the work. Signals are for others. */
static void start_threads(struct work_pool *pool)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (pool->started < pool->wanted) {
		pthread_t *t = &pool->thread[pool->started];

		if (pthread_create(t, NULL, worker, pool))
			break;
		pthread_setname_np(*t, "btrfuse-work");
		pool->started++;
	}
	pool->wanted = pool->started;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int work_pool_create(unsigned threads, struct work_pool **ret)
{
	struct work_pool *pool = calloc(1, sizeof(*pool));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (!pool)
		return -ENOMEM;
	if (!threads)
		threads = cores > 2 ? (unsigned)cores - 1 : 1;
	pool->wanted = MIN(threads, (unsigned)THREADS_MAX);
	mutex_init(&pool->lock, RANK_LOG);
	cond_init(&pool->work);
	cond_init(&pool->ended);
	TAILQ_INIT(&pool->runs);
	*ret = pool;
	return 0;
}

void work_pool_destroy(struct work_pool *pool)
{
	if (!pool)
		return;
	mutex_lock(&pool->lock);
	pool->stopping = true;
	cond_broadcast(&pool->work);
	mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->started; i++)
		pthread_join(pool->thread[i], NULL);
	cond_destroy(&pool->ended);
	cond_destroy(&pool->work);
	mutex_destroy(&pool->lock);
	free(pool);
}

void work_pool_run(struct work_pool *pool, void (*fn)(void *item), void *items, size_t size,
		   size_t count)
{
	struct run run = {.fn = fn, .items = items, .size = size, .count = count};

	if (count == 1)
		fn(items);
	if (count <= 1)
		return;
	MUTEX_SCOPE(&pool->lock);
	if (pool->started < pool->wanted)
		start_threads(pool);
	TAILQ_INSERT_TAIL(&pool->runs, &run, link);
	cond_broadcast(&pool->work);
	while (run.taken < run.count)
		take_one(pool, &run);
	while (run.done < run.count)
		cond_wait(&pool->ended, &pool->lock);
}
