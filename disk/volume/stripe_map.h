/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stripe_map.h - which stripe of a chunk holds a logical address. Pure; driven by the profile table.
 * A stripe (struct chunk_stripe) is one device extent; a unit is 64 KiB of it; a row is the units
 * at the same offset in all stripes of a striped chunk. Source: chunk items in the btrfs on-disk
 * format documentation; RAID5/6 turn by one stripe a row, P after the last data unit, Q after P.
 */
#ifndef DISK_VOLUME_STRIPE_MAP_H
#define DISK_VOLUME_STRIPE_MAP_H

#include "disk/volume/chunk_map.h"

/* The longest run from an address on that is contiguous on each of its copies. */
struct stripe_run {
	u64 len;
	u64 offset;     /* from the start of each copy's device extent */
	unsigned first; /* copies are the stripes first ... first + copies - 1 */
	unsigned copies;
};

/* The run at @logical, at most @len bytes; the chunk holds @logical. Parity is not told of. */
struct stripe_run stripe_run_at(const struct chunk *chunk, u64 logical, u64 len);

/* A row of a RAID5/6 chunk. */
struct stripe_row {
	u64 logical; /* of its first data byte */
	u64 len;     /* bytes of data */
	u64 offset;  /* of its units, from the start of each device extent */
	u64 number;
	unsigned data, parities;
};

bool stripe_map_has_parity(const struct chunk *chunk);
struct stripe_row stripe_row_at(const struct chunk *chunk, u64 logical);
/* Which stripe holds unit @unit of the row: data units first, then P, then Q. */
unsigned stripe_row_stripe(const struct stripe_row *row, unsigned unit);

/* Logical range whose content depends on unit @offset (a multiple of 64 KiB) of stripe @stripe: the
 * unit's, or with parity the whole row's. */
void stripe_map_reverse(const struct chunk *chunk, unsigned stripe, u64 offset, u64 *logical,
			u64 *len);

#endif
