/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_pure.c - what a log keeps in memory: ranges, copied items, what happened to names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/log/log_changes.h"
#include "core/log/log_items.h"
#include "core/log/log_ranges.h"

#define BYTES 4096u

static void ranges_say_what_was_added(void **state)
{
	_cleanup_log_ranges_ struct log_ranges set = {};
	bool want[BYTES] = {}, have[BYTES] = {};

	srandom(1);
	for (int i = 0; i < 300; i++) {
		u64 start = (u64)random() % (BYTES - 8), end = start + 1 + (u64)random() % 8;

		assert_int_equal(log_ranges_add(&set, start, end), 0);
		memset(want + start, true, end - start);
	}
	for (u32 i = 0; i < set.count; i++) {
		assert_true(set.v[i].start < set.v[i].end);
		assert_true(i == 0 || set.v[i - 1].end < set.v[i].start);
		memset(have + set.v[i].start, true, set.v[i].end - set.v[i].start);
	}
	assert_memory_equal(want, have, BYTES);
}

static void neighbours_become_one(void **state)
{
	_cleanup_log_ranges_ struct log_ranges set = {};

	assert_int_equal(log_ranges_add(&set, 10, 20), 0);
	assert_int_equal(log_ranges_add(&set, 30, 40), 0);
	assert_int_equal(log_ranges_add(&set, 50, UINT64_MAX), 0);
	assert_int_equal(set.count, 3);
	assert_int_equal(log_ranges_add(&set, 20, 30), 0);
	assert_int_equal(set.count, 2);
	assert_int_equal(set.v[0].start, 10);
	assert_int_equal(set.v[0].end, 40);
	assert_int_equal(log_ranges_add(&set, 0, UINT64_MAX), 0);
	assert_int_equal(set.count, 1);
}

static void too_many_ranges_become_one_that_covers_all(void **state)
{
	_cleanup_log_ranges_ struct log_ranges set = {};

	for (u64 i = LOG_RANGES_MAX; i > 0; i--)
		assert_int_equal(log_ranges_add(&set, 10 * i, 10 * i + 5), 0);
	assert_int_equal(set.count, LOG_RANGES_MAX);
	assert_int_equal(log_ranges_add(&set, 1, 2), 0);
	assert_int_equal(set.count, 1);
	assert_int_equal(set.v[0].start, 1);
	assert_int_equal(set.v[0].end, 10 * LOG_RANGES_MAX + 5);
}

static void what_lies_behind_is_kept(void **state)
{
	_cleanup_log_ranges_ struct log_ranges set = {};

	log_ranges_keep_from(&set, 5);
	assert_int_equal(set.count, 0);
	assert_int_equal(log_ranges_add(&set, 10, 20), 0);
	assert_int_equal(log_ranges_add(&set, 30, 40), 0);
	assert_int_equal(log_ranges_add(&set, 50, UINT64_MAX), 0);
	log_ranges_keep_from(&set, 20);
	assert_int_equal(set.count, 2);
	assert_int_equal(set.v[0].start, 30);
	log_ranges_keep_from(&set, 35);
	assert_int_equal(set.count, 2);
	assert_int_equal(set.v[0].start, 35);
	log_ranges_keep_from(&set, 1000);
	assert_int_equal(set.count, 1);
	assert_int_equal(set.v[0].start, 1000);
	log_ranges_keep_from(&set, UINT64_MAX);
	assert_int_equal(set.count, 0);
}

static void items_keep_their_bytes(void **state)
{
	_cleanup_log_items_ struct log_items a = {}, b = {};
	u8 data[1000];

	for (u32 i = 0; i < 100; i++) {
		struct key key = KEY(300, 24, i);

		memset(data, (int)i, sizeof(data));
		assert_int_equal(log_items_add(&a, &key, data, 10 * i), 0);
		assert_int_equal(log_items_add(&b, &key, data, 10 * i), 0);
	}
	for (u32 i = 1; i < 100; i++) {
		assert_int_equal(a.v[i].size, 10 * i);
		assert_int_equal(((const u8 *)log_item_data(&a, i))[10 * i - 1], i);
	}
	assert_int_equal(log_items_digest(&a), log_items_digest(&b));
	b.bytes[b.used - 1]++;
	assert_int_not_equal(log_items_digest(&a), log_items_digest(&b));
	b.bytes[b.used - 1]--;
	b.v[3].key.offset++;
	assert_int_not_equal(log_items_digest(&a), log_items_digest(&b));
}

static void changes_are_those_of_one_transaction(void **state)
{
	struct log_changes c = {};
	u64 one = log_change_name(5, 256, name_of("one")), two = log_change_name(5, 256, name_of("two"));

	log_changes_init(&c);
	assert_int_not_equal(one, log_change_name(5, 257, name_of("one")));
	assert_int_not_equal(one, log_change_name(6, 256, name_of("one")));
	assert_int_not_equal(log_change_inode(5, 300), log_change_inode(5, 301));
	assert_int_not_equal(log_change_index(5, 256, 7), log_change_index(5, 256, 8));
	assert_int_not_equal(log_change_index(5, 256, 7), log_change_index(5, 257, 7));
	log_changes_add(&c, 7, one);
	assert_true(log_changes_have(&c, 7, one));
	assert_false(log_changes_have(&c, 7, two));
	assert_false(log_changes_have(&c, 8, one));
	log_changes_add(&c, 8, two);
	assert_false(log_changes_have(&c, 8, one));
	assert_true(log_changes_have(&c, 8, two));
	log_changes_must_commit(&c, 8);
	assert_true(log_changes_forbid(&c, 8));
	assert_false(log_changes_forbid(&c, 9));
	log_changes_destroy(&c);
}

static void too_many_changes_are_too_many(void **state)
{
	struct log_changes c = {};

	log_changes_init(&c);
	for (u64 i = 0; i < LOG_CHANGES_MAX; i++)
		log_changes_add(&c, 3, log_change_inode(5, i));
	assert_false(log_changes_forbid(&c, 3));
	for (u64 i = 0; i < LOG_CHANGES_MAX; i += 97)
		assert_true(log_changes_have(&c, 3, log_change_inode(5, i)));
	for (u64 i = 0; i < 100; i++)
		log_changes_add(&c, 3, log_change_inode(6, i));
	assert_true(log_changes_forbid(&c, 3));
	log_changes_destroy(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_say_what_was_added),
		cmocka_unit_test(neighbours_become_one),
		cmocka_unit_test(too_many_ranges_become_one_that_covers_all),
		cmocka_unit_test(what_lies_behind_is_kept),
		cmocka_unit_test(items_keep_their_bytes),
		cmocka_unit_test(changes_are_those_of_one_transaction),
		cmocka_unit_test(too_many_changes_are_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
