/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stripe_map.c - see stripe_map.h. */
#include "disk/volume/stripe_map.h"

#include "disk/format/raid_profile.h"

static unsigned data_units(const struct chunk *chunk, const struct raid_profile *p)
{
	return raid_data_stripes(p, chunk->num_stripes);
}

bool stripe_map_has_parity(const struct chunk *chunk)
{
	return raid_profile_of(chunk->type)->parities > 0;
}

struct stripe_run stripe_run_at(const struct chunk *chunk, u64 logical, u64 len)
{
	const struct raid_profile *p = raid_profile_of(chunk->type);
	u64 at = logical - chunk->logical, unit = at / STRIPE_LEN, row;
	unsigned units = data_units(chunk, p), column;

	if (!p->striped)
		return (struct stripe_run){MIN(len, chunk->length - at), at, 0, chunk->num_stripes};
	row = unit / units;
	column = (unsigned)(unit % units);
	return (struct stripe_run){
		.len = MIN(len, STRIPE_LEN - at % STRIPE_LEN),
		.offset = row * STRIPE_LEN + at % STRIPE_LEN,
		.first = p->parities ? (unsigned)((row + column) % chunk->num_stripes) :
				       column * p->copies,
		.copies = p->copies,
	};
}

struct stripe_row stripe_row_at(const struct chunk *chunk, u64 logical)
{
	const struct raid_profile *p = raid_profile_of(chunk->type);
	unsigned units = data_units(chunk, p);
	u64 len = units * (u64)STRIPE_LEN, number = (logical - chunk->logical) / len;

	return (struct stripe_row){
		.logical = chunk->logical + number * len,
		.len = len,
		.offset = number * STRIPE_LEN,
		.number = number,
		.data = units,
		.parities = p->parities,
	};
}

unsigned stripe_row_stripe(const struct stripe_row *row, unsigned unit)
{
	return (unsigned)((row->number + unit) % (row->data + row->parities));
}

void stripe_map_reverse(const struct chunk *chunk, unsigned stripe, u64 offset, u64 *logical,
			u64 *len)
{
	const struct raid_profile *p = raid_profile_of(chunk->type);
	u64 units = data_units(chunk, p), at = offset;

	*len = p->parities ? units * STRIPE_LEN : STRIPE_LEN;
	if (p->parities)
		at = offset * units;
	else if (p->striped)
		at = offset * units + stripe / p->copies * (u64)STRIPE_LEN;
	*logical = chunk->logical + at;
	*len = at < chunk->length ? MIN(*len, chunk->length - at) : 0;
}
