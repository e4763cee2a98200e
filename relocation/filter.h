/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filter.h - which chunks a balance takes. Pure: values in, values out.
 *
 * The meaning of each filter is that of btrfs-balance(8).
 */
#ifndef RELOCATION_FILTER_H
#define RELOCATION_FILTER_H

#include <linux/btrfs.h>

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct chunk;

/* One type's arguments in CPU byte order, as far as we honour them. */
struct balance_filter {
	bool wanted; /* the type is balanced at all */
	u64 flags;   /* BTRFS_BALANCE_ARGS_* */
	u64 usage_min, usage_max; /* percent, max exclusive as a byte count */
	u64 devid;
	u64 vstart, vend; /* end exclusive */
	u64 limit_min, limit_max;
};

struct balance_filters {
	struct balance_filter data, metadata, system;
};

/* -EINVAL for what no balance can mean, -EOPNOTSUPP for what this one cannot do; @why names it. */
_must_check_ int balance_filters_parse(const struct btrfs_ioctl_balance_args *args,
				       struct balance_filters *ret, struct reason *why);

/* The filter for a chunk of type @type (DATA, METADATA or SYSTEM bit). */
struct balance_filter *balance_filter_for(struct balance_filters *filters, u64 type);

/* Does the chunk with @used bytes in its group pass all filters but `limit`? */
bool balance_filter_match(const struct balance_filter *filter, const struct chunk *chunk,
			  u64 used);

#endif
