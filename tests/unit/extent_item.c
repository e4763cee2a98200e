/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inline references: order, counts, the limit of an item's size, malformed items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/extent/extent_item.h"
#include "core/extent/keyed_ref.h"
#include "disk/format/hash.h"

#define LIMIT extent_item_limit(16384)

static struct extent_edit data_item(void)
{
	struct key key = KEY(13631488, BTRFS_EXTENT_ITEM_KEY, 4096);
	struct extent_edit e;

	extent_edit_init(&e, &key, 7, BTRFS_EXTENT_FLAG_DATA, NULL, 0);
	return e;
}

static void add(struct extent_edit *e, struct ref ref, u32 count)
{
	assert_int_equal(inline_ref_add(e, &ref, count, true, LIMIT), 0);
}

/* The kernel's rule, said once more: types ascend, sequences descend. */
static void assert_ordered(const struct extent_edit *e)
{
	struct ref_count a = {}, b;
	u32 pos = e->refs_at;
	bool first = true;

	while (inline_ref_next(e, &pos, &b)) {
		u64 sa = a.ref.kind == REF_DATA
				 ? extent_data_ref_hash(a.ref.root, a.ref.ino, a.ref.offset)
				 : a.ref.root + a.ref.parent;
		u64 sb = b.ref.kind == REF_DATA
				 ? extent_data_ref_hash(b.ref.root, b.ref.ino, b.ref.offset)
				 : b.ref.root + b.ref.parent;

		if (!first) {
			assert_true(a.ref.kind <= b.ref.kind);
			if (a.ref.kind == b.ref.kind)
				assert_true(sa > sb);
		}
		first = false;
		a = b;
	}
	assert_int_equal(pos, e->size);
}

static void test_limit_is_the_kernels(void **state)
{
	assert_int_equal(extent_item_limit(16384), (16384 - 101) / 16 - 25);
	assert_int_equal(extent_item_limit(4096), (4096 - 101) / 16 - 25);
}

static void test_order(void **state)
{
	struct extent_edit e = data_item();

	add(&e, ref_data(0, 4096 * 7, 0, 0), 1);
	for (u64 i = 0; i < 10; i++) {
		add(&e, ref_data(5, 0, 257 + i * 31 % 10, i << 12), (u32)i + 1);
		add(&e, ref_data(0, 4096 * (10 + i * 7 % 10), 0, 0), 2);
		assert_ordered(&e);
	}
}

static void test_counts(void **state)
{
	struct extent_edit e = data_item();
	struct ref ref = ref_data(5, 0, 257, (u64)-4096);
	u32 pos, count, empty = e.size;

	add(&e, ref, 2);
	add(&e, ref, 3);
	assert_int_equal(inline_ref_find(&e, &ref, &pos, &count), 1);
	assert_int_equal(count, 5);
	assert_int_equal(e.size, empty + 29);
	assert_int_equal(inline_ref_drop(&e, &ref, 6), -EUCLEAN);
	assert_int_equal(inline_ref_drop(&e, &ref, 4), 0);
	assert_int_equal(inline_ref_add(&e, &ref, UINT32_MAX, true, LIMIT), -EUCLEAN);
	assert_int_equal(inline_ref_drop(&e, &ref, 1), 0);
	assert_int_equal(e.size, empty);
	assert_int_equal(inline_ref_drop(&e, &ref, 1), -ENOENT);
}

static void test_overflow_goes_keyed(void **state)
{
	struct extent_edit e = data_item();
	struct ref ref;
	int n = 0, r = 0;

	for (; !r; n++) {
		ref = ref_data(5, 0, 257 + (u64)n, 0);
		r = inline_ref_add(&e, &ref, 1, true, LIMIT);
	}
	assert_int_equal(r, -ENOENT);
	assert_true(e.size < LIMIT && e.size + 29 >= LIMIT);
	ref.ino = 257;
	assert_int_equal(inline_ref_add(&e, &ref, 1, false, LIMIT), 0);
	ref.ino = 1;
	assert_int_equal(
		inline_ref_drop(&e, &(struct ref){.kind = REF_DATA, .root = 5, .ino = 300}, 1),
		-ENOENT);
	assert_int_equal(inline_ref_add(&e, &ref, 1, false, LIMIT), -ENOENT);
}

