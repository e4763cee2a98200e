/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where chunks go: holes of a device, sizes by the rules, stripes that overlap nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <errno.h>
#include <cmocka.h>

#include "core/space/chunk_layout.h"
#include "disk/format/ondisk.h"

#define DATA BTRFS_BLOCK_GROUP_DATA
#define META_DUP (BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DUP)
#define SYSTEM_DUP (BTRFS_BLOCK_GROUP_SYSTEM | BTRFS_BLOCK_GROUP_DUP)

static u64 stripe_max(u64 type, u64 fs_bytes)
{
	const struct raid_profile *p = raid_profile_of(type);

	return chunk_stripe_max(type, p, p->dev_stripes * p->devs_min, fs_bytes);
}

static void holes_lie_between(void **state)
{
	struct device_taken taken[] = {{MIB(40), MIB(8)}, {MIB(1), MIB(9)}, {MIB(48), MIB(2)}};
	struct device_hole holes[4];
	size_t n = device_holes_find(taken, 3, MIB(100) + 777, holes);

	assert_int_equal(n, 2);
	assert_int_equal(holes[0].start, MIB(10));
	assert_int_equal(holes[0].len, MIB(30));
	assert_int_equal(holes[1].start, MIB(50));
	assert_int_equal(holes[1].len, MIB(50));
	assert_int_equal(device_holes_room(holes, n), MIB(80));
}

static void the_first_mib_is_never_used(void **state)
{
	struct device_hole holes[2];

	assert_int_equal(device_holes_find(NULL, 0, MIB(10), holes), 1);
	assert_int_equal(holes[0].start, MIB(1));
	assert_int_equal(holes[0].len, MIB(9));
}

static void sizes_follow_the_kernel(void **state)
{
	assert_int_equal(stripe_max(DATA, GIB(100)), GIB(1));
	assert_int_equal(stripe_max(DATA, GIB(5)), GIB(5) / 10);
	assert_int_equal(stripe_max(META_DUP, GIB(100)), GIB(1));
	assert_int_equal(stripe_max(META_DUP, GIB(40)), MIB(256));
	assert_int_equal(stripe_max(META_DUP, GIB(1)), MIB(112)); /* a tenth, in steps of 16 MiB */
	assert_int_equal(stripe_max(SYSTEM_DUP, GIB(40)), MIB(32));
}

static void dup_shares_a_hole_or_takes_two(void **state)
{
	struct device_hole wide[] = {{MIB(10), MIB(8)}, {MIB(100), MIB(300)}};
	struct device_hole apart[] = {{MIB(10), MIB(20)}, {MIB(100), MIB(22)}};
	struct device_holes dev = {1, 0, wide, 2};
	struct chunk_layout l;

	assert_int_equal(chunk_layout(META_DUP, GIB(1), &dev, 1, &l), 0);
	assert_int_equal(l.stripes, 2);
	assert_int_equal(l.stripe_len, MIB(112));
	assert_int_equal(l.length, MIB(112));
	assert_int_equal(l.at[0].physical, MIB(100));
	assert_int_equal(l.at[1].physical, MIB(212));
	dev.holes = apart;
	assert_int_equal(chunk_layout(META_DUP, GIB(1), &dev, 1, &l), 0);
	assert_int_equal(l.stripe_len, MIB(20));
	assert_int_equal(l.at[0].physical, MIB(100));
	assert_int_equal(l.at[1].physical, MIB(10));
}

static void too_little_is_enospc(void **state)
{
	struct device_hole holes[] = {{MIB(10), KIB(512)}};
	struct device_holes dev = {1, 0, holes, 1};
	struct chunk_layout l;

	assert_int_equal(chunk_layout(DATA, GIB(1), &dev, 1, &l), -ENOSPC);
	dev.count = 0;
	assert_int_equal(chunk_layout(DATA, GIB(1), &dev, 1, &l), -ENOSPC);
	assert_int_equal(chunk_layout(DATA | BTRFS_BLOCK_GROUP_RAID1, GIB(1), &dev, 1, &l), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_lie_between),
		cmocka_unit_test(the_first_mib_is_never_used),
		cmocka_unit_test(sizes_follow_the_kernel),
		cmocka_unit_test(dup_shares_a_hole_or_takes_two),
		cmocka_unit_test(too_little_is_enospc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
