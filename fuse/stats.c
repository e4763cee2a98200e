/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stats.c - see stats.h; and the ioctl that hands everything that is counted to btrfusectl. */
#include "fuse/stats.h"

#include <linux/fuse.h>
#include <stdio.h>
#include <time.h>

#include "core/trans/transaction.h"
#include "core/tree/node_cache.h"
#include "disk/base/log.h"
#include "disk/device/device.h"
#include "fuse/ioctl.h"

#define KINDS 64u
#define OPCODE_STATX 52

struct kind {
	u64 count, bytes, total_ns, max_ns;
	u64 buckets[STATS_BUCKETS];
};

struct stats {
	unsigned threads;
	struct kind kinds[]; /* KINDS for each thread */
};

static const char *const names[KINDS] = {
	[0] = "other",
	[FUSE_LOOKUP] = "lookup",
	[FUSE_FORGET] = "forget",
	[FUSE_BATCH_FORGET] = "forget-batch",
	[FUSE_GETATTR] = "getattr",
	[FUSE_SETATTR] = "setattr",
	[OPCODE_STATX] = "statx",
	[FUSE_READLINK] = "readlink",
	[FUSE_SYMLINK] = "symlink",
	[FUSE_MKNOD] = "mknod",
	[FUSE_MKDIR] = "mkdir",
	[FUSE_CREATE] = "create",
	[FUSE_TMPFILE] = "tmpfile",
	[FUSE_LINK] = "link",
	[FUSE_UNLINK] = "unlink",
	[FUSE_RMDIR] = "rmdir",
	[FUSE_RENAME] = "rename",
	[FUSE_RENAME2] = "rename2",
	[FUSE_OPEN] = "open",
	[FUSE_RELEASE] = "release",
	[FUSE_READ] = "read",
	[FUSE_WRITE] = "write",
	[FUSE_FLUSH] = "flush",
	[FUSE_FSYNC] = "fsync",
	[FUSE_FALLOCATE] = "fallocate",
	[FUSE_LSEEK] = "lseek",
	[FUSE_COPY_FILE_RANGE] = "copy_file_range",
	[FUSE_OPENDIR] = "opendir",
	[FUSE_READDIR] = "readdir",
	[FUSE_READDIRPLUS] = "readdirplus",
	[FUSE_RELEASEDIR] = "releasedir",
	[FUSE_FSYNCDIR] = "fsyncdir",
	[FUSE_GETXATTR] = "getxattr",
	[FUSE_SETXATTR] = "setxattr",
	[FUSE_LISTXATTR] = "listxattr",
	[FUSE_REMOVEXATTR] = "removexattr",
	[FUSE_IOCTL] = "ioctl",
	[FUSE_STATFS] = "statfs",
	[FUSE_SYNCFS] = "syncfs",
};

struct stats *stats_new(unsigned threads)
{
	struct stats *s = calloc(1, sizeof(*s) + threads * KINDS * sizeof(struct kind));

	if (s)
		s->threads = threads;
	return s;
}

void stats_free(struct stats *s)
{
	free(s);
}

u64 stats_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* One writer: no need to lock the bus. */
static void add(u64 *counter, u64 n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static u64 value_of(const u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static unsigned bucket_of(u64 ns)
{
	u64 us = ns / 1000;
	unsigned bits = us ? 64u - (unsigned)__builtin_clzll(us) : 0;

	return MIN(bits, STATS_BUCKETS - 1u);
}

void stats_note(struct stats *s, unsigned thread, u32 opcode, u64 ns, u64 bytes)
{
	struct kind *k = &s->kinds[thread * KINDS + (opcode < KINDS && names[opcode] ? opcode : 0)];

	add(&k->count, 1);
	add(&k->bytes, bytes);
	add(&k->total_ns, ns);
	add(&k->buckets[bucket_of(ns)], 1);
	if (ns > k->max_ns)
		__atomic_store_n(&k->max_ns, ns, __ATOMIC_RELAXED);
}

static void row_add(struct stats_row *row, const struct kind *k)
{
	row->count += value_of(&k->count);
	row->bytes += value_of(&k->bytes);
	row->total_ns += value_of(&k->total_ns);
	row->max_ns = MAX(row->max_ns, value_of(&k->max_ns));
	for (unsigned i = 0; i < STATS_BUCKETS; i++)
		row->buckets[i] += value_of(&k->buckets[i]);
}

void stats_rows(const struct stats *s, struct stats_reply *ret)
{
	ret->row_count = 0;
	for (unsigned kind = 0; kind < KINDS && ret->row_count < STATS_ROWS; kind++) {
		struct stats_row row = {};

		if (!names[kind])
			continue;
		for (unsigned t = 0; t < s->threads; t++)
			row_add(&row, &s->kinds[t * KINDS + kind]);
		snprintf(row.name, sizeof(row.name), "%s", names[kind]);
		if (row.count)
			ret->rows[ret->row_count++] = row;
	}
}

static void counter(struct stats_reply *ret, const char *name, u64 value)
{
	struct stats_counter *c = &ret->counters[ret->counter_count++];

	snprintf(c->name, sizeof(c->name), "%s", name);
	c->value = value;
}

static void counters(struct fs *fs, struct stats_reply *ret)
{
	struct node_cache_stats cache;
	struct device_traffic device;

	node_cache_stats(fs, &cache);
	volume_traffic(fs->vol, &device);
	counter(ret, "transaction", trans_running_id(fs));
	counter(ret, "durable_transaction", trans_durable_id(fs));
	counter(ret, "faults", log_fault_count());
	counter(ret, "device_reads", device.reads);
	counter(ret, "device_bytes_read", device.read_bytes);
	counter(ret, "device_writes", device.writes);
	counter(ret, "device_bytes_written", device.written_bytes);
	counter(ret, "device_flushes", device.flushes);
	counter(ret, "node_cache_bytes", cache.bytes);
	counter(ret, "node_cache_nodes", cache.nodes);
	counter(ret, "node_cache_hits", cache.hits);
	counter(ret, "node_cache_misses", cache.misses);
	counter(ret, "node_cache_evictions", cache.evictions);
}

int ioctl_stats(struct ioctl_call *c)
{
	struct stats_reply *ret = c->out;

	counters(c->e->fs, ret);
	stats_rows(c->e->stats, ret);
	c->out_len = sizeof(*ret);
	return 0;
}
