/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relocation_filter.c - balance filters: values in, values out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/btrfs_tree.h>
#include <stdlib.h>

#include "disk/volume/chunk_map.h"
#include "relocation/filter.h"

#define LEN (100 * 1000ULL)

/* A DUP metadata chunk at 1 MiB with its stripes at 2 and 4 MiB of device 1. */
static struct chunk *dup_chunk(void)
{
	struct chunk *c = calloc(1, sizeof(*c) + 2 * sizeof(c->stripes[0]));

	c->logical = MIB(1);
	c->length = LEN;
	c->type = BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DUP;
	c->num_stripes = 2;
	c->refs = 1;
	c->stripes[0].devid = c->stripes[1].devid = 1;
	c->stripes[0].physical = MIB(2);
	c->stripes[1].physical = MIB(4);
	return c;
}

static bool matches(struct btrfs_balance_args args, u64 used)
{
	struct btrfs_ioctl_balance_args all = {.flags = BTRFS_BALANCE_METADATA, .meta = args};
	struct chunk *chunk = dup_chunk();
	struct balance_filters filters;
	bool match;

	assert_int_equal(balance_filters_parse(&all, &filters, NULL), 0);
	match = balance_filter_match(&filters.metadata, chunk, used);
	free(chunk);
	return match;
}

static void usage(void **state)
{
	struct btrfs_balance_args none = {.flags = BTRFS_BALANCE_ARGS_USAGE};
	struct btrfs_balance_args half = {.flags = BTRFS_BALANCE_ARGS_USAGE, .usage = 50};
	struct btrfs_balance_args range = {.flags = BTRFS_BALANCE_ARGS_USAGE_RANGE};

	assert_true(matches(none, 0));
	assert_false(matches(none, 1));
	assert_true(matches(half, LEN / 2 - 1));
	assert_false(matches(half, LEN / 2));
	range.usage_min = 10;
	range.usage_max = 20;
	assert_false(matches(range, LEN / 10 - 1));
	assert_true(matches(range, LEN / 10));
	assert_true(matches(range, LEN / 5 - 1));
	assert_false(matches(range, LEN / 5));
}

static void places(void **state)
{
	struct btrfs_balance_args v = {.flags = BTRFS_BALANCE_ARGS_VRANGE,
				       .vstart = MIB(1) + LEN - 1,
				       .vend = MIB(9)};
	struct btrfs_balance_args d = {.flags = BTRFS_BALANCE_ARGS_DRANGE, .devid = 1,
				       .pstart = MIB(4) + LEN, .pend = MIB(9)};

	assert_true(matches(v, 0));
	v.vstart++;
	assert_false(matches(v, 0));
	assert_true(matches(d, 0)); /* without its device it takes all */
	d.flags |= BTRFS_BALANCE_ARGS_DEVID;
	assert_false(matches(d, 0));
	d.pstart--;
	assert_true(matches(d, 0));
	d.devid = 2;
	assert_false(matches(d, 0));
}

static void kinds(void **state)
{
	struct btrfs_balance_args p = {.flags = BTRFS_BALANCE_ARGS_PROFILES,
				       .profiles = BTRFS_AVAIL_ALLOC_BIT_SINGLE};
	struct btrfs_balance_args s = {.flags = BTRFS_BALANCE_ARGS_STRIPES_RANGE, .stripes_min = 2,
				       .stripes_max = 2};
	struct btrfs_balance_args soft = {.flags = BTRFS_BALANCE_ARGS_SOFT};

	assert_false(matches(p, 0));
	p.profiles |= BTRFS_BLOCK_GROUP_DUP;
	assert_true(matches(p, 0));
	assert_true(matches(s, 0));
	s.stripes_min = 3;
	assert_false(matches(s, 0));
	assert_true(matches(soft, 0)); /* means nothing without a conversion */
	soft.flags |= BTRFS_BALANCE_ARGS_CONVERT;
	soft.target = BTRFS_BLOCK_GROUP_DUP;
	assert_false(matches(soft, 0));
	soft.target = BTRFS_AVAIL_ALLOC_BIT_SINGLE;
	assert_true(matches(soft, 0));
}

static int parsed(u64 flags, u64 filter_flags, u64 target)
{
	struct btrfs_ioctl_balance_args all = {
		.flags = flags, .data = {.flags = filter_flags, .target = target}};
	struct balance_filters filters;

	return balance_filters_parse(&all, &filters, NULL);
}

static void refusals(void **state)
{
	const u64 convert = BTRFS_BALANCE_ARGS_CONVERT, data = BTRFS_BALANCE_DATA;

	assert_int_equal(parsed(0, 0, 0), 0); /* takes nothing */
	assert_int_equal(parsed(data | 1 << 30, 0, 0), -EINVAL);
	assert_int_equal(parsed(data, 1 << 30, 0), 0);
	assert_int_equal(parsed(data, convert, 0), -EINVAL);
	assert_int_equal(parsed(data, convert, BTRFS_BLOCK_GROUP_RAID1), -EINVAL);
	assert_int_equal(parsed(data, convert, BTRFS_BLOCK_GROUP_RAID0), 0);
	assert_int_equal(parsed(data, convert, BTRFS_BLOCK_GROUP_DUP), 0);
	assert_int_equal(parsed(data, 0, BTRFS_BLOCK_GROUP_RAID1), 0);
}

static void redundancy(void **state)
{
	struct btrfs_ioctl_balance_args all = {
		.flags = BTRFS_BALANCE_METADATA,
		.meta = {.flags = BTRFS_BALANCE_ARGS_CONVERT, .target = BTRFS_AVAIL_ALLOC_BIT_SINGLE}};
	struct balance_profiles now = {.metadata = BTRFS_BLOCK_GROUP_DUP}, single = {0};
	struct balance_filters f;

	assert_int_equal(balance_filters_parse(&all, &f, NULL), 0);
	assert_int_equal(balance_filters_check_redundancy(&f, 0, &now, NULL), -EINVAL);
	assert_int_equal(balance_filters_check_redundancy(&f, BTRFS_BALANCE_FORCE, &now, NULL), 0);
	assert_int_equal(balance_filters_check_redundancy(&f, 0, &single, NULL), 0);
}

static void resumption(void **state)
{
	struct btrfs_ioctl_balance_args all = {
		.meta = {.flags = BTRFS_BALANCE_ARGS_CONVERT},
		.sys = {.flags = BTRFS_BALANCE_ARGS_USAGE, .usage = 30}};

	balance_args_resume(&all);
	assert_int_equal(all.data.flags, BTRFS_BALANCE_ARGS_USAGE);
	assert_int_equal(all.data.usage, 90);
	assert_int_equal(all.meta.flags, BTRFS_BALANCE_ARGS_CONVERT | BTRFS_BALANCE_ARGS_SOFT);
	assert_int_equal(all.sys.usage, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usage),    cmocka_unit_test(places),	  cmocka_unit_test(kinds),
		cmocka_unit_test(refusals), cmocka_unit_test(redundancy), cmocka_unit_test(resumption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
