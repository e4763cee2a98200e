/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate under many threads: writers that come and go against one that closes the group, drains it
 * and looks. Worth most under ThreadSanitizer. The "content" of the group is a plain int that writers
 * change while they hold a token and the relocator reads after the drain: any writer inside then is
 * a data race and a wrong value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <pthread.h>
#include <errno.h>
#include <time.h>
#include <cmocka.h>

#include "core/fs.h"
#include "core/space/space_impl.h"

#define WRITERS 6
#define ROUNDS 200

struct world {
	struct fs fs;
	struct space space;
	struct block_group *bg;
	u64 content[WRITERS]; /* each writer's own, changed under a token only */
	_Atomic bool stop;
	_Atomic u64 granted, refused;
};

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct block_group *bg = calloc(1, sizeof(*bg));

	w->fs.space = &w->space;
	w->space.fs = &w->fs;
	group_table_init(&w->space);
	mutex_init(&w->space.lock, RANK_SPACE);
	cond_init(&w->space.changed);
	bg->fs = &w->fs;
	bg->logical = MIB(16);
	bg->length = MIB(8);
	bg->flags = BTRFS_BLOCK_GROUP_DATA;
	atomic_init(&bg->refs, 1);
	mutex_init(&bg->lock, RANK_GROUP);
	cond_init(&bg->changed);
	SLIST_INIT(&bg->pinned_sets);
	free_extents_init(&bg->free);
	free_extents_init(&bg->tree_take);
	free_extents_init(&bg->tree_give);
	rwlock_wrlock(&w->space.table_lock);
	group_table_insert(&w->space, bg);
	rwlock_unlock(&w->space.table_lock);
	w->bg = bg;
	return w;
}

static void world_free(struct world *w)
{
	block_group_put(w->bg);
	group_table_clear(&w->space);
	cond_destroy(&w->space.changed);
	mutex_destroy(&w->space.lock);
	free(w);
}

struct writer {
	struct world *w;
	int number;
};

static void *writer_main(void *arg)
{
	struct writer *me = arg;
	struct world *w = me->w;

	while (!w->stop) {
		struct block_group *bg;

		if (!block_group_writer_get(&w->fs, MIB(17), 4096, &bg)) {
			w->refused++;
			sched_yield();
			continue;
		}
		w->content[me->number]++;
		w->granted++;
		block_group_writer_put(bg);
	}
	return NULL;
}

static void nobody_is_inside_after_the_drain(void **state)
{
	struct world *w = world_new();
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){w, i};
		assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
	}
	for (int round = 0; round < ROUNDS; round++) {
		u64 before[WRITERS];

		assert_int_equal(block_group_set_ro(&w->fs, w->bg), 0);
		assert_int_equal(block_group_drain(w->bg, NULL, NULL), 0);
		memcpy(before, w->content, sizeof(before));
		sched_yield();
		assert_memory_equal(before, w->content, sizeof(before));
		block_group_clear_ro(&w->fs, w->bg);
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	w->stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(w->granted > 0);
	assert_int_equal(w->bg->nocow_writers, 0);
	assert_int_equal(atomic_load(&w->bg->refs), 2);
	world_free(w);
}

static void range_must_lie_in_one_group(void **state)
{
	struct world *w = world_new();
	struct block_group *bg = NULL;

	assert_false(block_group_writer_get(&w->fs, MIB(15), 4096, &bg));
	assert_false(block_group_writer_get(&w->fs, MIB(24), 4096, &bg));
	assert_false(block_group_writer_get(&w->fs, MIB(24) - 4096, 8192, &bg));
	assert_true(block_group_writer_get(&w->fs, MIB(24) - 4096, 4096, &bg));
	block_group_writer_put(bg);
	world_free(w);
}

static void read_only_nests(void **state)
{
	struct world *w = world_new();
	struct block_group *bg;

	assert_int_equal(block_group_set_ro(&w->fs, w->bg), 0);
	assert_int_equal(block_group_set_ro(&w->fs, w->bg), 0);
	block_group_clear_ro(&w->fs, w->bg);
	assert_true(block_group_is_ro(w->bg));
	assert_false(block_group_writer_get(&w->fs, MIB(16), 4096, &bg));
	block_group_clear_ro(&w->fs, w->bg);
	assert_false(block_group_is_ro(w->bg));
	assert_true(block_group_writer_get(&w->fs, MIB(16), 4096, &bg));
	block_group_writer_put(bg);
	world_free(w);
}

static bool yes(void *ctx)
{
	return true;
}

static void a_drain_can_be_cancelled(void **state)
{
	struct world *w = world_new();
	struct block_group *bg;

	assert_true(block_group_writer_get(&w->fs, MIB(16), 4096, &bg));
	assert_int_equal(block_group_set_ro(&w->fs, w->bg), 0);
	assert_int_equal(block_group_drain(w->bg, yes, NULL), -ECANCELED);
	block_group_writer_put(bg);
	assert_int_equal(block_group_drain(w->bg, yes, NULL), 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_inside_after_the_drain),
		cmocka_unit_test(range_must_lie_in_one_group),
		cmocka_unit_test(read_only_nests),
		cmocka_unit_test(a_drain_can_be_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
