/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filter.c - see filter.h. */
#include "relocation/filter.h"

#include <errno.h>
#include <linux/btrfs_tree.h>

#include "disk/volume/chunk_map.h"

/* The kernel tests the flags of a balance against those of its filters, too. */
#define TYPE_FLAGS                                                                                 \
	(BTRFS_BALANCE_TYPE_MASK | BTRFS_BALANCE_FORCE | BTRFS_BALANCE_RESUME |                    \
	 BTRFS_BALANCE_ARGS_MASK)
#define REDUNDANT (BTRFS_BLOCK_GROUP_PROFILE_MASK & ~(u64)BTRFS_BLOCK_GROUP_RAID0)
#define TARGETS                                                                                    \
	(BTRFS_AVAIL_ALLOC_BIT_SINGLE | BTRFS_BLOCK_GROUP_DUP | BTRFS_BLOCK_GROUP_RAID0)
#define RESUME_USAGE 90

static int check_target(u64 target, struct reason *why)
{
	bool one = target && !(target & (target - 1));

	if (!one || target & ~(BTRFS_EXTENDED_PROFILE_MASK)) {
		reason_set(why, "balance: invalid convert profile 0x%llx",
			   (unsigned long long)target);
		return -EINVAL;
	}
	if (target & TARGETS)
		return 0;
	reason_set(why, "balance: converting to profile 0x%llx is not supported",
		   (unsigned long long)target);
	return -EINVAL;
}

static int check_one(const struct btrfs_balance_args *args, struct reason *why)
{
	return args->flags & BTRFS_BALANCE_ARGS_CONVERT ? check_target(args->target, why) : 0;
}

static void take_ranges(const struct btrfs_balance_args *args, struct balance_filter *ret)
{
	ret->usage = args->usage;
	ret->usage_min = args->usage_min;
	ret->usage_max = args->usage_max;
	ret->limit_max = UINT64_MAX;
	if (args->flags & BTRFS_BALANCE_ARGS_LIMIT) {
		ret->limit_max = args->limit;
	} else if (args->flags & BTRFS_BALANCE_ARGS_LIMIT_RANGE) {
		ret->limit_min = args->limit_min;
		ret->limit_max = args->limit_max;
	}
}

static int parse_one(const struct btrfs_balance_args *args, struct balance_filter *ret,
		     struct reason *why)
{
	int r = check_one(args, why);

	if (r < 0)
		return r;
	*ret = (struct balance_filter){
		.wanted = true,
		.flags = args->flags,
		.profiles = args->profiles,
		.devid = args->devid,
		.pstart = args->pstart,
		.pend = args->pend,
		.vstart = args->vstart,
		.vend = args->vend,
		.stripes_min = args->stripes_min,
		.stripes_max = args->stripes_max,
		.target = args->target,
	};
	take_ranges(args, ret);
	return 0;
}

int balance_filters_parse(const struct btrfs_ioctl_balance_args *args, struct balance_filters *ret,
			  struct reason *why)
{
	int r = 0;

