/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sync_point.h - named places where a test can park, fail or kill a thread, and switches that turn
 * one guard off. Test builds only (-DBTRFUSE_TEST); otherwise no code and no string is left of them.
 * The server starts when BTRFUSE_TEST_SOCKET is set and sync_point_start() is called (after
 * daemonizing).
 *
 * Protocol, one command a line, one reply line "ok ..." or "error REASON":
 *   arm NAME [KEY=VALUE...] [N]          park one thread: the Nth that passes NAME with these keys
 *   wait NAME SECONDS                    until a thread is parked there
 *   release NAME|all                     lets parked threads go and disarms
 *   fail NAME ERRNO [KEY=VALUE...] [N]   the next N passes of SP_FAIL get -ERRNO (number or name)
 *   crash NAME [KEY=VALUE...] [N]        _exit(137) at the Nth pass
 *   guard NAME on|off
 *   guards
 *   threads
 *   schedule [SEED [faults]|off]         chance decides who goes on (sync_schedule.c); how often it did
 * A parked thread is released, with stacks on standard error, after BTRFUSE_TEST_WATCHDOG seconds
 * (default 10). Keys: ino off len bytenr to bg root transid tid; numbers decimal or 0x.
 *
 * BTRFUSE_TRACE=PATH: TRACE() events, one JSON object a line (sync_trace.c).
 */
#ifndef DISK_BASE_SYNC_POINT_H
#define DISK_BASE_SYNC_POINT_H

#include "disk/base/types.h"

/* sync_key_names[] stand in this order; tid is filled in. */
struct sync_keys {
	u64 ino, off, len, bytenr, to, bg, root, transid, tid;
};

#define SYNC_KEY_COUNT (sizeof(struct sync_keys) / sizeof(u64))
#define SYNC_KEY_TID (SYNC_KEY_COUNT - 1)

/* Every guard that a test may switch off; each race row (tests/scenarios) names its own. Switched
 * off, a guard's call or test is skipped. Where the design avoids a mistake by having nothing in its
 * place, there is nothing to skip, and the switch makes the mistake: last_snapshot, switch_cas (looks at
 * references early, once), hold_trans (joins), keep_type, all_pieces, own_thread. ro_check and divert
 * are one test, seen from the content and from the time that a drain takes. */
#define SYNC_GUARDS(X)                                                                             \
	X(drain)                                                                                   \
	X(token_until_io)                                                                          \
	X(ro_check)                                                                                \
	X(token_atomic)                                                                            \
	X(token_until_convert)                                                                     \
	X(resv_drain)                                                                              \
	X(copy_flush)                                                                              \
	X(pin)                                                                                     \
	X(last_snapshot)                                                                           \
	X(switch_cas)                                                                              \
	X(token_each)                                                                              \
	X(divert)                                                                                  \
	X(put_on_error)                                                                            \
	X(inflight_drain)                                                                          \
	X(hold_trans)                                                                              \
	X(fsync_inflight)                                                                          \
	X(switch_fsync)                                                                            \
	X(keep_type)                                                                               \
	X(all_pieces)                                                                              \
	X(crossref)                                                                                \
	X(inflight_wait)                                                                           \
	X(cluster_check)                                                                           \
	X(bad_source)                                                                              \
	X(epoch)                                                                                   \
	X(ro_undo)                                                                                 \
	X(refs_at_once)                                                                            \
	X(own_thread)                                                                              \
	X(exclop)                                                                                  \
	X(give_back)                                                                               \
	X(reserve_switch)                                                                          \
	X(settle_again)                                                                            \
	X(bg_remove)                                                                               \
	X(resume_rule)

enum sync_guard {
#define SYNC_GUARD_ENUM(name) SYNC_GUARD_##name,
	SYNC_GUARDS(SYNC_GUARD_ENUM)
#undef SYNC_GUARD_ENUM
		SYNC_GUARD_COUNT
};

#ifdef BTRFUSE_TEST

extern const char *const sync_key_names[];
extern int sync_point_armed; /* number of armed commands; read without a lock, so only a hint */

void sync_point_hit(const char *name, const struct sync_keys *keys);
int sync_point_fail(const char *name, const struct sync_keys *keys);
bool sync_guard_on(enum sync_guard guard);
void sync_trace(const char *event, const struct sync_keys *keys);

/* Starts the server if the environment asks for it. 0 or negative errno. */
_must_check_ int sync_point_start(void);
/* One command as over the socket; the reply without newline. For unit tests. */
void sync_point_command(const char *line, char *reply, size_t size);

#define SP_ARMED() unlikely(__atomic_load_n(&sync_point_armed, __ATOMIC_RELAXED))

/* May park the calling thread, whatever locks it holds. */
#define SP(name, ...)                                                                              \
	do {                                                                                       \
		if (SP_ARMED())                                                                    \
			sync_point_hit(name, &(const struct sync_keys){__VA_ARGS__});              \
	} while (0)

/* Like SP, then 0 or the -errno that a test injected. */
#define SP_FAIL(name, ...)                                                                         \
	(SP_ARMED() ? sync_point_fail(name, &(const struct sync_keys){__VA_ARGS__}) : 0)

/* True unless a test switched this guard off. */
#define GUARD(name) sync_guard_on(SYNC_GUARD_##name)

/* Something happened. Where the order matters, inside the lock that makes it. */
#define TRACE(event, ...) sync_trace(event, &(const struct sync_keys){__VA_ARGS__})

#else

#define SP(name, ...) ((void)sizeof((struct sync_keys){__VA_ARGS__}))
#define SP_FAIL(name, ...) ((void)sizeof((struct sync_keys){__VA_ARGS__}), 0)
#define GUARD(name) ((void)SYNC_GUARD_##name, true)
#define TRACE(event, ...) ((void)sizeof((struct sync_keys){__VA_ARGS__}))

static inline int sync_point_start(void)
{
	return 0;
}

#endif

#endif
