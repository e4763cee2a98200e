/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raid_profile.h - how each profile spreads a chunk, as a table: what chunks are made of, mapped by
 * and checked against. Pure. */
#ifndef DISK_FORMAT_RAID_PROFILE_H
#define DISK_FORMAT_RAID_PROFILE_H

#include "disk/base/types.h"

struct raid_profile {
	const char *name;
	u64 flag;	      /* BTRFS_BLOCK_GROUP_*; 0 is single */
	unsigned dev_stripes; /* stripes on each device */
	unsigned devs_min;
	unsigned devs_max;    /* 0: as many as there are */
	unsigned devs_step;   /* number of devices is a multiple of this */
	unsigned copies;      /* stripes that hold the same data */
	unsigned parities;
	unsigned sub_stripes;
	unsigned tolerated;   /* devices that may be lost */
	bool striped;         /* neighbouring 64 KiB lie on different stripes */
};

/* The profile of a chunk's type, or NULL if two are set. */
const struct raid_profile *raid_profile_of(u64 type);

/* Of several profiles in use by one kind of chunks (their flags or-ed), what the next chunk gets with
 * @devices devices to write to: the most redundant one that they are enough for; single if none. */
u64 raid_profile_choose(u64 flags, unsigned devices);

/* Stripes of data in a chunk of @stripes stripes. */
static inline unsigned raid_data_stripes(const struct raid_profile *p, unsigned stripes)
{
	return (stripes - p->parities) / p->copies;
}

#endif
