/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_row.c - part of a row of a RAID5/6 chunk in memory, and computing what is lost.
 * Invariant: the row's lock is held from open to close, so that nobody sees data without its parity.
 */
#include "disk/base/buffer.h"
#include "disk/codec/parity.h"
#include "disk/volume/volume_internal.h"

static struct mutex *row_lock(struct volume *vol, const struct chunk *chunk, u64 row)
{
	struct mutex *locks = chunk->type & BTRFS_BLOCK_GROUP_DATA ? vol->data_rows : vol->meta_rows;

	return &locks[(row / STRIPE_LEN * 0x9e3779b97f4a7c15ULL >> 32) % ROW_LOCKS];
}

static unsigned units_of(const struct parity_row *row)
{
	return row->map.data + row->map.parities;
}

int parity_row_open(struct volume *vol, const struct chunk *chunk, u64 logical, u32 lo, u32 hi,
		    struct parity_row *row)
{
	*row = (struct parity_row){
		.vol = vol,
		.chunk = chunk,
		.map = stripe_row_at(chunk, logical),
		.lo = lo,
		.hi = hi,
	};
	row->buf = buffer_get((size_t)units_of(row) * (hi - lo));
	if (!row->buf)
		return -ENOMEM;
	for (unsigned i = 0; i < units_of(row); i++)
		row->unit[i] = row->buf + (size_t)i * (hi - lo);
	row->lock = row_lock(vol, chunk, row->map.logical);
	mutex_lock(row->lock);
	return 0;
}

void parity_row_close(struct parity_row *row)
{
	if (row->lock)
		mutex_unlock(row->lock);
	buffer_put(row->buf);
	*row = (struct parity_row){0};
}

void parity_row_read(struct parity_row *row)
{
	for (unsigned i = 0; i < units_of(row); i++) {
		unsigned stripe = stripe_row_stripe(&row->map, i);
		u64 physical = row->chunk->stripes[stripe].physical + row->map.offset + row->lo;

		row->bad[i] = member_read(stripe_member(row->vol, row->chunk, stripe), row->unit[i],
					  row->hi - row->lo, physical) != 0;
	}
}

int parity_row_recover(struct parity_row *row)
{
	return parity_recover(row->map.data, row->map.parities, row->hi - row->lo, row->unit,
			      row->bad);
}

/* With two parities one more unit may be wrong without anybody knowing: each in turn is left out. */
unsigned parity_ways(const struct chunk *chunk)
{
	struct stripe_row map = stripe_row_at(chunk, chunk->logical);

	return map.parities == 2 ? map.data + map.parities : 1;
}

int parity_rebuild(struct volume *vol, const struct chunk *chunk, u64 logical, u32 len, unsigned way,
		   void *buf)
{
	u32 lo = (u32)((logical - chunk->logical) % STRIPE_LEN);
	_cleanup_row_ struct parity_row row = {0};
	unsigned target, left_out;
	int err = parity_row_open(vol, chunk, logical, lo, lo + len, &row);

	if (err)
		return err;
	target = (unsigned)((logical - row.map.logical) / STRIPE_LEN);
	left_out = way - 1 < target ? way - 1 : way;
	parity_row_read(&row);
	row.bad[target] = true;
	if (way && row.bad[left_out])
		return -EIO; /* has been tried */
	if (way)
		row.bad[left_out] = true;
	err = parity_row_recover(&row);
	if (!err)
		memcpy(buf, row.unit[target], len);
	return err;
}
