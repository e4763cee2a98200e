/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_base.c - locks with ranks, pooled buffers, key order, log capture. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/base/buffer.h"
#include "disk/base/lock.h"
#include "disk/base/log.h"
#include "disk/format/key.h"

static void test_key_order(void **state)
{
	const struct key keys[] = {
		KEY_MIN,      {0, 0, 1},          {0, 1, 0}, {1, 0, 0}, {256, 84, UINT64_MAX},
		{256, 96, 0}, {UINT64_MAX, 0, 0}, KEY_MAX,
	};

	for (size_t a = 0; a < ARRAY_SIZE(keys); a++)
		for (size_t b = 0; b < ARRAY_SIZE(keys); b++)
			assert_int_equal(key_cmp(&keys[a], &keys[b]), a < b ? -1 : a > b);
}

static void test_key_neighbours(void **state)
{
	struct key k = {5, 255, UINT64_MAX}, next = key_next(k), back = key_prev(next);

	assert_true(key_equal(&next, &KEY(6, 0, 0)));
	assert_true(key_equal(&back, &k));
	k = key_next(KEY_MAX);
	assert_true(key_equal(&k, &KEY_MAX));
	k = key_prev(KEY_MIN);
	assert_true(key_equal(&k, &KEY_MIN));
}

static void test_key_disk(void **state)
{
	u8 disk[18];
	struct key k = {0x0102030405060708, 0x84, 0x1112131415161718}, back;

	key_to_disk(disk + 1, &k);
	assert_int_equal(disk[1], 8);
	assert_int_equal(disk[9], 0x84);
	back = key_from_disk(disk + 1);
	assert_true(key_equal(&k, &back));
}

static void test_buffers(void **state)
{
	static const size_t sizes[] = {1, 4096, 16384, 65536, 131072, 1 << 20, 3 << 20};
	u8 *bufs[ARRAY_SIZE(sizes)][20];

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (size_t i = 0; i < 20; i++) {
			bufs[s][i] = buffer_get(sizes[s]);
			assert_non_null(bufs[s][i]);
			assert_true(IS_ALIGNED((uintptr_t)bufs[s][i], BUFFER_ALIGN));
			memset(bufs[s][i], (int)(s * 20 + i), sizes[s]);
		}
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (size_t i = 0; i < 20; i++) {
			assert_int_equal(bufs[s][i][0], s * 20 + i);
			assert_int_equal(bufs[s][i][sizes[s] - 1], s * 20 + i);
			buffer_put(bufs[s][i]);
		}
	buffer_put(NULL);
	buffer_pool_drain();
}

static void *churn_buffers(void *arg)
{
	u8 *held[64] = {0};

	for (u32 i = 0; i < 20000; i++) {
		u32 at = (i * 2654435761u) >> 26;

		buffer_put(held[at]);
		held[at] = buffer_get((size_t)4096 << (i % 4));
		held[at][0] = 1;
	}
	for (u32 i = 0; i < 64; i++)
		buffer_put(held[i]);
	return arg;
}

static void test_buffers_threads(void **state)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn_buffers, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	buffer_pool_drain();
}

static void test_take(void **state)
{
	char *a = (char *)(uintptr_t)4096, *b = TAKE(a);

	assert_null(a);
	assert_ptr_equal(b, (char *)(uintptr_t)4096);
}

static void test_log_capture(void **state)
{
	struct reason why = {0};
	u64 before = log_fault_count();

	log_capture(&why);
	log_fault("first %d", 1);
	log_fault("second");
	log_capture(NULL);
	assert_string_equal(why.text, "first 1");
	assert_int_equal(log_fault_count(), before + 2);
}

static void test_timed_wait(void **state)
{
	struct mutex m;
	struct cond c;

	mutex_init(&m, RANK_GROUP);
	cond_init(&c);
	mutex_lock(&m);
	assert_int_equal(cond_timedwait_ms(&c, &m, 5), -ETIMEDOUT);
	mutex_unlock(&m);
	cond_destroy(&c);
	mutex_destroy(&m);
}

#ifdef BTRFUSE_DEBUG

static struct rwlock trees[3];
static struct mutex group, space, ref;
static struct rwlock inodes[2];

static void order_good(void)
{
	rwlock_wrlock(&inodes[0]);
	rwlock_wrlock(&inodes[1]);
	rwlock_wrlock(&trees[0]);
	mutex_lock(&ref);
	rwlock_rdlock(&trees[1]);
	mutex_lock(&space);
	mutex_lock(&group);
}

static void order_ref_then_tree(void)
{
	mutex_lock(&ref);
	rwlock_wrlock(&trees[1]);
}

static void order_group_then_space(void)
{
	mutex_lock(&group);
	mutex_lock(&space);
}

static void order_two_trees(void)
{
	rwlock_rdlock(&trees[0]);
	rwlock_rdlock(&trees[1]);
}

static void order_second_tree_for_writing(void)
{
	rwlock_wrlock(&trees[0]);
	mutex_lock(&ref);
	rwlock_wrlock(&trees[1]);
}

static void order_three_trees(void)
{
	rwlock_wrlock(&trees[0]);
	mutex_lock(&ref);
	rwlock_rdlock(&trees[1]);
	rwlock_rdlock(&trees[2]);
}

static void order_wait_under_tree(void)
{
	struct cond c;

	cond_init(&c);
	rwlock_rdlock(&trees[0]);
	mutex_lock(&group);
	(void)!cond_timedwait_ms(&c, &group, 1);
}

/* True if @run ends in abort(); in a child, since an abort is meant. */
static bool aborts(void (*run)(void))
{
	struct rlimit none = {0, 0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		run();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_lock_ranks(void **state)
{
	for (size_t i = 0; i < 3; i++)
		rwlock_init(&trees[i], RANK_TREE);
	for (size_t i = 0; i < 2; i++)
		rwlock_init(&inodes[i], RANK_INODE);
	mutex_init(&group, RANK_GROUP);
	mutex_init(&space, RANK_SPACE);
	mutex_init(&ref, RANK_NODE_REF);
	assert_false(aborts(order_good));
	assert_false(aborts(order_ref_then_tree));
	assert_true(aborts(order_group_then_space));
	assert_true(aborts(order_two_trees));
	assert_true(aborts(order_second_tree_for_writing));
	assert_true(aborts(order_three_trees));
	assert_true(aborts(order_wait_under_tree));
}

static void test_lock_scope(void **state)
{
	{
		MUTEX_SCOPE(&space);
		MUTEX_SCOPE(&group);
		mutex_assert_held(&group);
	}
	{
		MUTEX_SCOPE(&space);
	}
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_order),       cmocka_unit_test(test_key_neighbours),
		cmocka_unit_test(test_key_disk),        cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_buffers_threads), cmocka_unit_test(test_take),
		cmocka_unit_test(test_log_capture),     cmocka_unit_test(test_timed_wait),
#ifdef BTRFUSE_DEBUG
		cmocka_unit_test(test_lock_ranks),      cmocka_unit_test(test_lock_scope),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
