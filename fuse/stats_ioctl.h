/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats_ioctl.h - what `btrfusectl stats` asks the daemon for: one reply with every counter and one
 * row for each kind of request that came, each with a histogram of its latencies. Shared with
 * btrfusectl: no libfuse here.
 */
#ifndef FUSE_STATS_IOCTL_H
#define FUSE_STATS_IOCTL_H

#include <linux/ioctl.h>

#include "disk/base/types.h"

#define STATS_NAME 24
#define STATS_BUCKETS 32
#define STATS_ROWS 48
#define STATS_COUNTERS 24

/* Bucket 0 holds what took less than 1 microsecond, bucket i what took less than 2^i. */
struct stats_row {
	char name[STATS_NAME];
	u64 count;
	u64 bytes; /* read or written */
	u64 total_ns;
	u64 max_ns;
	u64 buckets[STATS_BUCKETS];
};

struct stats_counter {
	char name[STATS_NAME];
	u64 value;
};

struct stats_reply {
	u32 counter_count;
	u32 row_count;
	struct stats_counter counters[STATS_COUNTERS];
	struct stats_row rows[STATS_ROWS];
};

_Static_assert(sizeof(struct stats_reply) < 16384, "an ioctl's number has 14 bits for the size");

#define BTRFUSE_IOC_STATS _IOR(0xF5, 2, struct stats_reply)

#endif
