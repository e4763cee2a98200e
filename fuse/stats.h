/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.h - how many requests of each kind came, and how long each took from the kernel's message
 * to the end of its handler (the answer to a balance comes later).
 *
 * Each request thread counts in a table of its own and is the only one to write there, so counting
 * costs two readings of the clock and no lock; whoever asks adds the tables up.
 */
#ifndef FUSE_STATS_H
#define FUSE_STATS_H

#include "fuse/stats_ioctl.h"

struct stats;

/* NULL when memory is short. */
struct stats *stats_new(unsigned threads);
void stats_free(struct stats *s); /* accepts NULL */

u64 stats_clock_ns(void);

/* @thread is the caller's own number; @bytes were read or written. */
void stats_note(struct stats *s, unsigned thread, u32 opcode, u64 ns, u64 bytes);

/* Fills the rows of all kinds that came. */
void stats_rows(const struct stats *s, struct stats_reply *ret);

#endif
