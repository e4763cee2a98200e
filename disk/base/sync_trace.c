/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sync_trace.c - what happened, in the order in which it happened: one JSON object a line in the
 * file that BTRFUSE_TRACE names, with the actions of tests/model/p1.pml. Test builds only.
 * An event is written where it happens, inside the lock that decides the order of such events.
 * Lock: one plain mutex (unranked, as in sync_point.c); nothing is taken inside it.
 */
#include "disk/base/sync_point.h"

#ifdef BTRFUSE_TEST

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk/base/log.h"

#define LINE_MAX_LEN 512

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace_fd = -1;

static void open_trace(void)
{
	const char *path = getenv("BTRFUSE_TRACE");

	if (!path || !*path)
		return;
	trace_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (trace_fd < 0)
		log_fault("trace: %s: %s", path, strerror(errno));
}

static int format(char *line, size_t size, const char *event, const struct sync_keys *keys)
{
	u64 values[SYNC_KEY_COUNT];
	int n = snprintf(line, size, "{\"event\": \"%s\"", event);

	memcpy(values, keys, sizeof(values));
	values[SYNC_KEY_TID] = (u64)syscall(SYS_gettid);
	for (u32 i = 0; i < SYNC_KEY_COUNT; i++)
		n += snprintf(line + n, size - (size_t)n, ", \"%s\": %llu", sync_key_names[i],
			      (unsigned long long)values[i]);
	return n + snprintf(line + n, size - (size_t)n, "}\n");
}

void sync_trace(const char *event, const struct sync_keys *keys)
{
	char line[LINE_MAX_LEN];
	int len;

	pthread_once(&once, open_trace);
	if (trace_fd < 0)
		return;
	len = format(line, sizeof(line), event, keys);
	pthread_mutex_lock(&lock);
	if (write(trace_fd, line, (size_t)len) != len)
		log_fault("trace: an event is lost");
	pthread_mutex_unlock(&lock);
}

#endif
