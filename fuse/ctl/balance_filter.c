/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * balance_filter.c - the filter lists of `balance start`: text to struct btrfs_balance_args and
 * back. Pure but for the messages. One difference from btrfs-progs 6.2 on purpose: for a usage
 * range those set the flag of a plain usage too, so that the kernel applies both, and a range from 0
 * takes empty chunks only. What is printed is what those print.
 */
#include <errno.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuse/ctl/ctl.h"

#define MAX_USAGE 100

static bool parse_u64(const char *s, uint64_t *ret)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return !errno && !*end;
}

/* "a..b", "a..", "..b"; neither end may be missing both. */
static bool parse_range(const char *s, uint64_t *start, uint64_t *end)
{
	char text[64];
	char *dots;

	*start = 0;
	*end = UINT64_MAX;
	if (strlen(s) >= sizeof(text))
		return false;
	strcpy(text, s);
	dots = strstr(text, "..");
	if (!dots || !strcmp(text, ".."))
		return false;
	*dots = 0;
	if ((*text && !parse_u64(text, start)) || (dots[2] && !parse_u64(dots + 2, end)))
		return false;
	if (*start > *end) {
		ctl_error("range %llu..%llu doesn't make sense", (unsigned long long)*start,
			  (unsigned long long)*end);
		return false;
	}
	return true;
}

static bool parse_range32(const char *s, uint32_t *min, uint32_t *max)
{
	uint64_t start, end;

	if (!parse_range(s, &start, &end))
		return false;
	if (end == UINT64_MAX)
		end = UINT32_MAX;
	if (start > UINT32_MAX || end > UINT32_MAX)
		return false;
	*min = (uint32_t)start;
	*max = (uint32_t)end;
	return true;
}

static bool set_usage(struct btrfs_balance_args *a, const char *value)
{
	uint64_t n;
	uint32_t min, max;

	if (parse_u64(value, &n) && n <= MAX_USAGE) {
		a->usage = n;
		a->flags = (a->flags & ~BTRFS_BALANCE_ARGS_USAGE_RANGE) | BTRFS_BALANCE_ARGS_USAGE;
		return true;
	}
	if (!parse_range32(value, &min, &max) || min > MAX_USAGE ||
	    (max > MAX_USAGE && max != UINT32_MAX)) {
		ctl_error("invalid usage argument: %s", value);
		return false;
	}
	a->usage_min = min;
	a->usage_max = max;
	a->flags = (a->flags & ~BTRFS_BALANCE_ARGS_USAGE) | BTRFS_BALANCE_ARGS_USAGE_RANGE;
	return true;
}

static bool set_devid(struct btrfs_balance_args *a, const char *value)
{
	uint64_t n;

	if (!parse_u64(value, &n) || !n) {
		ctl_error("invalid devid argument: %s", value);
		return false;
	}
	a->devid = n;
	a->flags |= BTRFS_BALANCE_ARGS_DEVID;
	return true;
}

static bool set_vrange(struct btrfs_balance_args *a, const char *value)
{
	uint64_t start, end;
	bool ok = parse_range(value, &start, &end);

	if (ok && start == end) {
		ctl_error("range %llu..%llu not allowed", (unsigned long long)start,
			  (unsigned long long)end);
		ok = false;
	}
	if (!ok) {
		ctl_error("invalid vrange argument");
		return false;
	}
	a->vstart = start;
	a->vend = end;
	a->flags |= BTRFS_BALANCE_ARGS_VRANGE;
	return true;
}

static bool set_limit(struct btrfs_balance_args *a, const char *value)
{
	uint64_t n;
	uint32_t min, max;

	if (parse_u64(value, &n)) {
		a->limit = n;
		a->flags = (a->flags & ~BTRFS_BALANCE_ARGS_LIMIT_RANGE) | BTRFS_BALANCE_ARGS_LIMIT;
		return true;
	}
	if (!parse_range32(value, &min, &max)) {
		ctl_error("Invalid limit argument: %s", value);
		return false;
	}
	a->limit_min = min;
	a->limit_max = max;
	a->flags = (a->flags & ~BTRFS_BALANCE_ARGS_LIMIT) | BTRFS_BALANCE_ARGS_LIMIT_RANGE;
	return true;
}

