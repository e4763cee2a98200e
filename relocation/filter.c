/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filter.c - see filter.h. */
#include "relocation/filter.h"

#include <errno.h>

#include "disk/volume/chunk_map.h"

#define SUPPORTED_FILTERS                                                                          \
	(BTRFS_BALANCE_ARGS_USAGE | BTRFS_BALANCE_ARGS_USAGE_RANGE | BTRFS_BALANCE_ARGS_DEVID |    \
	 BTRFS_BALANCE_ARGS_VRANGE | BTRFS_BALANCE_ARGS_LIMIT | BTRFS_BALANCE_ARGS_LIMIT_RANGE)

struct filter_name {
	u64 bit;
	const char *name;
};

static const struct filter_name unsupported_filters[] = {
	{ BTRFS_BALANCE_ARGS_PROFILES, "profiles" },
	{ BTRFS_BALANCE_ARGS_DRANGE, "drange" },
	{ BTRFS_BALANCE_ARGS_STRIPES_RANGE, "stripes" },
	{ BTRFS_BALANCE_ARGS_CONVERT, "convert" },
	{ BTRFS_BALANCE_ARGS_SOFT, "soft" },
};

static int check_flags(u64 flags, struct reason *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsupported_filters); i++) {
		if (!(flags & unsupported_filters[i].bit))
			continue;
		reason_set(why, "balance filter %s is not supported", unsupported_filters[i].name);
		return -EOPNOTSUPP;
	}
	if (!(flags & ~(u64)SUPPORTED_FILTERS))
		return 0;
	reason_set(why, "unknown balance filter 0x%llx",
		   (unsigned long long)(flags & ~(u64)SUPPORTED_FILTERS));
	return -EOPNOTSUPP;
}

static int parse_one(const struct btrfs_balance_args *args, struct balance_filter *ret,
		     struct reason *why)
{
	u64 flags = args->flags;
	int r = check_flags(flags, why);

	if (r < 0)
		return r;
	ret->wanted = true;
	ret->flags = flags;
	ret->usage_max = args->usage;
	if (flags & BTRFS_BALANCE_ARGS_USAGE_RANGE) {
		ret->usage_min = args->usage_min;
		ret->usage_max = args->usage_max;
	}
	ret->devid = args->devid;
	ret->vstart = args->vstart;
	ret->vend = args->vend;
	ret->limit_max = UINT64_MAX;
	if (flags & BTRFS_BALANCE_ARGS_LIMIT)
		ret->limit_max = args->limit;
	if (flags & BTRFS_BALANCE_ARGS_LIMIT_RANGE) {
		ret->limit_min = args->limit_min;
		ret->limit_max = args->limit_max;
	}
	return 0;
}

int balance_filters_parse(const struct btrfs_ioctl_balance_args *args, struct balance_filters *ret,
			  struct reason *why)
{
	int r = 0;

	*ret = (struct balance_filters){};
	if (!(args->flags & BTRFS_BALANCE_TYPE_MASK) ||
	    args->flags & ~(u64)(BTRFS_BALANCE_TYPE_MASK | BTRFS_BALANCE_FORCE)) {
		reason_set(why, "balance flags 0x%llx", (unsigned long long)args->flags);
		return -EINVAL;
	}
	if (args->flags & BTRFS_BALANCE_DATA)
		r = parse_one(&args->data, &ret->data, why);
	if (r == 0 && args->flags & BTRFS_BALANCE_METADATA)
		r = parse_one(&args->meta, &ret->metadata, why);
	if (r == 0 && args->flags & BTRFS_BALANCE_SYSTEM)
		r = parse_one(&args->sys, &ret->system, why);
	return r;
}

struct balance_filter *balance_filter_for(struct balance_filters *filters, u64 type)
{
	if (type & BTRFS_BLOCK_GROUP_DATA)
		return &filters->data;
	return type & BTRFS_BLOCK_GROUP_METADATA ? &filters->metadata : &filters->system;
}

static u64 percent_of(u64 percent, u64 whole)
{
	return percent >= 100 ? whole : whole / 100 * percent + whole % 100 * percent / 100;
}

/* `usage=N` takes groups that are less than N percent full; `usage=0` only empty ones. A range is
 * from its minimum on. */
static bool usage_matches(const struct balance_filter *f, u64 length, u64 used)
{
	u64 below = f->usage_max == 0 ? 1 : percent_of(f->usage_max, length);

	if (f->flags & BTRFS_BALANCE_ARGS_USAGE_RANGE) {
		if (f->usage_max > 100)
			below = length;
		return used >= percent_of(f->usage_min, length) && used < below;
	}
	return !(f->flags & BTRFS_BALANCE_ARGS_USAGE) || used < below;
}

static bool devid_matches(const struct balance_filter *f, const struct chunk *chunk)
{
	if (!(f->flags & BTRFS_BALANCE_ARGS_DEVID))
		return true;
	for (unsigned i = 0; i < chunk->num_stripes; i++)
		if (chunk->stripes[i].devid == f->devid)
			return true;
	return false;
}

static bool vrange_matches(const struct balance_filter *f, const struct chunk *chunk)
{
	return !(f->flags & BTRFS_BALANCE_ARGS_VRANGE) ||
	       (chunk->logical < f->vend && chunk->logical + chunk->length > f->vstart);
}

bool balance_filter_match(const struct balance_filter *f, const struct chunk *chunk, u64 used)
{
	return f->wanted && usage_matches(f, chunk->length, used) && devid_matches(f, chunk) &&
	       vrange_matches(f, chunk);
}
