/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.c - btrfusectl stats: the daemon's counters, one a line, and a table of its requests.
 * Percentiles come from a histogram whose buckets double: they are the upper end of a bucket.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"
#include "fuse/stats_ioctl.h"

/* Upper end of the bucket that the @permille-th request fell into, in microseconds. */
static u64 percentile_us(const struct stats_row *row, u64 permille)
{
	u64 seen = 0, want = (row->count * permille + 999) / 1000;
	unsigned i = 0;

	for (; i < STATS_BUCKETS - 1; i++) {
		seen += row->buckets[i];
		if (seen >= want)
			break;
	}
	return 1ull << i;
}

static void print_row(const struct stats_row *row)
{
	printf("%-16s %10llu %14llu %9llu %9llu %9llu %9llu %9llu\n", row->name,
	       (unsigned long long)row->count, (unsigned long long)row->bytes,
	       (unsigned long long)(row->total_ns / row->count / 1000),
	       (unsigned long long)percentile_us(row, 500),
	       (unsigned long long)percentile_us(row, 990),
	       (unsigned long long)percentile_us(row, 999),
	       (unsigned long long)(row->max_ns / 1000));
}

static void print_histogram(const struct stats_row *row)
{
	printf("\n%s, microseconds:\n", row->name);
	for (unsigned i = 0; i < STATS_BUCKETS; i++)
		if (row->buckets[i])
			printf("  %s %10llu %10llu\n", i < STATS_BUCKETS - 1 ? " <" : ">=",
			       1ull << (i < STATS_BUCKETS - 1 ? i : i - 1),
			       (unsigned long long)row->buckets[i]);
}

static void print_reply(const struct stats_reply *r, bool histograms)
{
	for (unsigned i = 0; i < r->counter_count; i++)
		printf("%-24s %llu\n", r->counters[i].name,
		       (unsigned long long)r->counters[i].value);
	printf("\n%-16s %10s %14s %9s %9s %9s %9s %9s\n", "request (us)", "count", "bytes", "mean",
	       "p50 <", "p99 <", "p99.9 <", "max");
	for (unsigned i = 0; i < r->row_count; i++)
		print_row(&r->rows[i]);
	for (unsigned i = 0; histograms && i < r->row_count; i++)
		print_histogram(&r->rows[i]);
}

static int ask_and_print(const char *path, bool histograms)
{
	struct stats_reply *r = calloc(1, sizeof(*r));
	int err, fd = ctl_open_dir(path);

	if (fd < 0 || !r) {
		free(r);
		return 1;
	}
	err = ioctl(fd, BTRFUSE_IOC_STATS, r) ? errno : 0;
	close(fd);
	if (!err)
		print_reply(r, histograms);
	else
		ctl_error("cannot ask '%s': %s", path,
			  err == ENOTTY ? "not a btrfuse mount" : strerror(err));
	free(r);
	return err ? 1 : 0;
}

int ctl_stats(struct ctl *ctl, int argc, char **argv)
{
	bool histograms = false;
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "-H") && strcmp(argv[i], "--histogram")) {
			fprintf(stderr, "btrfusectl stats: invalid option '%s'\n", argv[i]);
			return 1;
		}
		histograms = true;
	}
	return ctl_one_argument("stats", argc, i) ? ask_and_print(argv[i], histograms) : 1;
}