	*ret = (struct balance_filters){};
	if (args->flags & ~(u64)TYPE_FLAGS) {
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

static bool reduces(const struct balance_filter *f, u64 now)
{
	u64 target;

	return balance_filter_converts(f, &target) && now & REDUNDANT && !(target & REDUNDANT);
}

int balance_filters_check_redundancy(const struct balance_filters *filters, u64 flags,
				     const struct balance_profiles *now, struct reason *why)
{
	if (flags & BTRFS_BALANCE_FORCE ||
	    (!reduces(&filters->metadata, now->metadata) && !reduces(&filters->system, now->system)))
		return 0;
	reason_set(why, "balance: reduces metadata redundancy, use --force if you want this");
	return -EINVAL;
}

static void resume_one(struct btrfs_balance_args *args)
{
	const u64 selects = BTRFS_BALANCE_ARGS_USAGE | BTRFS_BALANCE_ARGS_USAGE_RANGE |
			    BTRFS_BALANCE_ARGS_CONVERT;

	if (args->flags & BTRFS_BALANCE_ARGS_CONVERT)
		args->flags |= BTRFS_BALANCE_ARGS_SOFT;
	if (args->flags & selects)
		return;
	args->flags |= BTRFS_BALANCE_ARGS_USAGE;
	args->usage = RESUME_USAGE;
}

void balance_args_resume(struct btrfs_ioctl_balance_args *args)
{
	resume_one(&args->data);
	resume_one(&args->meta);
	resume_one(&args->sys);
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

/* What usage=@percent stops at; 0 is for empty groups only. */
static u64 usage_end(u64 percent, u64 length)
{
	return percent == 0 ? 1 : percent_of(percent, length);
}

/* `usage=N` takes groups that are less than N percent full, a range from its minimum on; who sets both
 * flags gets both, of the same bytes. */
static bool usage_matches(const struct balance_filter *f, u64 length, u64 used)
{
	if (f->flags & BTRFS_BALANCE_ARGS_USAGE &&
	    used >= usage_end((u32)f->usage ? f->usage : 0, length))
		return false;
	return !(f->flags & BTRFS_BALANCE_ARGS_USAGE_RANGE) ||
	       (used >= percent_of(f->usage_min, length) &&
		used < usage_end(f->usage_max, length));
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

/* A range of a device means nothing without the device: then it takes all. */
static bool drange_matches(const struct balance_filter *f, const struct chunk *chunk)
{
	const u64 both = BTRFS_BALANCE_ARGS_DRANGE | BTRFS_BALANCE_ARGS_DEVID;
	u64 len = chunk_stripe_bytes(chunk);

	if ((f->flags & both) != both)
		return true;
	for (unsigned i = 0; i < chunk->num_stripes; i++) {
		u64 at = chunk->stripes[i].physical;

		if (chunk->stripes[i].devid == f->devid && at < f->pend && at + len > f->pstart)
			return true;
	}
	return false;
}

static bool vrange_matches(const struct balance_filter *f, const struct chunk *chunk)
{
	return !(f->flags & BTRFS_BALANCE_ARGS_VRANGE) ||
	       (chunk->logical < f->vend && chunk->logical + chunk->length > f->vstart);
}

static u64 profile_of(const struct chunk *chunk)
{
	u64 profile = chunk->type & BTRFS_BLOCK_GROUP_PROFILE_MASK;

	return profile ? profile : BTRFS_AVAIL_ALLOC_BIT_SINGLE;
}

static bool profiles_match(const struct balance_filter *f, const struct chunk *chunk)
{
	return !(f->flags & BTRFS_BALANCE_ARGS_PROFILES) || f->profiles & profile_of(chunk);
}

static bool stripes_match(const struct balance_filter *f, const struct chunk *chunk)
{
	return !(f->flags & BTRFS_BALANCE_ARGS_STRIPES_RANGE) ||
	       (chunk->num_stripes >= f->stripes_min && chunk->num_stripes <= f->stripes_max);
}

static bool soft_matches(const struct balance_filter *f, const struct chunk *chunk)
{
	const u64 both = BTRFS_BALANCE_ARGS_CONVERT | BTRFS_BALANCE_ARGS_SOFT;

	return (f->flags & both) != both || f->target != profile_of(chunk);
}

bool balance_filter_match(const struct balance_filter *f, const struct chunk *chunk, u64 used)
{
	return f->wanted && profiles_match(f, chunk) && usage_matches(f, chunk->length, used) &&
	       devid_matches(f, chunk) && drange_matches(f, chunk) && vrange_matches(f, chunk) &&
	       stripes_match(f, chunk) && soft_matches(f, chunk);
}

void balance_filter_put_limit(const struct balance_filter *f, struct btrfs_balance_args *args)
{
	if (args->flags & BTRFS_BALANCE_ARGS_LIMIT)
		args->limit = f->limit_max;
	else if (args->flags & BTRFS_BALANCE_ARGS_LIMIT_RANGE)
		args->limit_max = (u32)f->limit_max;
}

bool balance_filter_converts(const struct balance_filter *f, u64 *profile)
{
	*profile = f->target & BTRFS_BLOCK_GROUP_PROFILE_MASK;
	return f->wanted && f->flags & BTRFS_BALANCE_ARGS_CONVERT;
}
