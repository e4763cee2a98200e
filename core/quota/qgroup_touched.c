/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup_touched.c - see qgroup_touched.h. Linear probing; at most half of the slots are in use. */
#include "core/quota/qgroup_touched.h"

#define HASH_MULTIPLIER 0x9E3779B97F4A7C15ULL
#define ROOM_FIRST 64u

static size_t slot_of(const struct touched_set *set, u64 logical)
{
	size_t i = (size_t)(((logical >> 12) * HASH_MULTIPLIER) >> 20) & (set->room - 1);

	while (set->v[i].len && set->v[i].logical != logical)
		i = (i + 1) & (set->room - 1);
	return i;
}

static int grow(struct touched_set *set)
{
	struct touched_set more = {.room = set->room ? set->room * 2 : ROOM_FIRST};

	if (set->count * 2 < set->room)
		return 0;
	more.v = calloc(more.room, sizeof(*more.v));
	if (!more.v)
		return -ENOMEM;
	for (size_t i = 0; i < set->room; i++)
		if (set->v[i].len) {
			more.v[slot_of(&more, set->v[i].logical)] = set->v[i];
			more.count++;
		}
	free(set->v);
	*set = more;
	return 0;
}

int touched_put(struct touched_set *set, const struct touched *entry)
{
	int r = grow(set);
	size_t i;

	if (r < 0)
		return r;
	i = slot_of(set, entry->logical);
	set->count += !set->v[i].len;
	set->v[i] = *entry;
	return 0;
}

int touched_note(struct touched_set *set, const struct touched *t)
{
	struct touched *there = set->room ? &set->v[slot_of(set, t->logical)] : NULL;

	if (!there || !there->len)
		return touched_put(set, t);
	if (t->fresh)
		*there = *t;
	return 0;
}

const struct touched *touched_find(const struct touched_set *set, u64 logical)
{
	size_t i = set->room ? slot_of(set, logical) : 0;

	return set->room && set->v[i].len ? &set->v[i] : NULL;
}

/* Entries behind the gap that it would hide move up. */
static void close_gap(struct touched_set *set, size_t gap)
{
	for (size_t i = (gap + 1) & (set->room - 1); set->v[i].len; i = (i + 1) & (set->room - 1)) {
		struct touched moving = TAKE(set->v[i]);

		set->v[slot_of(set, moving.logical)] = moving;
	}
}

bool touched_take(struct touched_set *set, u64 logical, struct touched *ret)
{
	size_t i = set->room ? slot_of(set, logical) : 0;

	if (!set->room || !set->v[i].len)
		return false;
	*ret = TAKE(set->v[i]);
	set->count--;
	close_gap(set, i);
	return true;
}

static int by_address(const void *a, const void *b)
{
	const struct touched *x = a, *y = b;

	return (x->logical > y->logical) - (x->logical < y->logical);
}

s64 touched_list(const struct touched_set *set, struct touched **ret)
{
	struct touched *list = calloc(set->count + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < set->room; i++)
		if (set->v[i].len)
			list[n++] = set->v[i];
	if (n)
		qsort(list, n, sizeof(*list), by_address);
	*ret = list;
	return (s64)n;
}

void touched_free(struct touched_set *set)
{
	free(set->v);
	*set = (struct touched_set){};
}
