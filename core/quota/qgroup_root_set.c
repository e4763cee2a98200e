/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup_root_set.c - see qgroup_root_set.h. */
#include "core/quota/qgroup_root_set.h"

#define HASH_MULTIPLIER 0x9E3779B97F4A7C15ULL
#define BUCKETS_FIRST 64u

void root_sets_free(struct root_sets *sets)
{
	for (size_t b = 0; b < sets->room; b++)
		while (sets->buckets[b]) {
			struct root_set *set = sets->buckets[b];

			sets->buckets[b] = set->next;
			free(set);
		}
	free(sets->buckets);
	*sets = (struct root_sets){};
}

int root_list_add(struct root_list *list, u64 root)
{
	if (list->nr == list->room) {
		u32 room = list->room ? list->room * 2 : 8;
		u64 *v = reallocarray(list->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->room = room;
	}
	list->v[list->nr++] = root;
	return 0;
}

int root_list_add_set(struct root_list *list, const struct root_set *set)
{
	int r = 0;

	for (u32 i = 0; r == 0 && i < set->nr; i++)
		r = root_list_add(list, set->v[i]);
	return r;
}

void root_list_free(struct root_list *list)
{
	free(list->v);
	*list = (struct root_list){};
}

static int by_value(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

static void normalise(struct root_list *list)
{
	u32 nr = 0;

	if (list->nr > 1)
		qsort(list->v, list->nr, sizeof(*list->v), by_value);
	for (u32 i = 0; i < list->nr; i++)
		if (!nr || list->v[nr - 1] != list->v[i])
			list->v[nr++] = list->v[i];
	list->nr = nr;
}

static u64 hash_of(const struct root_list *list)
{
	u64 hash = list->nr;

	for (u32 i = 0; i < list->nr; i++)
		hash = (hash ^ list->v[i]) * HASH_MULTIPLIER;
	return hash >> 16;
}

static int grow(struct root_sets *sets)
{
	struct root_sets more = {.count = sets->count,
				 .room = sets->room ? sets->room * 2 : BUCKETS_FIRST};

	if (sets->count < sets->room)
		return 0;
	more.buckets = calloc(more.room, sizeof(struct root_set *));
	if (!more.buckets)
		return -ENOMEM;
	for (size_t b = 0; b < sets->room; b++)
		while (sets->buckets[b]) {
			struct root_set *set = sets->buckets[b];
			struct root_set **to = &more.buckets[set->hash & (more.room - 1)];

			sets->buckets[b] = set->next;
			set->next = *to;
			*to = set;
		}
	free(sets->buckets);
	*sets = more;
	return 0;
}

static const struct root_set *find(const struct root_sets *sets, const struct root_list *list,
				   u64 hash)
{
	const struct root_set *set = sets->room ? sets->buckets[hash & (sets->room - 1)] : NULL;
	size_t bytes = list->nr * sizeof(*list->v);

	while (set && (set->hash != hash || set->nr != list->nr ||
		       (bytes && memcmp(set->v, list->v, bytes))))
		set = set->next;
	return set;
}

static int insert(struct root_sets *sets, const struct root_list *list, u64 hash,
		  const struct root_set **ret)
{
	size_t bytes = list->nr * sizeof(*list->v);
	struct root_set *set = malloc(sizeof(*set) + bytes);
	int r = set ? grow(sets) : -ENOMEM;

	if (r < 0) {
		free(set);
		return r;
	}
	set->hash = hash;
	set->nr = list->nr;
	if (bytes)
		memcpy(set->v, list->v, bytes);
	set->next = sets->buckets[hash & (sets->room - 1)];
	sets->buckets[hash & (sets->room - 1)] = set;
	sets->count++;
	*ret = set;
	return 0;
}

int root_sets_get(struct root_sets *sets, struct root_list *list, const struct root_set **ret)
{
	const struct root_set *set;
	u64 hash;

	normalise(list);
	hash = hash_of(list);
	set = find(sets, list, hash);
	if (!set)
		return insert(sets, list, hash, ret);
	*ret = set;
	return 0;
}
