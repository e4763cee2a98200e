/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_extents.h - a set of byte ranges, merged and disjoint, found by place or by length.
 *
 * Knows nothing of groups or disks. No lock of its own: the owner's. All operations are O(log n) in
 * the number of ranges. -ENOMEM leaves the set as it was.
 */
#ifndef CORE_SPACE_FREE_EXTENTS_H
#define CORE_SPACE_FREE_EXTENTS_H

#include <bsd/sys/tree.h>

#include "disk/base/types.h"

struct free_extent {
	RB_ENTRY(free_extent) by_start;
	RB_ENTRY(free_extent) by_len;
	u64 start, len;
};

RB_HEAD(free_by_start, free_extent);
RB_HEAD(free_by_len, free_extent);

struct free_extents {
	struct free_by_start by_start;
	struct free_by_len by_len;
	u64 bytes;
	u64 count;
};

void free_extents_init(struct free_extents *set);
void free_extents_clear(struct free_extents *set);

/* Adds a range that does not touch what is there other than at its ends: -EEXIST otherwise. */
_must_check_ int free_extents_add(struct free_extents *set, u64 start, u64 len);
/* Takes out a range that is wholly there: -ENOENT otherwise. */
_must_check_ int free_extents_remove(struct free_extents *set, u64 start, u64 len);
/* Takes out whatever of the range is there. */
_must_check_ int free_extents_subtract(struct free_extents *set, u64 start, u64 len);

/* The first range that ends behind @pos, or NULL. */
const struct free_extent *free_extents_at(const struct free_extents *set, u64 pos);
const struct free_extent *free_extents_next(const struct free_extent *e);
bool free_extents_holds(const struct free_extents *set, u64 start, u64 len);
/* The longest range and its bytes; NULL and 0 if there is none. */
const struct free_extent *free_extents_longest_at(const struct free_extents *set);
u64 free_extents_longest(const struct free_extents *set);

/* Finds and takes @want bytes, or if no range is so long the longest one of @min or more, at a
 * multiple of @align (a power of two; lengths stay multiples of it). Prefers the range at or behind
 * @cursor, then the shortest that is long enough. The length, or 0 if there is none, or -ENOMEM. */
_must_check_ s64 free_extents_take(struct free_extents *set, u64 want, u64 min, u64 align,
				   u64 cursor, u64 *ret_start);

/* Moves everything of @from into @to, which is empty. */
void free_extents_move(struct free_extents *to, struct free_extents *from);

#endif
