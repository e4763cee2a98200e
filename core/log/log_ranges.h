/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_ranges.h - a small set of byte ranges: what of a file has changed since it was last logged.
 *
 * Invariants: sorted, not empty, at least one byte apart. Pure; the owner locks. The set is bounded: when
 * it is full it becomes one range that covers all, which is more work for whoever asks, never less.
 */
#ifndef CORE_LOG_LOG_RANGES_H
#define CORE_LOG_LOG_RANGES_H

#include "disk/base/types.h"

#define LOG_RANGES_MAX 512u

struct log_range {
	u64 start, end;
};

struct log_ranges {
	struct log_range *v;
	u32 count, room;
};

/* Adds [start, end), start < end. -ENOMEM: unchanged. */
_must_check_ int log_ranges_add(struct log_ranges *set, u64 start, u64 end);
/* Leaves what lies at @from or behind. */
void log_ranges_keep_from(struct log_ranges *set, u64 from);
void log_ranges_free(struct log_ranges *set);
#define _cleanup_log_ranges_ _cleanup_(log_ranges_free)

#endif
