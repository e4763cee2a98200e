/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Touched extents against a plain array; sets of roots: equal ones are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/quota/qgroup_root_set.h"
#include "core/quota/qgroup_touched.h"

#define PLACES 400u

static u32 next_random(u32 *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static u64 address(u32 i)
{
	return MIB(16) + (u64)i * 4096;
}

static int note(struct touched_set *set, u32 i, u64 len, bool fresh)
{
	return touched_note(set, &(struct touched){.logical = address(i), .before = address(i),
						   .len = len, .fresh = fresh});
}

static void touched_like_an_array(void **state)
{
	_cleanup_touched_ struct touched_set set = {};
	u64 len[PLACES] = {};
	u32 rnd = 7, count = 0;

	for (u32 step = 0; step < 20000; step++) {
		u32 i = next_random(&rnd) % PLACES;
		struct touched t;

		if (next_random(&rnd) % 3) {
			bool fresh = next_random(&rnd) % 2;
			u64 bytes = 4096 * (1 + next_random(&rnd) % 9);

			assert_int_equal(note(&set, i, bytes, fresh), 0);
			count += !len[i];
			if (!len[i] || fresh)
				len[i] = bytes;
		} else {
			assert_int_equal(touched_take(&set, address(i), &t), len[i] != 0);
			count -= len[i] != 0;
			len[i] = 0;
		}
		assert_int_equal(set.count, count);
	}
	for (u32 i = 0; i < PLACES; i++) {
		const struct touched *t = touched_find(&set, address(i));

		assert_int_equal(t ? t->len : 0, len[i]);
	}
}

static void the_first_note_says_what_was_before(void **state)
{
	_cleanup_touched_ struct touched_set set = {};
	struct touched t;

	assert_int_equal(note(&set, 1, 4096, true), 0);
	assert_int_equal(note(&set, 1, 4096, false), 0);
	assert_int_equal(note(&set, 2, 4096, false), 0);
	assert_true(touched_take(&set, address(1), &t) && t.fresh);
	assert_true(touched_take(&set, address(2), &t) && !t.fresh && t.before == address(2));
}

static void listed_by_address(void **state)
{
	_cleanup_touched_ struct touched_set set = {};
	_cleanup_free_ struct touched *list = NULL;

	for (u32 i = PLACES; i--;)
		assert_int_equal(note(&set, i * 7 % PLACES, 4096, false), 0);
	assert_int_equal(touched_list(&set, &list), PLACES);
	for (u32 i = 1; i < PLACES; i++)
		assert_true(list[i - 1].logical < list[i].logical);
}

static const struct root_set *set_of(struct root_sets *sets, const u64 *v, u32 nr)
{
	_cleanup_root_list_ struct root_list list = {};
	const struct root_set *set = NULL;

	for (u32 i = 0; i < nr; i++)
		assert_int_equal(root_list_add(&list, v[i]), 0);
	assert_int_equal(root_sets_get(sets, &list, &set), 0);
	return set;
}

static void equal_sets_are_one(void **state)
{
	struct root_sets sets = {};
	const u64 some[] = {5, 300, 256}, again[] = {256, 5, 5, 300, 256}, fewer[] = {5, 256};
	const struct root_set *set = set_of(&sets, some, 3);

	assert_ptr_equal(set_of(&sets, again, 5), set);
	assert_ptr_not_equal(set_of(&sets, fewer, 2), set);
	assert_int_equal(set->nr, 3);
	assert_int_equal(set->v[1], 256);
	for (u64 i = 256; i < 2000; i++)
		assert_int_equal(set_of(&sets, &i, 1)->v[0], i);
	assert_ptr_equal(set_of(&sets, some, 3), set);
	assert_int_equal(set_of(&sets, some, 0)->nr, 0);
	root_sets_free(&sets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(touched_like_an_array),
		cmocka_unit_test(the_first_note_says_what_was_before),
		cmocka_unit_test(listed_by_address),
		cmocka_unit_test(equal_sets_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
