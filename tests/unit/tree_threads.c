/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree_threads.c - readers against one writer in a tree, with a cache that holds a fraction.
 *
 * Every fourth key is there from the start and never touched: a reader finds each of them whatever
 * the writer does, in order, with the right bytes. Run under ThreadSanitizer as well.
 */
#include "tree_fixture.h"

#include <cmocka.h>

#define KEYS 6000u
#define STEP 4u
#define READERS 3

static _Atomic bool stop;
static _Atomic u64 items_seen;

static struct key key_of(u32 i)
{
	return KEY(i / 64, FX_ITEM_TYPE, i % 64);
}

static u32 index_of(const struct key *key)
{
	return (u32)(key->objectid * 64 + key->offset);
}

static u32 size_of(u32 i)
{
	return 20 + i * 7 % 150;
}

static void fill(u8 *data, u32 i)
{
	memset(data, (int)(i & 0xff), size_of(i));
}

static void check_item(const struct path *path)
{
	struct key key = path_key(path);
	u32 i = index_of(&key), size = path_size(path);
	const u8 *data = path_data(path);

	CHECK(size == size_of(i));
	CHECK(data[0] == (u8)i && data[size - 1] == (u8)i);
	items_seen++;
}

/* One step along: no constant key may be left out. */
static void check_step(u32 from, u32 to)
{
	CHECK(to > from);
	CHECK(from / STEP == to / STEP || to == from / STEP * STEP + STEP ||
	      (from % STEP && to / STEP == from / STEP + 1 && to % STEP == 0));
}

static void read_forward(struct path *path, u32 steps)
{
	struct key key = path_key(path);
	u32 at = index_of(&key);

	while (steps-- && !tree_next(path)) {
		u32 next;

		key = path_key(path);
		next = index_of(&key);
		check_item(path);
		check_step(at, next);
		at = next;
	}
}

static void read_backward(struct path *path, u32 steps)
{
	struct key key = path_key(path);
	u32 at = index_of(&key);

	while (steps-- && !tree_prev(path)) {
		u32 next;

		key = path_key(path);
		next = index_of(&key);
		check_item(path);
		check_step(next, at);
		at = next;
	}
}

static void *reader(void *arg)
{
	u64 rng = (u64)(uintptr_t)arg * 2654435761u + 1;

	while (!stop) {
		_cleanup_path_ struct path path = {};
		struct key key;

		rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
		key = key_of((u32)(rng >> 20) % (KEYS / STEP) * STEP);
		CHECK(tree_search(&fx->root, &key, &path) == 0);
		check_item(&path);
		if (rng & 1024)
			read_forward(&path, (u32)(rng >> 32) % 200);
		else
			read_backward(&path, (u32)(rng >> 32) % 200);
	}
	return NULL;
}

static void write_one(u8 *data)
{
	u32 i = fx_below(KEYS);
	struct key key = key_of(i);
	int rc;

	if (i % STEP == 0) {
		rc = tree_cow_node(&fx->trans, &fx->root, &key, (u8)fx_below(2), 0);
		CHECK(rc == 0);
		return;
	}
	fill(data, i);
	rc = fx_below(2) ? tree_insert(&fx->trans, &fx->root, &key, data, size_of(i))
			 : tree_delete_key(&fx->trans, &fx->root, &key);
	CHECK(rc == 0 || rc == -EEXIST || rc == -ENOENT);
}

static void fill_constant_keys(void)
{
	u8 data[256];

	for (u32 i = 0; i < KEYS; i += STEP) {
		struct key key = key_of(i);

		fill(data, i);
		CHECK(tree_insert(&fx->trans, &fx->root, &key, data, size_of(i)) == 0);
	}
	fx_commit();
}

static void run_threads(u64 cache_bytes, int writes)
{
	pthread_t threads[READERS];
	struct node_cache_stats stats;
	u8 data[256];

	fx_open(4096, cache_bytes, 42);
	fx->miss_percent = 5;
	fill_constant_keys();
	stop = false;
	items_seen = 0;
	for (int i = 0; i < READERS; i++)
		CHECK(!pthread_create(&threads[i], NULL, reader, (void *)(uintptr_t)(i + 1)));
	for (int i = 0; i < writes; i++) {
		write_one(data);
		if (i % 50 == 49)
			fx_commit();
	}
	stop = true;
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	fx_verify();
	node_cache_stats(&fx->fs, &stats);
	print_message("%llu items read, %llu hits, %llu misses, %llu evictions\n",
		      (unsigned long long)items_seen, (unsigned long long)stats.hits,
		      (unsigned long long)stats.misses, (unsigned long long)stats.evictions);
	fx_close();
}

static void test_small_cache(void **state)
{
	run_threads(KIB(64), 3000);
}

static void test_large_cache(void **state)
{
	run_threads(MIB(64), 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_cache),
		cmocka_unit_test(test_large_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
