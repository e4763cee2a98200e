/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_extents.c - see free_extents.h.
 *
 * Invariants: ranges are disjoint, not empty and never touch each other; each is in both trees;
 * `bytes` is their sum. A function that may need a node gets it before it changes anything.
 * No lock of its own, no relations to other parts.
 */
#include "core/space/free_extents.h"

#include <errno.h>

#include "core/space/rb_tree.h"

static int cmp_start(const struct free_extent *a, const struct free_extent *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

static int cmp_len(const struct free_extent *a, const struct free_extent *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return cmp_start(a, b);
}

RB_TREE(free_by_start, free_extent, by_start, cmp_start)
RB_TREE(free_by_len, free_extent, by_len, cmp_len)

/* The trees' functions want a head they could change; these do not change it. */
static struct free_by_start *starts(const struct free_extents *set)
{
	union {
		const struct free_by_start *in;
		struct free_by_start *out;
	} u = {.in = &set->by_start};

	return u.out;
}

static struct free_by_len *lens(const struct free_extents *set)
{
	union {
		const struct free_by_len *in;
		struct free_by_len *out;
	} u = {.in = &set->by_len};

	return u.out;
}

void free_extents_init(struct free_extents *set)
{
	RB_INIT(&set->by_start);
	RB_INIT(&set->by_len);
	set->bytes = 0;
	set->count = 0;
}

static void link_extent(struct free_extents *set, struct free_extent *e)
{
	RB_INSERT(free_by_start, &set->by_start, e);
	RB_INSERT(free_by_len, &set->by_len, e);
	set->bytes += e->len;
	set->count++;
}

static void unlink_extent(struct free_extents *set, struct free_extent *e)
{
	RB_REMOVE(free_by_start, &set->by_start, e);
	RB_REMOVE(free_by_len, &set->by_len, e);
	set->bytes -= e->len;
	set->count--;
}

static void resize_extent(struct free_extents *set, struct free_extent *e, u64 start, u64 len)
{
	unlink_extent(set, e);
	e->start = start;
	e->len = len;
	link_extent(set, e);
}

void free_extents_clear(struct free_extents *set)
{
	struct free_extent *e;

	while ((e = RB_ROOT(&set->by_start))) {
		unlink_extent(set, e);
		free(e);
	}
}

/* The range with the greatest start at or before @pos. */
static struct free_extent *at_or_before(const struct free_extents *set, u64 pos)
{
	struct free_extent key = {.start = pos};
	struct free_extent *next = RB_NFIND(free_by_start, starts(set), &key);

	if (next && next->start == pos)
		return next;
	return next ? RB_PREV(free_by_start, starts(set), next) :
		      RB_MAX(free_by_start, starts(set));
}

static struct free_extent *find_at(const struct free_extents *set, u64 pos)
{
	struct free_extent *e = at_or_before(set, pos);

	if (e && e->start + e->len > pos)
		return e;
	return e ? RB_NEXT(free_by_start, starts(set), e) : RB_MIN(free_by_start, starts(set));
}

const struct free_extent *free_extents_at(const struct free_extents *set, u64 pos)
{
	return find_at(set, pos);
}

const struct free_extent *free_extents_next(const struct free_extent *e)
{
	union {
		const struct free_extent *in;
		struct free_extent *out;
	} u = {.in = e};

	return RB_NEXT(free_by_start, NULL, u.out);
}

bool free_extents_holds(const struct free_extents *set, u64 start, u64 len)
{
	const struct free_extent *e = at_or_before(set, start);

	return e && e->start + e->len >= start + len;
}

const struct free_extent *free_extents_longest_at(const struct free_extents *set)
{
	return RB_MAX(free_by_len, lens(set));
}

u64 free_extents_longest(const struct free_extents *set)
{
	const struct free_extent *e = free_extents_longest_at(set);

	return e ? e->len : 0;
}

static struct free_extent *new_extent(u64 start, u64 len)
{
	struct free_extent *e = malloc(sizeof(*e));

	if (e)
		*e = (struct free_extent){.start = start, .len = len};
	return e;
}

int free_extents_add(struct free_extents *set, u64 start, u64 len)
{
	struct free_extent *before = at_or_before(set, start);
	struct free_extent *after = before ? RB_NEXT(free_by_start, &set->by_start, before) :
					     RB_MIN(free_by_start, &set->by_start);
	bool left, right;

	if (before && before->start + before->len > start)
		return -EEXIST;
	if (after && after->start < start + len)
		return -EEXIST;
	left = before && before->start + before->len == start;
	right = after && after->start == start + len;
	if (left && right) {
		u64 tail = after->len;

		unlink_extent(set, after);
		free(after);
		resize_extent(set, before, before->start, before->len + len + tail);
	} else if (left) {
		resize_extent(set, before, before->start, before->len + len);
	} else if (right) {
		resize_extent(set, after, start, after->len + len);
	} else {
		struct free_extent *e = new_extent(start, len);

		if (!e)
			return -ENOMEM;
		link_extent(set, e);
	}
	return 0;
}

/* Cuts [start, +len), which lies in @e, out of it. */
static int cut(struct free_extents *set, struct free_extent *e, u64 start, u64 len)
{
	u64 head = start - e->start, tail = e->start + e->len - (start + len);

	if (head && tail) {
		struct free_extent *rest = new_extent(start + len, tail);

		if (!rest)
			return -ENOMEM;
		resize_extent(set, e, e->start, head);
		link_extent(set, rest);
	} else if (head) {
		resize_extent(set, e, e->start, head);
	} else if (tail) {
		resize_extent(set, e, start + len, tail);
	} else {
		unlink_extent(set, e);
		free(e);
	}
	return 0;
}

int free_extents_remove(struct free_extents *set, u64 start, u64 len)
{
	struct free_extent *e = at_or_before(set, start);

	if (!e || e->start + e->len < start + len)
		return -ENOENT;
	return cut(set, e, start, len);
}

int free_extents_subtract(struct free_extents *set, u64 start, u64 len)
{
	u64 end = start + len;
	struct free_extent *e;

	/* Only a cut in the middle of a range needs memory, and then it is the only cut. */
	while ((e = find_at(set, start)) && e->start < end) {
		u64 from = MAX(e->start, start), to = MIN(e->start + e->len, end);
		int r = cut(set, e, from, to - from);

		if (r < 0)
			return r;
	}
	return 0;
}

/* What of @e can be given in units of @align, from @pos on. */
static u64 usable(const struct free_extent *e, u64 pos, u64 align, u64 *start)
{
	u64 end = e->start + e->len;

	*start = ALIGN_UP(MAX(e->start, pos), align);
	return *start < end ? ALIGN_DOWN(end - *start, align) : 0;
}

/* The shortest range that can give @want, or the longest that can give @min. */
static struct free_extent *best_fit(const struct free_extents *set, u64 want, u64 min, u64 align,
				    u64 *start, u64 *len)
{
	struct free_extent key = {.len = want};
	struct free_extent *e;

	for (e = RB_NFIND(free_by_len, lens(set), &key); e;
	     e = RB_NEXT(free_by_len, lens(set), e)) {
		*len = usable(e, 0, align, start);
		if (*len >= want)
			return e;
	}
	/* Without alignment (data) the first one looked at decides. */
	for (e = RB_MAX(free_by_len, lens(set)); e && e->len >= min;
	     e = RB_PREV(free_by_len, lens(set), e)) {
		*len = usable(e, 0, align, start);
		if (*len >= min)
			return e;
	}
	return NULL;
}

s64 free_extents_take(struct free_extents *set, u64 want, u64 min, u64 align, u64 cursor,
		      u64 *ret_start)
{
	struct free_extent *e = find_at(set, cursor);
	u64 start = 0, len = e ? usable(e, cursor, align, &start) : 0;
	int r;

	if (len < want)
		e = best_fit(set, want, min, align, &start, &len);
	if (!e)
		return 0;
	len = MIN(len, want);
	r = cut(set, e, start, len);
	if (r < 0)
		return r;
	*ret_start = start;
	return (s64)len;
}

void free_extents_move(struct free_extents *to, struct free_extents *from)
{
	*to = *from;
	free_extents_init(from);
}
