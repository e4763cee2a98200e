/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raid_profile.c - see raid_profile.h. Listed from the least to the most redundant, as the kernel
 * ranks them. */
#include "disk/format/raid_profile.h"

#include "disk/format/ondisk.h"

static const struct raid_profile profiles[] = {
	{"single", 0, 1, 1, 1, 1, 1, 0, 1, 0, false},
	{"RAID0", BTRFS_BLOCK_GROUP_RAID0, 1, 1, 0, 1, 1, 0, 1, 0, true},
	{"DUP", BTRFS_BLOCK_GROUP_DUP, 2, 1, 1, 1, 2, 0, 1, 0, false},
	{"RAID1", BTRFS_BLOCK_GROUP_RAID1, 1, 2, 2, 2, 2, 0, 1, 1, false},
	{"RAID10", BTRFS_BLOCK_GROUP_RAID10, 1, 2, 0, 2, 2, 0, 2, 1, true},
	{"RAID5", BTRFS_BLOCK_GROUP_RAID5, 1, 2, 0, 1, 1, 1, 1, 1, true},
	{"RAID1C3", BTRFS_BLOCK_GROUP_RAID1C3, 1, 3, 3, 3, 3, 0, 1, 2, false},
	{"RAID6", BTRFS_BLOCK_GROUP_RAID6, 1, 3, 0, 1, 1, 2, 1, 2, true},
	{"RAID1C4", BTRFS_BLOCK_GROUP_RAID1C4, 1, 4, 4, 4, 4, 0, 1, 3, false},
};

const struct raid_profile *raid_profile_of(u64 type)
{
	u64 flag = type & BTRFS_BLOCK_GROUP_PROFILE_MASK;

	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		if (profiles[i].flag == flag)
			return &profiles[i];
	}
	return NULL;
}

u64 raid_profile_choose(u64 flags, unsigned devices)
{
	for (size_t i = ARRAY_SIZE(profiles); i-- > 0;) {
		if (flags & profiles[i].flag && profiles[i].devs_min <= devices)
			return profiles[i].flag;
	}
	return 0;
}
