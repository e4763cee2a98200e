/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_touched.h - the extents whose holders may have changed in a transaction.
 *
 * An extent stays in the set when its reference changes cancel out: a node that a snapshot shares
 * implies references of its children, so "copied, then dropped again" changes who holds an extent
 * although no reference did. Pure memory, no locks of its own.
 */
#ifndef CORE_QUOTA_QGROUP_TOUCHED_H
#define CORE_QUOTA_QGROUP_TOUCHED_H

#include "disk/base/types.h"

struct touched {
	u64 logical; /* where it is now */
	u64 before;  /* where it was when the transaction began: relocation moves extents */
	u64 len;
	bool fresh;   /* there was none when the transaction began */
	bool is_data;
	u8 level;     /* nodes */
};

struct touched_set {
	struct touched *v; /* a hash with open addressing; an empty slot has len 0 */
	size_t count, room;
};

/* An extent that begins to exist is @fresh; its length then replaces what an extent that came and
 * went at this address had. -ENOMEM. */
_must_check_ int touched_note(struct touched_set *set, const struct touched *t);

/* Puts a whole entry in, in place of one with its address. -ENOMEM. */
_must_check_ int touched_put(struct touched_set *set, const struct touched *entry);

/* NULL if it is not there. Valid until the set changes. */
const struct touched *touched_find(const struct touched_set *set, u64 logical);

/* True and the entry in *ret, which is no longer in the set. */
bool touched_take(struct touched_set *set, u64 logical, struct touched *ret);

/* The entries by address, *ret (free() it): their number, -ENOMEM. */
_must_check_ s64 touched_list(const struct touched_set *set, struct touched **ret);

void touched_free(struct touched_set *set);
#define _cleanup_touched_ _cleanup_(touched_free)

#endif
