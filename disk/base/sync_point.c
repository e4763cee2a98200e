/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sync_point.c - the table of armed sync points and the command language; the socket is
 * sync_server.c. Test builds only. Invariants: an entry whose thread is parked is freed by that
 * thread alone; sync_point_armed counts the entries. Lock: one plain mutex (unranked, since points
 * are passed under any lock); nothing is taken inside it.
 */
#include "disk/base/sync_point.h"

#ifdef BTRFUSE_TEST

#include "disk/base/sync_schedule.h"

#include <execinfo.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES_MAX 64
#define NAME_MAX_LEN 32
#define CRASH_STATUS 137 /* as a shell shows SIGKILL */

enum entry_kind { ENTRY_FREE, ENTRY_PARK, ENTRY_FAIL, ENTRY_CRASH };
enum entry_state { ENTRY_ARMED, ENTRY_PARKED, ENTRY_RELEASED };

struct entry {
	enum entry_kind kind;
	enum entry_state state;
	char name[NAME_MAX_LEN];
	u64 keys[SYNC_KEY_COUNT];
	u32 key_mask;
	u64 count; /* PARK, CRASH: passes still to go; FAIL: passes still to fail */
	int error;
	pid_t tid; /* while parked */
};

const char *const sync_key_names[SYNC_KEY_COUNT] = {"ino", "off",  "len",     "bytenr", "to",
						    "bg",  "root", "transid", "tid"};

static const char *const guard_names[SYNC_GUARD_COUNT] = {
#define SYNC_GUARD_NAME(name) #name,
	SYNC_GUARDS(SYNC_GUARD_NAME)
#undef SYNC_GUARD_NAME
};

int sync_point_armed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* under lock */
static pthread_cond_t changed;
static bool changed_ready;
static struct entry entries[ENTRIES_MAX];
static u32 dump_round; /* each parked thread prints its stack when this moves */
static u32 watchdog_fired;
/* atomic */
static bool guard_off[SYNC_GUARD_COUNT];

static void lock_table(void)
{
	pthread_mutex_lock(&lock);
	if (!changed_ready) {
		pthread_condattr_t attr;

		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		pthread_cond_init(&changed, &attr);
		pthread_condattr_destroy(&attr);
		changed_ready = true;
	}
}

static void unlock_table(void)
{
	pthread_mutex_unlock(&lock);
}

static void entry_free(struct entry *e)
{
	e->kind = ENTRY_FREE;
	__atomic_sub_fetch(&sync_point_armed, 1, __ATOMIC_RELAXED);
}

static bool entry_matches(const struct entry *e, const char *name, const u64 *keys)
{
	if (e->kind == ENTRY_FREE || e->state != ENTRY_ARMED || strcmp(e->name, name))
		return false;
	for (u32 i = 0; i < SYNC_KEY_COUNT; i++)
		if (e->key_mask & 1u << i && e->keys[i] != keys[i])
			return false;
	return true;
}

static struct timespec deadline(double seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)seconds;
	until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

static double watchdog_seconds(void)
{
	const char *s = getenv("BTRFUSE_TEST_WATCHDOG");
	double v = s ? strtod(s, NULL) : 0;

	return v > 0 ? v : 10;
}

static void dump_own_stack(const struct entry *e)
{
	void *frames[48];

	fprintf(stderr, "btrfuse: sync point watchdog: thread %d parked at %s:\n", (int)e->tid,
		e->name);
	backtrace_symbols_fd(frames, backtrace(frames, ARRAY_SIZE(frames)), STDERR_FILENO);
}

/* Parks this thread on @e until it is released or the watchdog ends its patience. Lock held;
 * released while waiting. */
static void entry_park(struct entry *e)
{
	struct timespec until = deadline(watchdog_seconds());
	u32 dumped = dump_round;

	e->state = ENTRY_PARKED;
	e->tid = (pid_t)syscall(SYS_gettid);
	pthread_cond_broadcast(&changed);
	while (e->state == ENTRY_PARKED) {
		if (pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT) {
			watchdog_fired++;
			dump_round++;
			e->state = ENTRY_RELEASED;
			pthread_cond_broadcast(&changed);
		}
		if (dump_round != dumped)
			dump_own_stack(e);
		dumped = dump_round;
	}
	entry_free(e);
	pthread_cond_broadcast(&changed);
}

