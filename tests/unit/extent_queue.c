/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue of delayed references: merging, cancelling out, contradictions, order of the run; and
 * the arithmetic of checksum items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/extent/csum_item.h"
#include "core/extent/delayed_queue.h"

static int setup(void **state)
{
	struct delayed_refs *d;
	int r = delayed_refs_create(&d);

	*state = d;
	return r;
}

static int teardown(void **state)
{
	delayed_refs_destroy(*state);
	return 0;
}

static int queue(struct delayed_refs *d, u64 logical, struct ref ref, int count)
{
	return dref_queue(d, &(struct dref_change){.logical = logical,
						   .len = 16384,
						   .is_data = ref.kind == REF_DATA,
						   .ref = &ref,
						   .count = count});
}

static int queue_new(struct delayed_refs *d, u64 logical, struct ref ref)
{
	return dref_queue(d, &(struct dref_change){.logical = logical,
						   .len = 16384,
						   .is_data = true,
						   .create = true,
						   .flags_set = BTRFS_EXTENT_FLAG_DATA,
						   .ref = &ref,
						   .count = 1});
}

static void test_merges_by_holder(void **state)
{
	struct delayed_refs *d = *state;
	struct ref a = ref_data(5, 0, 257, 0), b = ref_data(5, 0, 258, 0);
	struct dref_sum sum;
	s64 change;

	assert_int_equal(queue(d, 65536, a, 1), 0);
	assert_int_equal(queue(d, 65536, b, -1), 0);
	assert_int_equal(queue(d, 65536, a, 2), 0);
	sum = dref_queue_peek(d, 65536, &a, &change);
	assert_true(sum.queued && !sum.create);
	assert_int_equal(sum.total, 2);
	assert_int_equal(change, 3);
	assert_int_equal(d->count, 1);
	dref_queue_peek(d, 65536, &b, &change);
	assert_int_equal(change, -1);
}

static void test_opposites_vanish(void **state)
{
	struct delayed_refs *d = *state;
	struct ref a = ref_data(5, 0, 257, 0);

	assert_int_equal(queue(d, 65536, a, 1), 0);
	assert_int_equal(queue(d, 65536, a, -1), 0);
	assert_int_equal(d->count, 0);
	assert_false(dref_queue_peek(d, 65536, NULL, NULL).queued);
}

/* The run must hear of it: its space is to be given back. */
static void test_created_and_dropped_stays(void **state)
{
	struct delayed_refs *d = *state;
	struct ref a = ref_data(5, 0, 257, 0);
	struct dref_head *head;

	assert_int_equal(queue_new(d, 65536, a), 0);
	assert_int_equal(queue(d, 65536, a, -1), 0);
	head = dref_take(d, 65536);
	assert_non_null(head);
	assert_true(head->create);
	assert_int_equal(head->nr, 0);
	assert_int_equal(head->total, 0);
	assert_int_equal(d->count, 0);
	dref_head_free(head);
}

static void test_flags_stay(void **state)
{
	struct delayed_refs *d = *state;
	struct ref a = ref_tree_block(5, 0);
	struct dref_change flags = {
		.logical = 65536, .len = 16384, .flags_set = BTRFS_BLOCK_FLAG_FULL_BACKREF};

	assert_int_equal(queue(d, 65536, a, -1), 0);
	assert_int_equal(dref_queue(d, &flags), 0);
	assert_int_equal(queue(d, 65536, a, 1), 0);
	assert_int_equal(dref_queue_peek(d, 65536, NULL, NULL).flags_set,
			 BTRFS_BLOCK_FLAG_FULL_BACKREF);
}

static void test_contradictions(void **state)
{
	struct delayed_refs *d = *state;
	struct ref a = ref_data(5, 0, 257, 0);
	struct dref_change other = {
		.logical = 65536, .len = 4096, .is_data = true, .ref = &a, .count = 1};

	assert_int_equal(queue_new(d, 65536, a), 0);
	assert_int_equal(queue_new(d, 65536, a), -EUCLEAN);
	assert_int_equal(dref_queue(d, &other), -EUCLEAN);
	assert_int_equal(queue(d, 65536, ref_tree_block(5, 0), 1), -EUCLEAN);
}

/* Thousands of extents with several holders each, queued out of order. */
static void test_collects_in_address_order(void **state)
{
	enum { EXTENTS = 5000, HOLDERS = 7 };
	struct delayed_refs *d = *state;
	u64 *list = NULL;

	for (u64 i = 0; i < EXTENTS * HOLDERS; i++)
		assert_int_equal(queue(d, (i * 7919 % EXTENTS + 1) * 16384,
				       ref_data(5, 0, 257 + i / EXTENTS * 3 % HOLDERS, 0), 1),
				 0);
	assert_int_equal(dref_collect(d, &list), EXTENTS);
	for (u64 i = 0; i < EXTENTS; i++) {
		struct dref_head *head = dref_take(d, list[i]);

		assert_int_equal(list[i], (i + 1) * 16384);
		assert_int_equal(head->nr, HOLDERS);
		for (u32 h = 1; h < head->nr; h++)
			assert_true(ref_cmp(&head->refs[h - 1].ref, &head->refs[h].ref) < 0);
		dref_head_free(head);
	}
	free(list);
	assert_int_equal(dref_collect(d, &list), 0);
}

static void test_csum_cut(void **state)
{
	assert_int_equal(csum_cut(10, 20, 0, 10), CSUM_CUT_NONE);
	assert_int_equal(csum_cut(10, 20, 20, 30), CSUM_CUT_NONE);
	assert_int_equal(csum_cut(10, 20, 10, 20), CSUM_CUT_ALL);
	assert_int_equal(csum_cut(10, 20, 5, 25), CSUM_CUT_ALL);
	assert_int_equal(csum_cut(10, 20, 5, 15), CSUM_CUT_HEAD);
	assert_int_equal(csum_cut(10, 20, 10, 15), CSUM_CUT_HEAD);
	assert_int_equal(csum_cut(10, 20, 15, 20), CSUM_CUT_TAIL);
	assert_int_equal(csum_cut(10, 20, 15, 25), CSUM_CUT_TAIL);
	assert_int_equal(csum_cut(10, 20, 12, 18), CSUM_CUT_MIDDLE);
}

static void test_csum_item_size(void **state)
{
	assert_int_equal(csum_item_max_sectors(16384, 4), 4057);
	assert_int_equal(csum_item_max_sectors(65536, 4), 4096);
	assert_int_equal(csum_item_max_sectors(4096, 32), (4096 - 101 - 50) / 32 - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merges_by_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_opposites_vanish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_created_and_dropped_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flags_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contradictions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_collects_in_address_order, setup, teardown),
		cmocka_unit_test(test_csum_cut),
		cmocka_unit_test(test_csum_item_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
