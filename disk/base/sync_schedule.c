/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sync_schedule.c - a scheduler for tests: every thread that passes a sync point is parked, and one
 * thread, the conductor, lets them go one at a time, as chance from a seed has it. It waits until
 * nobody runs any more, so that who goes next is chosen among all who can. Test builds only.
 *
 * Each thread has a priority by chance, drawn anew now and then: the highest goes first. So one may
 * stand still while another goes a long way, which is what it takes to find most races. On request
 * it also makes calls fail: writes, allocations, reservations.
 * Lock: one plain mutex (unranked, as in sync_point.c); nothing is taken inside it.
 */
#include "disk/base/sync_schedule.h"

#include "disk/base/sync_point.h"

#ifdef BTRFUSE_TEST

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk/base/log.h"

#define REDRAW_ONE_IN 12  /* passes of a thread, until it has another priority */
#define PATIENCE_PICKS 1500 /* who has stood still for so long goes on */
#define QUIET_POLL_US 50
#define QUIET_WAIT_US 5000 /* somebody who computes for longer is not waited for */
#define SCARCE_ONE_IN 5
#define LINGER_ONE_IN 5 /* such steps; it stays there until all others are done or wait */

struct waiter {
	TAILQ_ENTRY(waiter) link;
	u32 priority;
	u64 since;
	bool go;
	pthread_cond_t let_go;
};

/* What chance makes fail, one in @one_in. */
static const struct {
	const char *name;
	int error;
	u32 one_in;
} faults[] = {
	{"wr.io_pre", EIO, 60},
	{"al.data", ENOSPC, 25},
};

bool sync_schedule_on; /* atomic */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* under lock */
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static TAILQ_HEAD(, waiter) waiters = TAILQ_HEAD_INITIALIZER(waiters);
static u64 state, picks;
static bool with_faults, conductor_runs;

static _Thread_local u32 priority;
static _Thread_local u64 drawn_at = UINT64_MAX; /* the run that it belongs to */
static _Thread_local bool scarce; /* no node is to be had between rl.switch_pre and rl.committed */
static u64 run;

/* splitmix64: any seed will do. */
static u32 draw(void)
{
	u64 z = (state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (u32)((z ^ z >> 31) >> 32);
}

/* ---- the conductor ---- */

static bool is_running(const char *tid)
{
	char path[64], text[256], *after;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 0)
		return false;
	text[n] = 0;
	after = strrchr(text, ')');
	return after && (after[2] == 'R' || after[2] == 'D');
}

static bool somebody_runs(void)
{
	pid_t own = (pid_t)syscall(SYS_gettid);
	DIR *tasks = opendir("/proc/self/task");
	bool found = false;
	struct dirent *d;

	while (tasks && !found && (d = readdir(tasks)))
		found = d->d_name[0] != '.' && atoi(d->d_name) != own && is_running(d->d_name);
	if (tasks)
		closedir(tasks);
	return found;
}

static void wait_quiet(void)
{
	unsigned quiet = 0;

	for (unsigned waited = 0; quiet < 2 && waited < QUIET_WAIT_US; waited += QUIET_POLL_US) {
		usleep(QUIET_POLL_US);
		quiet = somebody_runs() ? 0 : quiet + 1;
	}
}

static void let_one_go(void)
{
	struct waiter *w, *best = NULL;

	TAILQ_FOREACH(w, &waiters, link) {
		bool late = picks - w->since > PATIENCE_PICKS;

		if (!best || late || w->priority > best->priority)
			best = w;
		if (late)
			break;
	}
	if (!best)
		return;
	TAILQ_REMOVE(&waiters, best, link);
	picks++;
	best->go = true;
	pthread_cond_signal(&best->let_go);
}

static void *conduct(void *arg)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		while (TAILQ_EMPTY(&waiters))
			pthread_cond_wait(&arrived, &lock);
		pthread_mutex_unlock(&lock);
		wait_quiet();
		pthread_mutex_lock(&lock);
		let_one_go();
	}
	return arg;
}

/* Lock held. */
static bool start_conductor(void)
{
	pthread_t thread;

	if (!conductor_runs && pthread_create(&thread, NULL, conduct, NULL) == 0) {
		pthread_detach(thread);
		conductor_runs = true;
	}
	return conductor_runs;
}

/* ---- those who pass ---- */

static int chosen_fault(const char *name)
{
	if (scarce && (!strcmp(name, "tx.reserve") || !strcmp(name, "al.node")))
		return -ENOSPC;
	for (size_t i = 0; with_faults && i < ARRAY_SIZE(faults); i++)
		if (!strcmp(name, faults[i].name) && draw() % faults[i].one_in == 0)
			return -faults[i].error;
	return 0;
}

/* Relocation is short of space for one batch: no reservation, and no node for who goes on without. */
static void choose_scarcity(const char *name)
{
	if (!strcmp(name, "rl.switch_pre"))
		scarce = with_faults && draw() % SCARCE_ONE_IN == 0;
	else if (!strcmp(name, "rl.committed"))
		scarce = false;
}

/* In the middle of a write, of an allocation, of a commit on its way to the device. */
static bool lingers(const char *name)
{
	static const char *const where[] = {"wr.", "al.reserve", "tx.flushed", "tx.super_pre"};

	for (size_t i = 0; i < ARRAY_SIZE(where); i++)
		if (!strncmp(name, where[i], strlen(where[i])))
			return draw() % LINGER_ONE_IN == 0;
	return false;
}

/* Lock held; released while parked. */
static void stand_by(const char *name)
{
	struct waiter w = {.since = picks};

	if (drawn_at != run || draw() % REDRAW_ONE_IN == 0)
		priority = draw();
	drawn_at = run;
	w.priority = lingers(name) ? priority >> 8 : priority;
	pthread_cond_init(&w.let_go, NULL);
	TAILQ_INSERT_TAIL(&waiters, &w, link);
	pthread_cond_signal(&arrived);
	while (!w.go)
		pthread_cond_wait(&w.let_go, &lock);
	pthread_cond_destroy(&w.let_go);
}

int sync_schedule_pass(const char *name, bool may_fail)
{
	int r;

	pthread_mutex_lock(&lock);
	if (!sync_schedule_on) {
		pthread_mutex_unlock(&lock);
		return 0;
	}
	r = may_fail ? chosen_fault(name) : 0;
	choose_scarcity(name);
	stand_by(name);
	pthread_mutex_unlock(&lock);
	return r;
}

bool sync_schedule_start(u64 seed, bool fail)
{
	bool ok;

	pthread_mutex_lock(&lock);
	ok = start_conductor();
	state = seed;
	with_faults = fail;
	run++;
	__atomic_store_n(&sync_schedule_on, ok, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return ok;
}

u64 sync_schedule_stop(void)
{
	struct waiter *w;
	u64 done;

	pthread_mutex_lock(&lock);
	__atomic_store_n(&sync_schedule_on, false, __ATOMIC_RELAXED);
	while ((w = TAILQ_FIRST(&waiters))) {
		TAILQ_REMOVE(&waiters, w, link);
		w->go = true;
		pthread_cond_signal(&w->let_go);
	}
	done = picks;
	pthread_mutex_unlock(&lock);
	return done;
}

u64 sync_schedule_picks(void)
{
	u64 done;

	pthread_mutex_lock(&lock);
	done = picks;
	pthread_mutex_unlock(&lock);
	return done;
}

#endif
