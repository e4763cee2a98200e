/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bitmaps of the free-space tree against bit-by-bit arithmetic, and the thresholds between the forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/space/free_space_bitmap.h"

static void bits_have_the_disk_order(void **state)
{
	u8 map[FREE_BITMAP_BYTES] = {0};

	free_bitmap_fill(map, 3, 12, true);
	assert_int_equal(map[0], 0xf8);
	assert_int_equal(map[1], 0x0f);
	assert_true(free_bitmap_test(map, 3) && free_bitmap_test(map, 11));
	assert_false(free_bitmap_test(map, 2) || free_bitmap_test(map, 12));
}

static void fill_and_find_against_bytes(void **state)
{
	u8 map[FREE_BITMAP_BYTES] = {0}, model[FREE_BITMAP_BITS] = {0};
	u32 x = 12345;

	for (int i = 0; i < 4000; i++) {
		u32 from, to, at;
		bool set;

		x = x * 1664525u + 1013904223u;
		from = (x >> 8) % FREE_BITMAP_BITS;
		to = MIN(from + 1 + (x >> 20) % 70, FREE_BITMAP_BITS);
		set = x >> 30 & 1;
		free_bitmap_fill(map, from, to, set);
		memset(model + from, set, to - from);
		assert_true(free_bitmap_all(map, from, to, set));
		for (at = from / 2; at < FREE_BITMAP_BITS && model[at] != 1; at++)
			;
		assert_int_equal(free_bitmap_find(map, from / 2, FREE_BITMAP_BITS, true), at);
		for (at = from / 2; at < FREE_BITMAP_BITS && model[at] != 0; at++)
			;
		assert_int_equal(free_bitmap_find(map, from / 2, FREE_BITMAP_BITS, false), at);
	}
	for (u32 i = 0; i < FREE_BITMAP_BITS; i++)
		assert_int_equal(free_bitmap_test(map, i), model[i]);
}

static void sizes_of_items(void **state)
{
	assert_int_equal(free_bitmap_size(MIB(8), 4096), 256);
	assert_int_equal(free_bitmap_size(KIB(64), 4096), 2);
	assert_int_equal(free_bitmap_size(KIB(36), 4096), 2);
	/* 1 GiB: 128 bitmaps of 281 bytes against 25 a run. */
	assert_int_equal(free_space_thresholds(GIB(1), 4096).high, 1438);
	assert_int_equal(free_space_thresholds(GIB(1), 4096).low, 1338);
	assert_int_equal(free_space_thresholds(MIB(8), 4096).low, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_have_the_disk_order),
		cmocka_unit_test(fill_and_find_against_bytes),
		cmocka_unit_test(sizes_of_items),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
