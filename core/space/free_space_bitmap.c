/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_bitmap.c - see free_space_bitmap.h. Pure functions over bytes in memory. */
#include "core/space/free_space_bitmap.h"

#include "disk/format/ondisk.h"

bool free_bitmap_test(const u8 *map, u32 bit)
{
	return map[bit / 8] >> (bit % 8) & 1;
}

/* Bits from..to of the byte that holds @from, and how many they are. */
static u8 byte_mask(u32 from, u32 to, u32 *count)
{
	u32 low = from % 8, high = MIN(8u, low + (to - from));

	*count = high - low;
	return (u8)((0xffu << low) & (0xffu >> (8 - high)));
}

bool free_bitmap_all(const u8 *map, u32 from, u32 to, bool set)
{
	return free_bitmap_find(map, from, to, !set) == to;
}

void free_bitmap_fill(u8 *map, u32 from, u32 to, bool set)
{
	u32 count;

	for (u32 at = from; at < to; at += count) {
		u8 mask = byte_mask(at, to, &count);

		if (set)
			map[at / 8] |= mask;
		else
			map[at / 8] &= (u8)~mask;
	}
}

u32 free_bitmap_find(const u8 *map, u32 from, u32 bits, bool set)
{
	u32 count;

	for (u32 at = from; at < bits; at += count) {
		u8 mask = byte_mask(at, bits, &count);
		u8 hit = (u8)((set ? map[at / 8] : ~map[at / 8]) & mask);

		if (hit)
			return at / 8 * 8 + (u32)__builtin_ctz(hit);
	}
	return bits;
}

/* Bitmaps pay off when they take less room than the extents' item headers. */
struct free_thresholds free_space_thresholds(u64 length, u32 sectorsize)
{
	u64 maps = DIV_ROUND_UP(length, (u64)sectorsize * FREE_BITMAP_BITS);
	u64 bytes = maps * (sizeof(struct btrfs_item) + FREE_BITMAP_BYTES);
	u32 high = (u32)(bytes / sizeof(struct btrfs_item));

	return (struct free_thresholds){.high = high, .low = high > 100 ? high - 100 : 0};
}
