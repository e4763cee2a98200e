/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raid_profile.c - see raid_profile.h. Only what disk/volume can map is ever chosen. */
#include "core/space/raid_profile.h"

#include "disk/format/ondisk.h"

static const struct raid_profile profiles[] = {
	{"single", 0, 1, 1, 1, 1, 1, 0, 1},
	{"DUP", BTRFS_BLOCK_GROUP_DUP, 2, 1, 1, 1, 2, 0, 1},
	{"RAID0", BTRFS_BLOCK_GROUP_RAID0, 1, 1, 0, 1, 1, 0, 1},
	{"RAID1", BTRFS_BLOCK_GROUP_RAID1, 1, 2, 2, 2, 2, 0, 1},
	{"RAID1C3", BTRFS_BLOCK_GROUP_RAID1C3, 1, 3, 3, 3, 3, 0, 1},
	{"RAID1C4", BTRFS_BLOCK_GROUP_RAID1C4, 1, 4, 4, 4, 4, 0, 1},
	{"RAID10", BTRFS_BLOCK_GROUP_RAID10, 1, 2, 0, 2, 2, 0, 2},
	{"RAID5", BTRFS_BLOCK_GROUP_RAID5, 1, 2, 0, 1, 1, 1, 1},
	{"RAID6", BTRFS_BLOCK_GROUP_RAID6, 1, 3, 0, 1, 1, 2, 1},
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