/* One hit: the error to inject, after parking where a test asked for it. */
static int point_pass(const char *name, const struct sync_keys *keys, bool may_fail)
{
	u64 values[SYNC_KEY_COUNT];
	struct entry *park = NULL;
	int error = 0;

	if (__atomic_load_n(&sync_schedule_on, __ATOMIC_RELAXED))
		error = -sync_schedule_pass(name, may_fail);
	memcpy(values, keys, sizeof(values));
	values[SYNC_KEY_TID] = (u64)syscall(SYS_gettid);
	lock_table();
	for (struct entry *e = entries; e < entries + ENTRIES_MAX; e++) {
		if (!entry_matches(e, name, values))
			continue;
		if (e->kind == ENTRY_CRASH && --e->count == 0)
			_exit(CRASH_STATUS);
		if (e->kind == ENTRY_PARK && !park && --e->count == 0)
			park = e;
		if (e->kind == ENTRY_FAIL && may_fail && !error) {
			error = e->error;
			if (--e->count == 0)
				entry_free(e);
		}
	}
	if (park)
		entry_park(park);
	unlock_table();
	return -error;
}

void sync_point_hit(const char *name, const struct sync_keys *keys)
{
	int unused = point_pass(name, keys, false);

	(void)unused;
}

int sync_point_fail(const char *name, const struct sync_keys *keys)
{
	return point_pass(name, keys, true);
}

bool sync_guard_on(enum sync_guard guard)
{
	return !__atomic_load_n(&guard_off[guard], __ATOMIC_RELAXED);
}

/* ---- commands ---- */

struct reply {
	char *text;
	size_t size, used;
};

