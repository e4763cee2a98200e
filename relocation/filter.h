/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filter.h - which chunks a balance takes, and what profile they get. Pure: values in, values out.
 *
 * The meaning of each filter is that of btrfs-balance(8).
 */
#ifndef RELOCATION_FILTER_H
#define RELOCATION_FILTER_H

#include <linux/btrfs.h>

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct chunk;

/* One type's arguments in CPU byte order. */
struct balance_filter {
	bool wanted; /* the type is balanced at all */
	u64 flags;   /* BTRFS_BALANCE_ARGS_* */
	u64 profiles;		  /* BTRFS_BLOCK_GROUP_*, single is BTRFS_AVAIL_ALLOC_BIT_SINGLE */
	u64 usage;		  /* percent, exclusive as a byte count */
	u64 usage_min, usage_max; /* percent, max exclusive as a byte count */
	u64 devid;
	u64 pstart, pend; /* on device @devid, end exclusive */
	u64 vstart, vend; /* end exclusive */
	u64 limit_min, limit_max;
	u32 stripes_min, stripes_max; /* both inclusive */
	u64 target; /* as in @profiles: one bit */
};

struct balance_filters {
	struct balance_filter data, metadata, system;
};

/* -EINVAL for what no balance can mean, -EOPNOTSUPP for what this one cannot do; @why names it. */
_must_check_ int balance_filters_parse(const struct btrfs_ioctl_balance_args *args,
				       struct balance_filters *ret, struct reason *why);

/* Profiles in use by a type, as BTRFS_BLOCK_GROUP_* bits (single: none). */
struct balance_profiles {
	u64 metadata, system;
};

/* -EINVAL if a conversion would make metadata or system chunks less redundant than they are, unless
 * @flags has BTRFS_BALANCE_FORCE. */
_must_check_ int balance_filters_check_redundancy(const struct balance_filters *filters, u64 flags,
						  const struct balance_profiles *now,
						  struct reason *why);

/* What a balance that was paused and goes on skips, since nothing says how far it came: chunks that
 * have the wanted profile already, and, where neither usage nor conversion selects, chunks that are
 * 90 percent full. Changes @args as the kernel does. */
void balance_args_resume(struct btrfs_ioctl_balance_args *args);

/* The filter for a chunk of type @type (DATA, METADATA or SYSTEM bit). */
struct balance_filter *balance_filter_for(struct balance_filters *filters, u64 type);

/* Does the chunk with @used bytes in its group pass all filters but `limit`? */
bool balance_filter_match(const struct balance_filter *filter, const struct chunk *chunk,
			  u64 used);

/* Puts what is left of `limit` into @args, as the kernel leaves it there. */
void balance_filter_put_limit(const struct balance_filter *filter, struct btrfs_balance_args *args);

/* Does the type convert? *profile gets the BTRFS_BLOCK_GROUP_* bits of its new chunks. */
bool balance_filter_converts(const struct balance_filter *filter, u64 *profile);

#endif
