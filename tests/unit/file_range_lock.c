/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file_range_lock.c - who shares, who waits, in which order; and many threads over one array. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file/range_lock.h"

#define CELLS 64
#define THREADS 4
#define ROUNDS 4000

static struct range_locks locks;
static u64 cells[CELLS];

static void test_conflicts(void **state)
{
	struct range_lock a = {}, b = {}, c = {};

	range_locks_init(&locks);
	range_lock(&locks, &a, 0, 10, false);
	assert_true(range_trylock(&locks, &b, 5, 15, false));
	assert_false(range_trylock(&locks, &c, 9, 12, true));
	assert_true(range_trylock(&locks, &c, 15, 20, true));
	range_unlock(&c);
	range_unlock(&a);
	assert_false(range_trylock(&locks, &a, 9, 12, true));
	range_unlock(&b);
	assert_true(range_trylock(&locks, &a, 9, 12, true));
	assert_false(range_trylock(&locks, &b, 11, 12, false));
	range_unlock(&a);
	range_unlock(&a);
	range_locks_destroy(&locks);
}

static void *wait_exclusive(void *arg)
{
	struct range_lock l = {};

	range_lock(&locks, &l, 0, 10, true);
	cells[0] = 1;
	range_unlock(&l);
	return NULL;
}

/* A reader that comes after a waiting writer does not overtake it. */
static void test_fair(void **state)
{
	struct range_lock a = {}, b = {};
	pthread_t t;
	bool got = true;

	range_locks_init(&locks);
	cells[0] = 0;
	range_lock(&locks, &a, 0, 10, false);
	assert_int_equal(pthread_create(&t, NULL, wait_exclusive, NULL), 0);
	for (int i = 0; i < 5000 && got; i++) {
		got = range_trylock(&locks, &b, 5, 6, false);
		range_unlock(&b);
		usleep(1000);
	}
	assert_false(got);
	assert_int_equal(cells[0], 0);
	range_unlock(&a);
	pthread_join(t, NULL);
	assert_int_equal(cells[0], 1);
	range_locks_destroy(&locks);
}

/* Exclusive holders make their cells unequal for a moment; nobody may see that. */
static void *hammer(void *arg)
{
	u64 rng = (u64)(uintptr_t)arg * 2654435761u + 99991;

	for (int i = 0; i < ROUNDS; i++) {
		struct range_lock l = {};
		u64 start, end;

		rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		start = (rng >> 33) % CELLS;
		end = start + 1 + (rng >> 40) % (CELLS - start);
		range_lock(&locks, &l, start, end, (rng >> 60) < 6);
		for (u64 c = start; c < end; c++) {
			if (l.exclusive)
				cells[c]++;
			else if (cells[c] & 1)
				return (void *)1;
		}
		for (u64 c = start; c < end && l.exclusive; c++)
			cells[c]++;
		range_unlock(&l);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[THREADS];
	void *bad;

	range_locks_init(&locks);
	memset(cells, 0, sizeof(cells));
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hammer, (void *)i), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	range_locks_destroy(&locks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
