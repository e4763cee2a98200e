/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_sync_point.c - park, wait, release, fail, guards, watchdog; without test hooks: that nothing
 * of it is left. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/base/sync_point.h"

#ifdef BTRFUSE_TEST

static int passed; /* atomic */

static void *pass_point(void *arg)
{
	SP("test.point", .ino = (u64)(uintptr_t)arg, .off = 4096);
	__atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void say(const char *line, const char *want)
{
	char reply[1024];

	sync_point_command(line, reply, sizeof(reply));
	if (strncmp(reply, want, strlen(want)))
		fail_msg("%s: got \"%s\", wanted \"%s\"", line, reply, want);
}

static void test_park_and_release(void **state)
{
	pthread_t a, b;

	say("arm test.point ino=257", "ok test.point");
	say("wait test.point 0.01", "error timeout");
	pthread_create(&a, NULL, pass_point, (void *)258);
	pthread_join(a, NULL);
	assert_int_equal(passed, 1);
	pthread_create(&a, NULL, pass_point, (void *)257);
	say("wait test.point 5", "ok test.point tid=");
	say("threads", "ok watchdog=0 ");
	pthread_create(&b, NULL, pass_point, (void *)257); /* one arm parks one thread */
	pthread_join(b, NULL);
	assert_int_equal(__atomic_load_n(&passed, __ATOMIC_RELAXED), 2);
	say("release test.point", "ok released=1");
	pthread_join(a, NULL);
	assert_int_equal(passed, 3);
	assert_int_equal(sync_point_armed, 0);
}

static void test_nth_pass(void **state)
{
	pthread_t a;

	passed = 0;
	say("arm test.point 3", "ok");
	pass_point(NULL);
	pass_point(NULL);
	pthread_create(&a, NULL, pass_point, NULL);
	say("wait test.point 5", "ok");
	assert_int_equal(__atomic_load_n(&passed, __ATOMIC_RELAXED), 2);
	say("release all", "ok released=1");
	pthread_join(a, NULL);
}

static void test_fail(void **state)
{
	assert_int_equal(SP_FAIL("test.io", .off = 1), 0);
	say("fail test.io ENOSPC off=8 2", "ok");
	assert_int_equal(SP_FAIL("test.io", .off = 1), 0);
	assert_int_equal(SP_FAIL("test.io", .off = 8), -ENOSPC);
	assert_int_equal(SP_FAIL("test.io", .off = 8), -ENOSPC);
	assert_int_equal(SP_FAIL("test.io", .off = 8), 0);
	say("fail test.io 5", "ok");
	say("release test.io", "ok released=0");
	assert_int_equal(SP_FAIL("test.io"), 0);
}

static void test_guards(void **state)
{
	say("guards", "ok drain=on token_until_io=on ro_check=on");
	assert_true(GUARD(pin));
	say("guard pin off", "ok pin=off");
	assert_false(GUARD(pin));
	assert_true(GUARD(drain));
	say("guard pin on", "ok");
	assert_true(GUARD(pin));
	say("guard nonsense off", "error");
	say("guard pin", "error");
}

static void test_bad_commands(void **state)
{
	say("", "error");
	say("dance", "error unknown command");
	say("arm", "error");
	say("arm x colour=3", "error unknown key");
	say("arm x 0", "error");
	say("fail x", "error");
	assert_int_equal(sync_point_armed, 0);
}

static void test_watchdog(void **state)
{
	pthread_t a;

	setenv("BTRFUSE_TEST_WATCHDOG", "0.1", 1);
	say("arm test.point", "ok");
	pthread_create(&a, NULL, pass_point, NULL);
	pthread_join(a, NULL); /* nobody released it */
	say("threads", "ok watchdog=1");
}

static int chance_fault(void)
{
	return SP_FAIL("al.data");
}

static void test_schedule(void **state)
{
	pthread_t a, b;
	unsigned failed = 0;

	say("schedule", "ok 0");
	say("schedule 7 faults", "ok 0");
	passed = 0;
	pthread_create(&a, NULL, pass_point, (void *)1);
	pthread_create(&b, NULL, pass_point, (void *)2);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(passed, 2);
	say("schedule", "ok 2");
	for (int i = 0; i < 300; i++)
		failed += chance_fault() == -ENOSPC;
	assert_in_range(failed, 1, 60);
	say("schedule off", "ok");
	assert_int_equal(sync_point_armed, 0);
	pass_point(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_park_and_release),
		cmocka_unit_test(test_nth_pass),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_bad_commands),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_nothing_left(void **state)
{
	SP("test.point", .ino = 1);
	assert_int_equal(SP_FAIL("test.io", .off = 1), 0);
	assert_true(GUARD(drain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_left)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
