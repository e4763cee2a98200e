/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree_model.c - random changes to a tree against a sorted array of the same items.
 *
 * Every operation of item.h and search.h, small nodes and large ones, caches from a few nodes to
 * all; after each batch the shape, every item, and both directions of walking are compared.
 */
#include "tree_fixture.h"

#include <cmocka.h>

#define MODEL_MAX 6000

struct model_item {
	struct key key;
	u32 size;
	u8 *data;
};

static struct model_item model[MODEL_MAX + 8];
static int model_count;

/* First entry with a key >= @key. */
static int model_find(const struct key *key)
{
	int low = 0, high = model_count;

	while (low < high) {
		int mid = (low + high) / 2;

		if (key_cmp(&model[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool model_has(int at, const struct key *key)
{
	return at < model_count && key_equal(&model[at].key, key);
}

static void model_insert(int at, const struct key *key, const void *data, u32 size)
{
	u8 *copy = malloc(size + 1);

	CHECK(copy && model_count < MODEL_MAX);
	memcpy(copy, data, size);
	memmove(&model[at + 1], &model[at], sizeof(model[0]) * (size_t)(model_count - at));
	model[at] = (struct model_item){*key, size, copy};
	model_count++;
}

static void model_remove(int at)
{
	free(model[at].data);
	model_count--;
	memmove(&model[at], &model[at + 1], sizeof(model[0]) * (size_t)(model_count - at));
}

static void model_clear(void)
{
	while (model_count)
		model_remove(model_count - 1);
}

static struct key random_key(void)
{
	return KEY(fx_below(400), FX_ITEM_TYPE, fx_below(64));
}

static u32 random_size(void)
{
	u32 max = LEAF_ITEM_MAX(fx->fs.nodesize);

	switch (fx_below(20)) {
	case 0:
		return max - fx_below(3);
	case 1:
	case 2:
		return fx_below(max);
	case 3:
		return 0;
	default:
		return fx_below(max / 16);
	}
}

static void random_fill(u8 *data, u32 size)
{
	u64 seed = fx_random();

	for (u32 i = 0; i < size; i++)
		data[i] = (u8)(seed >> (i % 8 * 8)) + (u8)(i / 8);
}

static void expect_path_is(const struct path *path, int at)
{
	struct key key = path_key(path);

	CHECK(at < model_count && key_equal(&key, &model[at].key));
	CHECK(path_size(path) == model[at].size);
	CHECK(!memcmp(path_data(path), model[at].data, model[at].size));
}

/* Changes */

static void do_insert_key(struct key key)
{
	static u8 data[65536];
	u32 size = random_size();
	int at = model_find(&key), rc;

	if (model_count >= MODEL_MAX)
		return;
	random_fill(data, size);
	rc = tree_insert(&fx->trans, &fx->root, &key, data, size);
	CHECK(rc == (model_has(at, &key) ? -EEXIST : 0));
	if (!rc)
		model_insert(at, &key, data, size);
}

static void do_insert(void)
{
	do_insert_key(random_key());
}

static void do_insert_run(void)
{
	struct key key = random_key();

	for (u32 n = fx_below(40); n > 0; n--) {
		do_insert_key(key);
		key = key_next(key);
	}
}

static void do_put(void)
{
	static u8 data[65536];
	struct key key = random_key();
	u32 size = random_size();
	int at = model_find(&key);

	if (model_count >= MODEL_MAX)
		return;
	random_fill(data, size);
	CHECK(tree_put(&fx->trans, &fx->root, &key, data, size) == 0);
	if (model_has(at, &key))
		model_remove(at);
	model_insert(at, &key, data, size);
}

static void do_delete_key(void)
{
	struct key key = random_key();
	int at = model_find(&key);
	int rc = tree_delete_key(&fx->trans, &fx->root, &key);

	CHECK(rc == (model_has(at, &key) ? 0 : -ENOENT));
	if (!rc)
		model_remove(at);
}

/* Deletes a stretch of items, leaf by leaf, as truncation does. */
static void do_delete_run(void)
{
	_cleanup_path_ struct path path = {};
	struct key key = random_key();
	int at = model_find(&key), left = (int)fx_below(60), rc = 0;

	while (left > 0 && at < model_count) {
		int count;

		rc = tree_search_cow_next(&fx->trans, &fx->root, &key, -1, &path);
		CHECK(rc >= 0);
		expect_path_is(&path, at);
		count = MIN(left, path_nritems(&path) - path.slots[0]);
		count = 1 + (int)fx_below((u32)count);
		CHECK(tree_delete_range_in_leaf(&fx->trans, &path, count) == 0);
		if (path.lock == PATH_WRITE && !path_at_end(&path)) {
			struct key next = path_key(&path);

			CHECK(key_equal(&next, &model[at + count].key));
		}
		for (left -= count; count > 0; count--)
			model_remove(at);
	}
}

/* Walks write-locked and deletes every other item on the way. */
static void do_walk_delete(void)
{
	_cleanup_path_ struct path path = {};
	struct key key = random_key();
	int at = model_find(&key);
	int rc = tree_search_cow_next(&fx->trans, &fx->root, &key, -1, &path);

	for (u32 steps = fx_below(50); steps && rc >= 0; steps--) {
		expect_path_is(&path, at);
		if (steps & 1) {
			at++;
			rc = tree_next_cow(&fx->trans, &path, -1);
			if (rc == 1)
				break;
			CHECK(rc == 0);
			continue;
		}
		CHECK(tree_delete(&fx->trans, &path) == 0);
		model_remove(at);
		if (path.lock == PATH_UNLOCKED || path_at_end(&path))
			break;
	}
	CHECK(rc >= 0 || rc == -ENOENT);
}

/* A random existing item, write-locked; -1 if there is none. */
static int lock_some(struct path *path, int ins_len)
{
	int at = model_count ? (int)fx_below((u32)model_count) : -1;

	if (at < 0)
		return at;
	CHECK(tree_search_cow(&fx->trans, &fx->root, &model[at].key, ins_len, path) == 0);
	expect_path_is(path, at);
	return at;
}

static void do_extend(void)
{
	_cleanup_path_ struct path path = {};
	int at = lock_some(&path, 1);
	u32 delta, max;

	if (at < 0)
		return;
	max = LEAF_ITEM_MAX(fx->fs.nodesize) - model[at].size;
	delta = fx_below(4) ? fx_below(max / 8 + 1) : fx_below(max + 1);
	CHECK(tree_extend_item(&fx->trans, &path, delta) == 0);
	model[at].data = realloc(model[at].data, model[at].size + delta + 1);
	memset(model[at].data + model[at].size, 0, delta);
	model[at].size += delta;
	expect_path_is(&path, at);
}

static void do_truncate(void)
{
	_cleanup_path_ struct path path = {};
	int at = lock_some(&path, 0);
	bool front = fx_below(2);
	u32 size;

	if (at < 0)
		return;
	size = fx_below(model[at].size + 1);
	tree_truncate_item(&fx->trans, &path, size, front);
	if (front)
		memmove(model[at].data, model[at].data + model[at].size - size, size);
	model[at].size = size;
	expect_path_is(&path, at);
}

static bool key_is_free_behind(int at)
{
	struct key next = key_next(model[at].key);

	return model_count < MODEL_MAX && !model_has(at + 1, &next);
}

static void do_split(void)
{
	_cleanup_path_ struct path path = {};
	int at = lock_some(&path, 1);
	u32 offset;
	struct key key;

	if (at < 0 || !key_is_free_behind(at))
		return;
	key = key_next(model[at].key);
	offset = fx_below(model[at].size + 1);
	CHECK(tree_split_item(&fx->trans, &path, &key, offset) == 0);
	model_insert(at + 1, &key, model[at].data + offset, model[at].size - offset);
	model[at].size = offset;
	expect_path_is(&path, at + 1);
}

static void do_duplicate(void)
{
	_cleanup_path_ struct path path = {};
	int at = lock_some(&path, 1);
	struct key key;

	if (at < 0 || !key_is_free_behind(at))
		return;
	key = key_next(model[at].key);
	CHECK(tree_duplicate_item(&fx->trans, &path, &key) == 0);
	model_insert(at + 1, &key, model[at].data, model[at].size);
	expect_path_is(&path, at + 1);
}

static void do_set_key(void)
{
	_cleanup_path_ struct path path = {};
	int at = lock_some(&path, 0);
	struct key key;

	if (at < 0)
		return;
	key = fx_below(2) ? key_next(model[at].key) : key_prev(model[at].key);
	if (model_has(at + 1, &key) || (at && model_has(at - 1, &key)))
		return;
	tree_set_key(&fx->trans, &path, &key);
	model[at].key = key;
	expect_path_is(&path, at);
}

static void do_cow_node(void)
{
	_cleanup_path_ struct path path = {};
	struct key key = random_key();
	u8 level = (u8)fx_below(4);
	u64 before;
	int rc = tree_find_level(&fx->root, &key, level, &path);

	CHECK(rc >= 0);
	before = path.nodes[path.lowest_level]->logical;
	rc = path.lowest_level == level ? 0 : 1;
	path_release(&path);
	CHECK(tree_cow_node(&fx->trans, &fx->root, &key, level, before) == rc);
	CHECK(tree_cow_node(&fx->trans, &fx->root, &key, level, before) == 1);
}

/* Looking */

static void do_search_next(void)
{
	_cleanup_path_ struct path path = {};
	struct key key = random_key();
	int at = model_find(&key), rc = tree_search_next(&fx->root, &key, &path);

	CHECK(rc == (at >= model_count ? -ENOENT : model_has(at, &key) ? 0 : 1));
	for (u32 n = fx_below(30); rc >= 0 && n; n--) {
		expect_path_is(&path, at++);
		if (tree_next(&path))
			break;
	}
}

static void do_search_prev(void)
{
	_cleanup_path_ struct path path = {};
	struct key key = random_key();
	int at = model_find(&key), rc = tree_search_prev(&fx->root, &key, &path);

	at -= !model_has(at, &key);
	CHECK(rc == (at < 0 ? -ENOENT : model_has(at, &key) ? 0 : 1));
	for (u32 n = fx_below(30); rc >= 0 && n; n--) {
		expect_path_is(&path, at--);
		if (tree_prev(&path))
			break;
	}
	if (rc >= 0 && path.lock && at + 1 < model_count && at >= 0 && !tree_next(&path))
		expect_path_is(&path, at + 1);
	path_release(&path);
	at = model_find(&key);
	at -= !model_has(at, &key);
	rc = tree_search_cow_prev(&fx->trans, &fx->root, &key, 0, &path);
	CHECK(rc == (at < 0 ? -ENOENT : model_has(at, &key) ? 0 : 1));
	if (rc >= 0)
		expect_path_is(&path, at);
}

static void do_lookup(void)
{
	struct key key = random_key();
	int at = model_find(&key);
	u8 buf[64];
	int rc = tree_lookup(&fx->root, &key, buf, sizeof(buf));

	CHECK(rc == (model_has(at, &key) ? (int)model[at].size : -ENOENT));
	if (rc > 0)
		CHECK(!memcmp(buf, model[at].data, MIN((u32)rc, (u32)sizeof(buf))));
}

static void compare_all(void)
{
	_cleanup_path_ struct path path = {};
	int at = 0, rc = tree_search_next(&fx->root, &KEY_MIN, &path);

	for (; rc >= 0 && rc != 2; at++) {
		expect_path_is(&path, at);
		rc = tree_next(&path) ? 2 : 0;
	}
	CHECK(at == model_count);
	rc = tree_search_prev(&fx->root, &KEY_MAX, &path);
	for (; rc >= 0 && rc != 2; at--) {
		expect_path_is(&path, at - 1);
		rc = tree_prev(&path) ? 2 : 0;
	}
	CHECK(at == 0);
}

static void (*const grow_ops[])(void) = {
	do_insert, do_insert, do_insert_run, do_put, do_extend, do_split, do_duplicate,
};
static void (*const shrink_ops[])(void) = {
	do_delete_key, do_delete_key, do_delete_run, do_delete_run, do_walk_delete, do_truncate,
};
static void (*const other_ops[])(void) = {
	do_set_key, do_cow_node, do_search_next, do_search_prev, do_lookup,
};

static void one_op(unsigned grow_percent)
{
	if (fx_below(100) < 25)
		other_ops[fx_below(ARRAY_SIZE(other_ops))]();
	else if (fx_below(100) < grow_percent)
		grow_ops[fx_below(ARRAY_SIZE(grow_ops))]();
	else
		shrink_ops[fx_below(ARRAY_SIZE(shrink_ops))]();
}

static void empty_tree(void)
{
	struct key key;

	while (model_count) {
		int at = (int)fx_below((u32)model_count);

		key = model[at].key;
		CHECK(tree_delete_key(&fx->trans, &fx->root, &key) == 0);
		model_remove(at);
	}
	fx_verify();
	CHECK(fx->root.node->level == 0 && node_nritems(fx->root.node->data) == 0);
}

static void run_model(u32 nodesize, u64 cache_bytes, unsigned miss_percent, unsigned batches,
		      u64 seed)
{
	fx_open(nodesize, cache_bytes, seed);
	fx->miss_percent = miss_percent;
	for (unsigned batch = 0; batch < batches; batch++) {
		static const unsigned grow[] = {85, 65, 50, 35, 10};

		for (int i = 0; i < 120; i++)
			one_op(grow[batch / 4 % ARRAY_SIZE(grow)]);
		if (batch % 3 == 2)
			fx->root.force_cow_transid = fx->trans.transid;
		fx_verify();
		compare_all();
		if (fx_below(3))
			fx_commit();
	}
	empty_tree();
	fx_close();
	model_clear();
}

static void test_small_nodes(void **state)
{
	for (u64 seed = 1; seed <= 6; seed++)
		run_model(4096, MIB(64), 0, 60, seed);
}

static void test_small_cache(void **state)
{
	for (u64 seed = 1; seed <= 6; seed++)
		run_model(4096, KIB(4) * 3, 30, 60, seed + 100);
}

static void test_large_nodes(void **state)
{
	run_model(16384, MIB(1), 10, 100, 7);
	run_model(65536, KIB(64), 10, 60, 8);
}

/* Keys in order leave full leaves behind, whatever follows them in the tree. */
static void test_append_dense(void **state)
{
	u8 data[100] = {};
	struct fx_walk walk;
	struct key key = KEY(1000, FX_ITEM_TYPE, 0);

	fx_open(4096, MIB(64), 3);
	CHECK(tree_insert(&fx->trans, &fx->root, &key, data, sizeof(data)) == 0);
	for (u64 i = 0; i < 20000; i++) {
		key = KEY(500, FX_ITEM_TYPE, i);
		CHECK(tree_insert(&fx->trans, &fx->root, &key, data, sizeof(data)) == 0);
	}
	walk = fx_verify();
	assert_true(walk.leaf_bytes > walk.leaf_nodes * LEAF_DATA(4096) / 100 * 92);
	assert_true(walk.nodes - walk.leaf_nodes <= walk.leaf_nodes / 90);
	fx_close();
}

/* Thin nodes are joined while something is deleted. */
static void test_merge(void **state)
{
	u8 data[100] = {};
	struct fx_walk before, after;

	fx_open(4096, MIB(64), 4);
	for (u64 i = 0; i < 20000; i++) {
		struct key key = KEY(500, FX_ITEM_TYPE, i);

		CHECK(tree_insert(&fx->trans, &fx->root, &key, data, sizeof(data)) == 0);
	}
	before = fx_verify();
	for (u64 i = 0; i < 20000; i++) {
		struct key key = KEY(500, FX_ITEM_TYPE, i);

		if (i % 16)
			CHECK(tree_delete_key(&fx->trans, &fx->root, &key) == 0);
	}
	after = fx_verify();
	assert_true(after.leaf_nodes < before.leaf_nodes / 3);
	fx_close();
}

static void test_cache_budget(void **state)
{
	u8 data[100] = {};
	struct node_cache_stats stats;

	fx_open(4096, KIB(64), 5);
	for (u64 i = 0; i < 5000; i++) {
		struct key key = KEY(500, FX_ITEM_TYPE, i);

		CHECK(tree_insert(&fx->trans, &fx->root, &key, data, sizeof(data)) == 0);
	}
	node_cache_stats(&fx->fs, &stats);
	assert_true(stats.bytes > KIB(64)); /* dirty */
	fx_commit();
	node_cache_stats(&fx->fs, &stats);
	assert_true(stats.bytes <= KIB(64));
	for (u64 i = 0; i < 5000; i += 7) {
		struct key key = KEY(500, FX_ITEM_TYPE, i);

		CHECK(tree_lookup(&fx->root, &key, data, sizeof(data)) == sizeof(data));
	}
	node_cache_stats(&fx->fs, &stats);
	assert_true(stats.bytes <= KIB(64) + 4096);
	fx_close();
}

/* A pointer that leads nowhere is an error in the end, not a loop. */
static void test_lost_node(void **state)
{
	u8 data[200] = {};
	struct key key = KEY(500, FX_ITEM_TYPE, 40);

	fx_open(4096, KIB(4), 6);
	for (u64 i = 0; i < 20000; i++) {
		struct key k = KEY(500, FX_ITEM_TYPE, i);

		CHECK(tree_insert(&fx->trans, &fx->root, &k, data, sizeof(data)) == 0);
	}
	fx_commit();
	for (u32 i = 0; i < FX_BLOCKS; i++) {
		if (fx->disk[i] && !node_level(fx->disk[i]))
			node_set_generation(fx->disk[i], 1);
	}
	assert_int_equal(tree_lookup(&fx->root, &key, data, sizeof(data)), -EIO);
	assert_int_equal(tree_delete_key(&fx->trans, &fx->root, &key), -EIO);
	fx_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_nodes), cmocka_unit_test(test_small_cache),
		cmocka_unit_test(test_large_nodes), cmocka_unit_test(test_append_dense),
		cmocka_unit_test(test_merge),       cmocka_unit_test(test_cache_budget),
		cmocka_unit_test(test_lost_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
