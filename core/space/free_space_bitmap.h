/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_bitmap.h - the bitmaps of the free-space tree as bytes. Pure.
 *
 * One item covers up to 2,048 sectors in 256 bytes; bit n, lowest of a byte first, is sector n of its
 * range; a set bit is free. The last item of a group may be shorter. Source: on-disk format page of
 * the btrfs documentation; images of the kernel.
 */
#ifndef CORE_SPACE_FREE_SPACE_BITMAP_H
#define CORE_SPACE_FREE_SPACE_BITMAP_H

#include "disk/base/types.h"

#define FREE_BITMAP_BITS 2048u
#define FREE_BITMAP_BYTES (FREE_BITMAP_BITS / 8)

/* Bytes of the item that covers @len bytes of space. */
static inline u32 free_bitmap_size(u64 len, u32 sectorsize)
{
	return (u32)DIV_ROUND_UP(len / sectorsize, 8);
}

bool free_bitmap_test(const u8 *map, u32 bit);
/* Whether all of [@from, @to) are @set. */
bool free_bitmap_all(const u8 *map, u32 from, u32 to, bool set);
void free_bitmap_fill(u8 *map, u32 from, u32 to, bool set);
/* The first bit at or behind @from, below @bits, that is @set; @bits if none. */
u32 free_bitmap_find(const u8 *map, u32 from, u32 bits, bool set);

/* Above @high extents the kernel keeps a group of @length bytes in bitmaps, below @low in extents. */
struct free_thresholds {
	u32 low, high;
};
struct free_thresholds free_space_thresholds(u64 length, u32 sectorsize);

#endif
