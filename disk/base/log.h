/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - one line for a fault, written where it arises. Standard error until log_to_syslog().
 * Thread safe, takes no ranked lock, may be called under any lock (it does not wait for a device of
 * ours).
 */
#ifndef DISK_BASE_LOG_H
#define DISK_BASE_LOG_H

#include "disk/base/reason.h"
#include "disk/base/types.h"

/* Something broke (bad checksum, I/O error, impossible state); counted. */
void log_fault(const char *fmt, ...) _printf_(1, 2);

/* Something a person may want to know. */
void log_info(const char *fmt, ...) _printf_(1, 2);

/* From now on lines go to syslog under @ident (which must stay valid). */
void log_to_syslog(const char *ident);

/* Until the next call, faults of this thread go to @sink (the first one stays) instead of the log:
 * a mount that fails prints one line, and that line is the fault. NULL ends it. */
void log_capture(struct reason *sink);

/* Faults since start. */
u64 log_fault_count(void);

#endif
