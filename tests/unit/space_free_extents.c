/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set of free ranges against a model: one byte for each sector. Random adds, removals and
 * subtractions must agree in every answer, and the set must stay merged and summed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <errno.h>
#include <cmocka.h>

#include "core/space/free_extents.h"

#define SECTORS 512u
#define STEPS 60000

static u64 seed = 88172645463325252ULL;

static u64 rnd(u64 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static bool all(const u8 *model, u64 start, u64 len, u8 want)
{
	for (u64 i = start; i < start + len; i++) {
		if (model[i] != want)
			return false;
	}
	return true;
}

static void compare(const struct free_extents *set, const u8 *model)
{
	u64 at = 0, bytes = 0, count = 0, longest = 0;

	for (const struct free_extent *e = free_extents_at(set, 0); e; e = free_extents_next(e)) {
		assert_true(e->start >= at && e->len > 0);
		assert_true(all(model, at, e->start - at, 0));
		assert_true(all(model, e->start, e->len, 1));
		assert_true(count == 0 || e->start > at); /* merged */
		at = e->start + e->len;
		bytes += e->len;
		longest = MAX(longest, e->len);
		count++;
	}
	assert_true(all(model, at, SECTORS - at, 0));
	assert_int_equal(bytes, set->bytes);
	assert_int_equal(count, set->count);
	assert_int_equal(longest, free_extents_longest(set));
}

static void step_take(struct free_extents *set, u8 *model)
{
	u64 want = 1 + rnd(24), min = 1 + rnd(want), align = 1ULL << rnd(4), start = 0;
	s64 len;

	want = ALIGN_UP(want, align);
	min = MIN(ALIGN_UP(min, align), want);
	len = free_extents_take(set, want, min, align, rnd(SECTORS), &start);
	if (len == 0) {
		for (u64 i = 0; i + min <= SECTORS; i += align)
			assert_false(all(model, i, min, 1));
		return;
	}
	assert_true((u64)len >= min && (u64)len <= want && start % align == 0 && len % align == 0);
	assert_true(all(model, start, (u64)len, 1));
	memset(model + start, 0, (size_t)len);
}

static void step(struct free_extents *set, u8 *model)
{
	u64 start = rnd(SECTORS), len = 1 + rnd(MIN(SECTORS - start, 40u));
	bool ok;

	switch (rnd(5)) {
	case 0:
	case 1:
		ok = all(model, start, len, 0);
		assert_int_equal(free_extents_add(set, start, len), ok ? 0 : -EEXIST);
		if (ok)
			memset(model + start, 1, len);
		break;
	case 2:
		ok = all(model, start, len, 1);
		assert_int_equal(free_extents_holds(set, start, len), ok);
		assert_int_equal(free_extents_remove(set, start, len), ok ? 0 : -ENOENT);
		if (ok)
			memset(model + start, 0, len);
		break;
	case 3:
		assert_int_equal(free_extents_subtract(set, start, len), 0);
		memset(model + start, 0, len);
		break;
	default:
		step_take(set, model);
	}
}

static void random_against_model(void **state)
{
	u8 model[SECTORS] = {0};
	struct free_extents set;

	free_extents_init(&set);
	for (int i = 0; i < STEPS; i++) {
		step(&set, model);
		if (i % 16 == 0)
			compare(&set, model);
	}
	compare(&set, model);
	free_extents_clear(&set);
	assert_int_equal(set.bytes, 0);
}

static void cursor_is_preferred(void **state)
{
	struct free_extents set;
	u64 start = 0;

	free_extents_init(&set);
	assert_int_equal(free_extents_add(&set, 0, 100), 0);
	assert_int_equal(free_extents_add(&set, 200, 10), 0);
	assert_int_equal(free_extents_take(&set, 10, 10, 1, 50, &start), 10);
	assert_int_equal(start, 50);
	/* Nothing long enough behind the cursor: the shortest range that is. */
	assert_int_equal(free_extents_take(&set, 9, 9, 1, 205, &start), 9);
	assert_int_equal(start, 200);
	/* Nothing long enough at all: the longest. */
	assert_int_equal(free_extents_take(&set, 80, 10, 1, 0, &start), 50);
	assert_int_equal(start, 0);
	assert_int_equal(free_extents_take(&set, 80, 60, 1, 0, &start), 0);
	free_extents_clear(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_against_model),
		cmocka_unit_test(cursor_is_preferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