static bool set_drange(struct btrfs_balance_args *a, const char *value)
{
	uint64_t start, end;
	bool ok = parse_range(value, &start, &end);

	if (ok && start == end) {
		ctl_error("range %llu..%llu not allowed", (unsigned long long)start,
			  (unsigned long long)end);
		ok = false;
	}
	if (!ok) {
		ctl_error("invalid drange argument");
		return false;
	}
	a->pstart = start;
	a->pend = end;
	a->flags |= BTRFS_BALANCE_ARGS_DRANGE;
	return true;
}

static bool set_stripes(struct btrfs_balance_args *a, const char *value)
{
	uint32_t min, max;

	if (!parse_range32(value, &min, &max)) {
		ctl_error("invalid stripes argument");
		return false;
	}
	a->stripes_min = min;
	a->stripes_max = max;
	a->flags |= BTRFS_BALANCE_ARGS_STRIPES_RANGE;
	return true;
}

static const struct profile {
	const char *name;
	uint64_t bit;
} profiles[] = {
	{"raid10", BTRFS_BLOCK_GROUP_RAID10}, {"raid1c3", BTRFS_BLOCK_GROUP_RAID1C3},
	{"raid1c4", BTRFS_BLOCK_GROUP_RAID1C4}, {"raid1", BTRFS_BLOCK_GROUP_RAID1},
	{"raid0", BTRFS_BLOCK_GROUP_RAID0}, {"raid5", BTRFS_BLOCK_GROUP_RAID5},
	{"raid6", BTRFS_BLOCK_GROUP_RAID6}, {"dup", BTRFS_BLOCK_GROUP_DUP},
	{"single", BTRFS_AVAIL_ALLOC_BIT_SINGLE},
};

/* The profile's bit, or 0. */
static uint64_t profile_bit(const char *name)
{
	for (unsigned i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (!strcasecmp(profiles[i].name, name))
			return profiles[i].bit;
	return 0;
}

static bool set_profiles(struct btrfs_balance_args *a, const char *value)
{
	char text[128], *rest = text, *word;

	snprintf(text, sizeof(text), "%s", value);
	while ((word = strsep(&rest, "|"))) {
		uint64_t bit = profile_bit(word);

		if (!bit) {
			ctl_error("unknown profile: %s", word);
			ctl_error("invalid profiles argument");
			return false;
		}
		a->profiles |= bit;
	}
	a->flags |= BTRFS_BALANCE_ARGS_PROFILES;
	return true;
}

static bool set_convert(struct btrfs_balance_args *a, const char *value)
{
	a->target = profile_bit(value);
	if (!a->target) {
		ctl_error("unknown profile: %s", value);
		ctl_error("invalid convert argument");
		return false;
	}
	a->flags |= BTRFS_BALANCE_ARGS_CONVERT;
	return true;
}

static bool set_soft(struct btrfs_balance_args *a, const char *value)
{
	a->flags |= BTRFS_BALANCE_ARGS_SOFT;
	return true;
}

static const struct filter {
	const char *name;
	bool (*set)(struct btrfs_balance_args *a, const char *value);
	bool alone; /* takes no value */
} filters[] = {
	{"usage", set_usage},	    {"devid", set_devid},     {"vrange", set_vrange},
	{"limit", set_limit},	    {"drange", set_drange},   {"stripes", set_stripes},
	{"profiles", set_profiles}, {"convert", set_convert}, {"soft", set_soft, true},
};

static bool parse_one(char *word, struct btrfs_balance_args *args)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = 0;
	for (unsigned i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		if (strcmp(filters[i].name, word))
			continue;
		if (!filters[i].alone && (!value || !*value)) {
			ctl_error("the %s filter requires an argument", word);
			return false;
		}
		return filters[i].set(args, value);
	}
	ctl_error("unrecognized balance option: %s", word);
	return false;
}

