/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_account.h - one settling commit's accounting. Private to core/quota.
 */
#ifndef CORE_QUOTA_QGROUP_ACCOUNT_H
#define CORE_QUOTA_QGROUP_ACCOUNT_H

#include "core/quota/qgroup_table.h"

/* Bytes that went from one set of holders to another. */
struct shift {
	RB_ENTRY(shift) link;
	const struct root_set *before, *after;
	u64 bytes;
};

RB_HEAD(shift_tree, shift);

struct account {
	struct quota *q;
	struct root_sets sets;
	struct tree_state before, after;
	const struct root_set *nobody;
	struct shift_tree shifts;
	struct touched_set touched;  /* what was noted, and what was found below it */
	u32 below;                   /* how much that was */
	struct extent_info *scanned; /* rescan: a batch */
	size_t scanned_count;
};

/* The rescan has not come there yet: it will find the extent as it is. */
bool account_left_to_scan(const struct quota *q, u64 logical);

/* Who held the extent and who holds it: into the sums, and to the caller. */
_must_check_ int account_extent(struct account *a, const struct touched *t,
				const struct root_set **before, const struct root_set **after);

/* qgroup_below.c: what follows for all that is reached through @t, whose holders were @before and are
 * @after. */
_must_check_ int account_below(struct account *a, const struct touched *t,
			       const struct root_set *before, const struct root_set *after);

#endif
