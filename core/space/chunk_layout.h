/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chunk_layout.h - how large a new chunk is and where on the devices it goes. Pure.
 *
 * Sizes and places as the kernel's: a stripe has at most 1 GiB; a chunk at most 10 GiB of data, 256 MiB
 * of metadata (1 GiB above 50 GiB), 32 MiB of system, and never above a tenth of the file system, all
 * in steps of 16 MiB; stripes are multiples of 64 KiB; the first MiB of a device is never used. The
 * devices with the longest holes come first; profiles that spread take as many as have room.
 */
#ifndef CORE_SPACE_CHUNK_LAYOUT_H
#define CORE_SPACE_CHUNK_LAYOUT_H

#include "disk/format/raid_profile.h"

/* Free space of a device between its chunks. */
struct device_hole {
	u64 start, len;
};

struct device_holes {
	u64 devid;
	u64 free; /* bytes in no device extent, as the device's item says */
	struct device_hole *holes; /* by start */
	size_t count;
};

/* A taken range, in any order. */
struct device_taken {
	u64 start, len;
};

/* Holes of a device of @total bytes that has @taken (sorted here). Starts and lengths are multiples
 * of 64 KiB, none lies below 1 MiB. @holes has room for @count + 1. Returns how many. */
size_t device_holes_find(struct device_taken *taken, size_t count, u64 total,
			 struct device_hole *holes);

/* Raw bytes of which stripes of a chunk can be made. */
u64 device_holes_room(const struct device_hole *holes, size_t count);

/* Bytes of chunks of profile @p that devices with @room bytes each (changed here) have room for: a
 * lower estimate. */
u64 chunk_room(const struct raid_profile *p, u64 *room, size_t count);

#define CHUNK_LAYOUT_STRIPES 64

struct chunk_layout {
	u64 stripe_len; /* bytes on each device extent */
	u64 length;	/* logical */
	unsigned stripes;
	struct {
		u64 devid, physical;
	} at[CHUNK_LAYOUT_STRIPES];
};

/* The largest stripe that the rules allow for a chunk of @type on @stripes stripes in a file system
 * of @fs_bytes. */
u64 chunk_stripe_max(u64 type, const struct raid_profile *p, unsigned stripes, u64 fs_bytes);

/* @devs (at most 256) is sorted here. -ENOSPC: too few devices have room. */
_must_check_ int chunk_layout(u64 type, u64 fs_bytes, struct device_holes *devs, size_t count,
			      struct chunk_layout *ret);

#endif