/* What makes sense only together. */
static bool check_pairs(const struct btrfs_balance_args *a)
{
	if (a->flags & BTRFS_BALANCE_ARGS_SOFT && !(a->flags & BTRFS_BALANCE_ARGS_CONVERT)) {
		ctl_error("'soft' option can be used only when converting profiles");
		return false;
	}
	if (a->flags & BTRFS_BALANCE_ARGS_DRANGE && !(a->flags & BTRFS_BALANCE_ARGS_DEVID)) {
		ctl_error("drange filter must be used with devid filter");
		return false;
	}
	return true;
}

bool balance_filter_parse(char *list, struct btrfs_balance_args *args)
{
	char *word;

	while ((word = strsep(&list, ",")))
		if (!parse_one(word, args))
			return false;
	return check_pairs(args);
}

/* ---- and back ---- */

static void dump_range(const char *name, uint32_t min, uint32_t max)
{
	printf(", %s=", name);
	if (min)
		printf("%u", min);
	printf("..");
	if (max != UINT32_MAX)
		printf("%u", max);
}

static void dump_span(const char *name, uint64_t start, uint64_t end)
{
	printf(", %s=%llu..%llu", name, (unsigned long long)start, (unsigned long long)end);
}

static void dump_limits(const struct btrfs_balance_args *a)
{
	if (a->flags & BTRFS_BALANCE_ARGS_LIMIT)
		printf(", limit=%llu", (unsigned long long)a->limit);
	if (a->flags & BTRFS_BALANCE_ARGS_LIMIT_RANGE)
		dump_range("limit", a->limit_min, a->limit_max);
	if (a->flags & BTRFS_BALANCE_ARGS_STRIPES_RANGE)
		dump_range("stripes", a->stripes_min, a->stripes_max);
}

static uint64_t printed_flags(const struct btrfs_balance_args *a)
{
	bool range = a->flags & BTRFS_BALANCE_ARGS_USAGE_RANGE;

	return a->flags | (range ? BTRFS_BALANCE_ARGS_USAGE : 0);
}

static void dump_one(const char *type, const struct btrfs_balance_args *a)
{
	printf("  %s (flags 0x%llx): ", type, (unsigned long long)printed_flags(a));
	if (a->flags & BTRFS_BALANCE_ARGS_CONVERT)
		printf("converting, target=%llu, soft is %s", (unsigned long long)a->target,
		       a->flags & BTRFS_BALANCE_ARGS_SOFT ? "on" : "off");
	else
		printf("balancing");
	if (a->flags & BTRFS_BALANCE_ARGS_PROFILES)
		printf(", profiles=%llu", (unsigned long long)a->profiles);
	if (printed_flags(a) & BTRFS_BALANCE_ARGS_USAGE)
		printf(", usage=%llu", (unsigned long long)a->usage);
	if (a->flags & BTRFS_BALANCE_ARGS_USAGE_RANGE)
		dump_range("usage", a->usage_min, a->usage_max);
	if (a->flags & BTRFS_BALANCE_ARGS_DEVID)
		printf(", devid=%llu", (unsigned long long)a->devid);
	if (a->flags & BTRFS_BALANCE_ARGS_DRANGE)
		dump_span("drange", a->pstart, a->pend);
	if (a->flags & BTRFS_BALANCE_ARGS_VRANGE)
		dump_span("vrange", a->vstart, a->vend);
	dump_limits(a);
	printf("\n");
}

void balance_filter_dump(const struct btrfs_ioctl_balance_args *args)
{
	printf("Dumping filters: flags 0x%llx, state 0x%llx, force is %s\n",
	       (unsigned long long)args->flags, (unsigned long long)args->state,
	       args->flags & BTRFS_BALANCE_FORCE ? "on" : "off");
	if (args->flags & BTRFS_BALANCE_DATA)
		dump_one("DATA", &args->data);
	if (args->flags & BTRFS_BALANCE_METADATA)
		dump_one("METADATA", &args->meta);
	if (args->flags & BTRFS_BALANCE_SYSTEM)
		dump_one("SYSTEM", &args->sys);
}