static void test_node_refs_are_single(void **state)
{
	struct key key = KEY(30408704, BTRFS_METADATA_ITEM_KEY, 2);
	struct ref own = ref_tree_block(5, 0), other = ref_tree_block(257, 0);
	struct ref shared = ref_tree_block(5, 30425088);
	struct ref_count first;
	struct extent_edit e;
	u32 pos;

	extent_edit_init(&e, &key, 9, BTRFS_EXTENT_FLAG_TREE_BLOCK, NULL, 0);
	assert_int_equal(extent_edit_level(&e), 2);
	add(&e, shared, 1);
	add(&e, own, 1);
	add(&e, other, 1);
	assert_int_equal(inline_ref_add(&e, &own, 1, true, LIMIT), -EUCLEAN);
	assert_int_equal(e.size, 24 + 27);
	assert_ordered(&e);
	pos = e.refs_at;
	assert_int_equal(inline_ref_next(&e, &pos, &first), 1);
	assert_int_equal(ref_cmp(&first.ref, &other), 0);
}

static void test_old_form_of_a_node(void **state)
{
	struct key key = KEY(30408704, BTRFS_EXTENT_ITEM_KEY, 16384);
	struct key first = KEY(256, 1, 0);
	struct ref own = ref_tree_block(5, 0);
	struct extent_edit e, again;

	extent_edit_init(&e, &key, 9, BTRFS_EXTENT_FLAG_TREE_BLOCK, &first, 1);
	add(&e, own, 1);
	assert_int_equal(e.size, 24 + 18 + 9);
	assert_int_equal(extent_edit_load(&again, &key, e.data, e.size), 0);
	assert_int_equal(extent_edit_level(&again), 1);
	assert_int_equal(inline_ref_drop(&again, &own, 1), 0);
	assert_int_equal(again.size, again.refs_at);
}

static void test_malformed(void **state)
{
	struct extent_edit e = data_item(), ret;

	add(&e, ref_data(5, 0, 257, 0), 1);
	assert_int_equal(extent_edit_load(&ret, &e.key, e.data, e.size), 0);
	assert_int_equal(extent_edit_load(&ret, &e.key, e.data, e.size - 1), -EUCLEAN);
	assert_int_equal(extent_edit_load(&ret, &e.key, e.data, 23), -EUCLEAN);
	e.data[e.refs_at] = 1;
	assert_int_equal(extent_edit_load(&ret, &e.key, e.data, e.size), -EUCLEAN);
}

/* A wrongly ordered item is still searched to its end. */
static void test_finds_in_wrong_order(void **state)
{
	struct extent_edit e = data_item();
	struct ref a = ref_data(0, 8192, 0, 0), b = ref_data(0, 4096, 0, 0);
	u8 swap[13];
	u32 pos, count;

	add(&e, a, 1);
	add(&e, b, 2);
	memcpy(swap, e.data + 24, 13);
	memmove(e.data + 24, e.data + 37, 13);
	memcpy(e.data + 37, swap, 13);
	assert_int_equal(inline_ref_find(&e, &a, &pos, &count), 1);
	assert_int_equal(pos, 37);
	assert_int_equal(inline_ref_find(&e, &b, &pos, &count), 1);
	assert_int_equal(count, 2);
}

static void keyed_round_trip(struct ref ref, u32 count, u32 want_size)
{
	u8 buf[sizeof(struct btrfs_extent_data_ref)];
	struct key key = keyed_ref_key(4096, &ref);
	struct ref_count back;

	assert_int_equal(keyed_ref_encode(&ref, count, buf), want_size);
	assert_true(keyed_ref_is(&key, 4096));
	assert_int_equal(keyed_ref_decode(&key, buf, want_size, &back), 0);
	assert_int_equal(ref_cmp(&back.ref, &ref), 0);
	assert_int_equal(back.count, count);
	assert_int_equal(keyed_ref_decode(&key, buf, want_size + 1, &back), -EUCLEAN);
}

static void test_keyed_items(void **state)
{
	struct key item = KEY(4096, BTRFS_EXTENT_ITEM_KEY, 4096);

	keyed_round_trip(ref_data(5, 0, 257, 8192), 3, 28);
	keyed_round_trip(ref_data(5, 65536, 257, 8192), 3, 4);
	keyed_round_trip(ref_tree_block(5, 0), 1, 0);
	keyed_round_trip(ref_tree_block(5, 65536), 1, 0);
	assert_false(keyed_ref_is(&item, 4096));
}

/* Numbers from a dump of an image that the kernel made. */
static void test_hash_vector(void **state)
{
	assert_true(extent_data_ref_hash(5, 257, 540672) == 1007496934324996751ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_is_the_kernels),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_overflow_goes_keyed),
		cmocka_unit_test(test_node_refs_are_single),
		cmocka_unit_test(test_old_form_of_a_node),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_finds_in_wrong_order),
		cmocka_unit_test(test_keyed_items),
		cmocka_unit_test(test_hash_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
