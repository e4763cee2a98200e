/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.c - one line, one write(2), so that lines of several threads never mix.
 * Invariant: no lock of ours is taken. syslog(3) may block on its socket for a moment; faults are
 * rare.
 */
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "disk/base/log.h"

static const char *syslog_ident; /* atomic; NULL: standard error */
static u64 fault_count;          /* atomic */
static __thread struct reason *captured; /* see log_capture() */

static void log_line(int priority, const char *fmt, va_list ap)
{
	char line[512] = "btrfuse: ";
	size_t start = strlen(line);
	int saved = errno;
	int len = vsnprintf(line + start, sizeof(line) - start - 1, fmt, ap);
	size_t end = start + (len < 0 ? 0 : MIN((size_t)len, sizeof(line) - start - 2));

	if (__atomic_load_n(&syslog_ident, __ATOMIC_ACQUIRE)) {
		syslog(priority, "%s", line + start);
	} else {
		line[end] = '\n';
		if (write(STDERR_FILENO, line, end + 1) < 0)
			errno = 0; /* nobody left to tell */
	}
	errno = saved;
}

void log_fault(const char *fmt, ...)
{
	va_list ap;

	__atomic_add_fetch(&fault_count, 1, __ATOMIC_RELAXED);
	va_start(ap, fmt);
	if (!captured)
		log_line(LOG_ERR, fmt, ap);
	else if (!captured->text[0])
		vsnprintf(captured->text, sizeof(captured->text), fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_INFO, fmt, ap);
	va_end(ap);
}

void log_capture(struct reason *sink)
{
	captured = sink;
}

void log_to_syslog(const char *ident)
{
	openlog(ident, LOG_PID, LOG_DAEMON);
	__atomic_store_n(&syslog_ident, ident, __ATOMIC_RELEASE);
}

u64 log_fault_count(void)
{
	return __atomic_load_n(&fault_count, __ATOMIC_RELAXED);
}