static void _printf_(2, 3) reply_add(struct reply *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (r->used >= r->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(r->text + r->used, r->size - r->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		r->used = MIN(r->used + (size_t)n, r->size - 1);
}

static int parse_errno(const char *word)
{
	static const struct {
		const char *name;
		int value;
	} names[] = {
		{"EIO", EIO},       {"ENOSPC", ENOSPC},   {"ENOMEM", ENOMEM},
		{"EINTR", EINTR},   {"EROFS", EROFS},     {"EAGAIN", EAGAIN},
		{"EINVAL", EINVAL}, {"EUCLEAN", EUCLEAN}, {"EDQUOT", EDQUOT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(word, names[i].name))
			return names[i].value;
	return abs(atoi(word));
}

static bool parse_key(struct entry *e, const char *word)
{
	const char *eq = strchr(word, '=');

	for (u32 i = 0; i < SYNC_KEY_COUNT; i++) {
		if (strncmp(word, sync_key_names[i], (size_t)(eq - word)) || sync_key_names[i][eq - word])
			continue;
		e->key_mask |= 1u << i;
		e->keys[i] = strtoull(eq + 1, NULL, 0);
		return true;
	}
	return false;
}

/* NAME [ERRNO] [KEY=VALUE...] [N] */
static void command_arm(enum entry_kind kind, char **save, struct reply *r)
{
	struct entry new = {.kind = kind, .count = 1};
	char *word = strtok_r(NULL, " \t", save);

	if (!word || strlen(word) >= NAME_MAX_LEN)
		return reply_add(r, "error name missing or too long");
	strcpy(new.name, word);
	if (kind == ENTRY_FAIL) {
		word = strtok_r(NULL, " \t", save);
		new.error = word ? parse_errno(word) : 0;
		if (!new.error)
			return reply_add(r, "error errno missing");
	}
	while ((word = strtok_r(NULL, " \t", save))) {
		if (!strchr(word, '='))
			new.count = strtoull(word, NULL, 0);
		else if (!parse_key(&new, word))
			return reply_add(r, "error unknown key %s", word);
	}
	if (!new.count)
		return reply_add(r, "error bad count");
	lock_table();
	for (struct entry *e = entries; e < entries + ENTRIES_MAX; e++) {
		if (e->kind != ENTRY_FREE)
			continue;
		*e = new;
		__atomic_add_fetch(&sync_point_armed, 1, __ATOMIC_RELAXED);
		unlock_table();
		return reply_add(r, "ok %s", new.name);
	}
	unlock_table();
	reply_add(r, "error too many armed points");
}

static const struct entry *entry_parked(const char *name)
{
	for (struct entry *e = entries; e < entries + ENTRIES_MAX; e++)
		if (e->kind == ENTRY_PARK && e->state == ENTRY_PARKED && !strcmp(e->name, name))
			return e;
	return NULL;
}

static void command_wait(char **save, struct reply *r)
{
	const char *name = strtok_r(NULL, " \t", save);
	const char *seconds = strtok_r(NULL, " \t", save);
	struct timespec until = deadline(seconds ? strtod(seconds, NULL) : watchdog_seconds());
	const struct entry *e;
	int err = 0;

	if (!name)
		return reply_add(r, "error name missing");
	lock_table();
	while (!(e = entry_parked(name)) && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&changed, &lock, &until);
	if (e)
		reply_add(r, "ok %s tid=%d", name, (int)e->tid);
	else
		reply_add(r, "error timeout: nobody at %s", name);
	unlock_table();
}

/* Parked threads go on, armed entries are forgotten; also those of fail and crash. */
static void command_release(char **save, struct reply *r)
{
	const char *name = strtok_r(NULL, " \t", save);
	u32 released = 0;

	if (!name)
		return reply_add(r, "error name missing");
	lock_table();
	for (struct entry *e = entries; e < entries + ENTRIES_MAX; e++) {
		if (e->kind == ENTRY_FREE || (strcmp(name, "all") && strcmp(name, e->name)))
			continue;
		if (e->state == ENTRY_PARKED) {
			e->state = ENTRY_RELEASED;
			released++;
		} else if (e->state == ENTRY_ARMED) {
			entry_free(e);
		}
	}
	pthread_cond_broadcast(&changed);
	unlock_table();
	reply_add(r, "ok released=%u", released);
}

static void command_guard(char **save, struct reply *r)
{
	const char *name = strtok_r(NULL, " \t", save);
	const char *value = strtok_r(NULL, " \t", save);

	if (!name || !value || (strcmp(value, "on") && strcmp(value, "off")))
		return reply_add(r, "error usage: guard NAME on|off");
	for (u32 i = 0; i < SYNC_GUARD_COUNT; i++) {
		if (strcmp(name, guard_names[i]))
			continue;
		__atomic_store_n(&guard_off[i], !strcmp(value, "off"), __ATOMIC_RELAXED);
		return reply_add(r, "ok %s=%s", name, value);
	}
	reply_add(r, "error no guard %s", name);
}

/* SEED [faults] | off | nothing: how often somebody was let go. */
static void command_schedule(char **save, struct reply *r)
{
	const char *word = strtok_r(NULL, " \t", save), *more = strtok_r(NULL, " \t", save);
	bool off = word && !strcmp(word, "off");
	int was = __atomic_load_n(&sync_schedule_on, __ATOMIC_RELAXED);

	if (off)
		(void)sync_schedule_stop();
	else if (word && !sync_schedule_start(strtoull(word, NULL, 0), more && !strcmp(more, "faults")))
		return reply_add(r, "error no thread");
	__atomic_add_fetch(&sync_point_armed,
			   __atomic_load_n(&sync_schedule_on, __ATOMIC_RELAXED) - was,
			   __ATOMIC_RELAXED);
	reply_add(r, "ok %llu", (unsigned long long)sync_schedule_picks());
}

static void command_guards(struct reply *r)
{
	reply_add(r, "ok");
	for (u32 i = 0; i < SYNC_GUARD_COUNT; i++)
		reply_add(r, " %s=%s", guard_names[i],
			  sync_guard_on((enum sync_guard)i) ? "on" : "off");
}

static void command_threads(struct reply *r)
{
	lock_table();
	reply_add(r, "ok watchdog=%u", watchdog_fired);
	for (struct entry *e = entries; e < entries + ENTRIES_MAX; e++)
		if (e->kind == ENTRY_PARK && e->state == ENTRY_PARKED)
			reply_add(r, " %d:%s", (int)e->tid, e->name);
	unlock_table();
}

void sync_point_command(const char *line, char *reply, size_t size)
{
	char copy[256], *save = NULL, *verb;
	struct reply r = {.text = reply, .size = size};

	snprintf(copy, sizeof(copy), "%s", line);
	verb = strtok_r(copy, " \t\r\n", &save);
	if (save)
		save[strcspn(save, "\r\n")] = 0;
	if (!verb)
		reply_add(&r, "error empty command");
	else if (!strcmp(verb, "arm"))
		command_arm(ENTRY_PARK, &save, &r);
	else if (!strcmp(verb, "fail"))
		command_arm(ENTRY_FAIL, &save, &r);
	else if (!strcmp(verb, "crash"))
		command_arm(ENTRY_CRASH, &save, &r);
	else if (!strcmp(verb, "wait"))
		command_wait(&save, &r);
	else if (!strcmp(verb, "release"))
		command_release(&save, &r);
	else if (!strcmp(verb, "guard"))
		command_guard(&save, &r);
	else if (!strcmp(verb, "guards"))
		command_guards(&r);
	else if (!strcmp(verb, "schedule"))
		command_schedule(&save, &r);
	else if (!strcmp(verb, "threads"))
		command_threads(&r);
	else
		reply_add(&r, "error unknown command %s", verb);
}

#endif
