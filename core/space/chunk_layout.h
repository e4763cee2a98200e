/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chunk_layout.h - how large a new chunk is and where on the devices it goes. Pure.
 *
 * Sizes as the kernel's: data 1 GiB, metadata 256 MiB (1 GiB above 50 GiB), system 32 MiB, none above
 * a tenth of the file system (rounded up to 16 MiB); stripes are multiples of 64 KiB; the first MiB of
 * a device is never used.
 */
#ifndef CORE_SPACE_CHUNK_LAYOUT_H
#define CORE_SPACE_CHUNK_LAYOUT_H

#include "core/space/raid_profile.h"

/* Free space of a device between its chunks. */
struct device_hole {
	u64 start, len;
};

struct device_holes {
	u64 devid;
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

#define CHUNK_LAYOUT_STRIPES 2 /* as long as there is one device */

struct chunk_layout {
	u64 stripe_len; /* bytes on each device extent */
	u64 length;	/* logical */
	unsigned stripes;
	struct {
		u64 devid, physical;
	} at[CHUNK_LAYOUT_STRIPES];
};

/* The largest stripe that the rules allow for a chunk of @type in a file system of @fs_bytes. */
u64 chunk_stripe_max(u64 type, const struct raid_profile *p, u64 fs_bytes);

/* -ENOSPC: no hole is large enough. -EOPNOTSUPP: the profile wants more devices. */
_must_check_ int chunk_layout(u64 type, u64 fs_bytes, const struct device_holes *dev,
			      struct chunk_layout *ret);

#endif
