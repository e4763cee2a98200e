/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file_dirty_map.c - the dirty map against one byte for each sector. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/file/dirty_map.h"
#include "disk/base/buffer.h"

#define SS 4096ull
#define SECTORS 1000

static bool model[SECTORS];
static u64 seed = 88172645463325252ull;

static u64 below(u64 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

static u64 model_count(u64 start, u64 end)
{
	u64 n = 0;

	for (u64 i = start; i < end; i++)
		n += model[i];
	return n;
}

static void check_next(struct dirty_map *map, u64 from, u64 limit)
{
	u64 start = from, end, got_start, got_end;

	while (start < limit && !model[start])
		start++;
	for (end = start; end < limit && model[end]; end++)
		;
	if (start >= limit) {
		assert_false(dirty_map_next(map, from * SS, limit * SS, &got_start, &got_end));
		return;
	}
	assert_true(dirty_map_next(map, from * SS, limit * SS, &got_start, &got_end));
	assert_int_equal(got_start, start * SS);
	assert_int_equal(got_end, end * SS);
}

static void check_last(struct dirty_map *map)
{
	u64 end = SECTORS;

	while (end && !model[end - 1])
		end--;
	assert_int_equal(dirty_map_end(map), end * SS);
}

static void change(struct dirty_map *map, u64 start, u64 end)
{
	bool set = below(2);

	if (set)
		assert_int_equal(dirty_map_set(map, start * SS, end * SS), 0);
	else
		assert_int_equal(dirty_map_clear(map, start * SS, end * SS),
				 model_count(start, end) * SS);
	memset(model + start, set, end - start);
}

static void test_model(void **state)
{
	struct dirty_map map;

	dirty_map_init(&map, SS);
	for (int i = 0; i < 50000; i++) {
		u64 start = below(SECTORS), end = start + 1 + below(below(5) ? 8 : 200);

		end = MIN(end, (u64)SECTORS);
		change(&map, start, end);
		start = below(SECTORS);
		end = start + below(SECTORS - start + 1);
		assert_int_equal(dirty_map_count(&map, start * SS, end * SS),
				 model_count(start, end) * SS);
		check_next(&map, start, end);
		check_last(&map);
		assert_int_equal(map.bytes, model_count(0, SECTORS) * SS);
	}
	assert_int_equal(dirty_map_clear(&map, 0, UINT64_MAX), model_count(0, SECTORS) * SS);
	assert_int_equal(map.window_count, 0);
	dirty_map_destroy(&map);
}

/* The bytes of a sector stay where they are while others come and go. */
static void test_bytes(void **state)
{
	struct dirty_map map;
	struct iovec iov[8];
	u64 room, sum = 0;
	u8 *p;
	int n;

	dirty_map_init(&map, SS);
	assert_int_equal(dirty_map_set(&map, 15 * SS, 40 * SS), 0);
	for (u64 i = 15; i < 40; i++) {
		p = dirty_map_at(&map, i * SS, &room);
		assert_true(p && room >= SS);
		memset(p, (int)i, SS);
	}
	assert_int_equal(dirty_map_clear(&map, 0, 17 * SS), 2 * SS);
	assert_int_equal(dirty_map_set(&map, 0, 5 * SS), 0);
	n = dirty_map_iov(&map, 17 * SS, 40 * SS, iov, 8);
	assert_int_equal(n, 2);
	for (int i = 0; i < n; i++) {
		for (u64 at = 0; at < iov[i].iov_len; at += SS, sum++)
			assert_int_equal(((u8 *)iov[i].iov_base)[at + 100], 17 + sum);
	}
	assert_int_equal(sum, 23);
	dirty_map_destroy(&map);
	assert_int_equal(map.window_count, 0);
	buffer_pool_drain();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
