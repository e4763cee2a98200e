/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_ranges.c - see log_ranges.h. */
#include "core/log/log_ranges.h"

void log_ranges_free(struct log_ranges *set)
{
	free(set->v);
	*set = (struct log_ranges){};
}

/* The first range that ends at @start or behind. */
static u32 find(const struct log_ranges *set, u64 start)
{
	u32 low = 0, high = set->count;

	while (low < high) {
		u32 mid = (low + high) / 2;

		if (set->v[mid].end < start)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int make_room(struct log_ranges *set)
{
	u32 room = set->room ? set->room * 2 : 4;
	struct log_range *grown;

	if (set->count < set->room)
		return 0;
	grown = reallocarray(set->v, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	set->v = grown;
	set->room = room;
	return 0;
}

static int insert(struct log_ranges *set, u32 at, u64 start, u64 end)
{
	int r;

	if (set->count == LOG_RANGES_MAX) {
		set->v[0].start = MIN(set->v[0].start, start);
		set->v[0].end = MAX(set->v[set->count - 1].end, end);
		set->count = 1;
		return 0;
	}
	r = make_room(set);
	if (r < 0)
		return r;
	memmove(set->v + at + 1, set->v + at, (set->count - at) * sizeof(*set->v));
	set->v[at] = (struct log_range){ start, end };
	set->count++;
	return 0;
}

int log_ranges_add(struct log_ranges *set, u64 start, u64 end)
{
	u32 at = find(set, start), last = at;
	struct log_range *r;

	if (at == set->count || set->v[at].start > end)
		return insert(set, at, start, end);
	r = &set->v[at];
	while (last + 1 < set->count && set->v[last + 1].start <= end)
		last++;
	r->start = MIN(r->start, start);
	r->end = MAX(set->v[last].end, end);
	memmove(r + 1, set->v + last + 1, (set->count - last - 1) * sizeof(*r));
	set->count -= last - at;
	return 0;
}

void log_ranges_keep_from(struct log_ranges *set, u64 from)
{
	u32 gone = find(set, from);

	if (!set->count)
		return;
	/* one that ends right there is empty now */
	gone += gone < set->count && set->v[gone].end == from;
	set->count -= gone;
	memmove(set->v, set->v + gone, set->count * sizeof(*set->v));
	if (set->count)
		set->v[0].start = MAX(set->v[0].start, from);
}
