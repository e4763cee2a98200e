/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csum_item.h - arithmetic of checksum items. Pure.
 */
#ifndef CORE_EXTENT_CSUM_ITEM_H
#define CORE_EXTENT_CSUM_ITEM_H

#include "disk/format/node.h"

/* Sectors that the kernel puts into one item at most: two items a leaf, one sector less, and no
 * more than there are bytes in a page. */
static inline u32 csum_item_max_sectors(u32 nodesize, u32 csum_size)
{
	u32 fit = (LEAF_DATA(nodesize) - 2 * (u32)sizeof(struct btrfs_item)) / csum_size - 1;

	return MIN(fit, 4096u);
}

/* What deleting [start, end) leaves of an item that covers [item_start, item_end). */
enum csum_cut {
	CSUM_CUT_NONE,   /* all of it: they do not meet */
	CSUM_CUT_ALL,    /* nothing */
	CSUM_CUT_TAIL,   /* its beginning */
	CSUM_CUT_HEAD,   /* its end */
	CSUM_CUT_MIDDLE, /* both ends */
};

static inline enum csum_cut csum_cut(u64 item_start, u64 item_end, u64 start, u64 end)
{
	if (item_end <= start || item_start >= end)
		return CSUM_CUT_NONE;
	if (item_start >= start)
		return item_end <= end ? CSUM_CUT_ALL : CSUM_CUT_HEAD;
	return item_end <= end ? CSUM_CUT_TAIL : CSUM_CUT_MIDDLE;
}

#endif
