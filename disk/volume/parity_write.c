/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity_write.c - writes to RAID5/6 chunks, row by row.
 *
 * A row that is written whole needs no reading. Otherwise the same columns of the rest are read and
 * parity is computed anew from all data; old parity is never carried over, so a row that a crash
 * left torn is whole again after the next write to it. But first the rest must be right: where old
 * data and old parity disagree, either parity is old (a torn row) or a unit is bad, and computing
 * parity from that would lose the good content for ever. So every block there is held against its
 * checksum, and what is bad is computed from the rest, used and written back.
 *
 * Crash: data is written before parity. Blocks that are not part of the write are not written, so
 * with all devices there nothing but the torn write itself is lost.
 */
#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/codec/csum.h"
#include "disk/codec/parity.h"
#include "disk/volume/volume_internal.h"

/* ---- is the rest right? ---- */

static enum sector_verdict node_verdict(const struct volume *vol, u64 logical, const void *node)
{
	u8 csum[CSUM_SIZE_MAX];

	csum_block(vol->csum_type, node, vol->nodesize, csum);
	return node_bytenr(node) == logical && !memcmp(csum, node, vol->csum_size) ? SECTOR_GOOD :
										      SECTOR_BAD;
}

/* Whoever could tell has to look into trees, which in mixed chunks lie in rows like this one. */
static bool verdict_possible(const struct parity_row *row)
{
	u64 type = row->chunk->type;

	return !(type & BTRFS_BLOCK_GROUP_DATA) ||
	       (row->vol->verify && !(type & BTRFS_BLOCK_GROUP_METADATA));
}

/* Address of the column @at of data unit @unit. */
static u64 unit_logical(const struct parity_row *row, unsigned unit, u32 at)
{
	return row->map.logical + unit * (u64)STRIPE_LEN + row->lo + at;
}

static enum sector_verdict verdict(const struct parity_row *row, unsigned unit, u32 at)
{
	const struct volume *vol = row->vol;
	u64 logical = unit_logical(row, unit, at);

	if (row->chunk->type & BTRFS_BLOCK_GROUP_DATA)
		return vol->verify(vol->verify_ctx, logical, row->unit[unit] + at);
	return node_verdict(vol, logical, row->unit[unit] + at);
}

/* Columns [at, at + len) of all units, the bad ones computed; in memory of their own. */
static int solve(const struct parity_row *row, u32 at, u32 len, const bool *bad, u8 *buf, u8 **unit)
{
	for (unsigned i = 0; i < row->map.data + row->map.parities; i++) {
		unit[i] = buf + (size_t)i * len;
		memcpy(unit[i], row->unit[i] + at, len);
	}
	return parity_recover(row->map.data, row->map.parities, len, unit, bad);
}

static void count_bad(const struct parity_row *row, unsigned unit, u32 at)
{
	unsigned stripe = stripe_row_stripe(&row->map, unit);

	stat_add(&row->vol->stats.csum_errors);
	stat_add(&row->vol->stats.repaired);
	member_count(stripe_member(row->vol, row->chunk, stripe), DEVICE_CORRUPTION);
	log_info("block %llu was bad, repaired from parity",
		 (unsigned long long)unit_logical(row, unit, at));
}

/* Takes over what was computed for unit @unit if it is proven right. */
static bool accept(struct parity_row *row, unsigned unit, u32 at, u32 len, const u8 *computed,
		   u8 *scratch, bool *repaired)
{
	memcpy(scratch, row->unit[unit] + at, len);
	memcpy(row->unit[unit] + at, computed, len);
	if (verdict(row, unit, at) == SECTOR_GOOD) {
		count_bad(row, unit, at);
		repaired[unit] = true;
		return true;
	}
	memcpy(row->unit[unit] + at, scratch, len);
	return false;
}

/* Marks what is wrong in one block's columns; how many data units that are. */
static unsigned judge_units(const struct parity_row *row, u32 at, bool *bad)
{
	unsigned wrong = 0;

	memcpy(bad, row->bad, sizeof(row->bad));
	for (unsigned i = 0; i < row->map.data; i++) {
		if (verdict(row, i, at) != SECTOR_BAD)
			continue;
		bad[i] = true;
		wrong++;
	}
	return wrong;
}

/* Finds the bad data units of one block's columns and computes them; if that does not make them
 * good, again without each of the parities. */
static int settle_block(struct parity_row *row, u32 at, u32 len, bool *repaired)
{
	unsigned data = row->map.data, units = data + row->map.parities, wrong;
	_cleanup_buffer_ u8 *buf = buffer_get((size_t)(units + 1) * len);
	u8 *unit[ROW_UNITS_MAX], *scratch = buf + (size_t)units * len;
	bool bad[ROW_UNITS_MAX];

	if (!buf)
		return -ENOMEM;
	wrong = judge_units(row, at, bad);
	for (unsigned without = data; wrong && without <= units; without++) {
		bool was = without > data && bad[without - 1];

		if (without > data)
			bad[without - 1] = true;
		for (unsigned i = 0; !solve(row, at, len, bad, buf, unit) && i < data; i++) {
			if (!bad[i] || !accept(row, i, at, len, unit[i], scratch, repaired))
				continue;
			bad[i] = false;
			wrong--;
		}
		if (without > data)
			bad[without - 1] = was;
	}
	return 0;
}

static int settle_row(struct parity_row *row, bool *repaired)
{
	struct volume *vol = row->vol;
	u32 len = row->chunk->type & BTRFS_BLOCK_GROUP_DATA ? vol->sectorsize : vol->nodesize;
	int err = 0;

	if (parity_matches(row->map.data, row->map.parities, row->hi - row->lo, row->unit) ||
	    !verdict_possible(row))
		return 0;
	for (u32 at = 0; !err && at + len <= row->hi - row->lo; at += len)
		err = settle_block(row, at, len, repaired);
	return err;
}

/* What the row holds now, as far as it is known or can be computed. */
static int load_row(struct parity_row *row, bool *repaired)
{
	int err;

	parity_row_read(row);
	err = parity_row_recover(row);
	return err ? err : settle_row(row, repaired);
}

/* ---- the write ---- */

/* What part of a row is written, in bytes from its start. */
struct part {
	u32 from, to;
};

/* The part's columns in data unit @unit; false: none. */
static bool part_in_unit(const struct part *p, unsigned unit, u32 *lo, u32 *hi)
{
	u32 start = unit * (u32)STRIPE_LEN, end = start + (u32)STRIPE_LEN;

	if (p->to <= start || p->from >= end)
		return false;
	*lo = MAX(p->from, start) - start;
	*hi = MIN(p->to, end) - start;
	return true;
}

static void cursor_copy(struct cursor *c, u8 *to, size_t len)
{
	while (len) {
		size_t n = MIN(len, c->iov->iov_len - c->used);

		memcpy(to, (const u8 *)c->iov->iov_base + c->used, n);
		to += n;
		len -= n;
		c->used += n;
		if (c->used < c->iov->iov_len)
			continue;
		c->iov++;
		c->cnt--;
		c->used = 0;
	}
}

static int write_columns(struct parity_row *row, unsigned unit, u32 lo, u32 hi, unsigned *without)
{
	struct iovec iov = {row->unit[unit] + (lo - row->lo), hi - lo};
	int r = volume_write_stripe(row->vol, row->chunk, stripe_row_stripe(&row->map, unit),
				    row->map.offset + lo, &iov, 1);

	*without += r == 1;
	return MIN(r, 0);
}

/* Data, then parity. */
static int store_row(struct parity_row *row, const struct part *part, const bool *repaired)
{
	unsigned without = 0;
	u32 lo, hi;
	int err = 0;

	for (unsigned i = 0; !err && i < row->map.data; i++) {
		if (repaired[i])
			err = write_columns(row, i, row->lo, row->hi, &without);
		else if (part_in_unit(part, i, &lo, &hi))
			err = write_columns(row, i, lo, hi, &without);
	}
	SP("row.data", .off = row->map.logical);
	for (unsigned i = row->map.data; !err && i < row->map.data + row->map.parities; i++)
		err = write_columns(row, i, row->lo, row->hi, &without);
	if (!err && without > row->map.parities)
		err = -EIO;
	return err;
}

static int write_part(struct parity_row *row, const struct part *part, struct cursor *from)
{
	bool repaired[ROW_UNITS_MAX] = {0};
	u32 lo, hi;
	int err = 0;

	if (part->to - part->from < row->map.data * (row->hi - row->lo))
		err = load_row(row, repaired);
	for (unsigned i = 0; !err && i < row->map.data; i++)
		if (part_in_unit(part, i, &lo, &hi))
			cursor_copy(from, row->unit[i] + (lo - row->lo), hi - lo);
	if (err)
		return err;
	parity_generate(row->map.data, row->map.parities, row->hi - row->lo, row->unit);
	return store_row(row, part, repaired);
}

/* Columns that the part touches: of one unit its own, of several all. */
static void part_columns(const struct part *p, u32 *lo, u32 *hi)
{
	bool one = p->from / STRIPE_LEN == (p->to - 1) / STRIPE_LEN;

	*lo = one ? p->from % (u32)STRIPE_LEN : 0;
	*hi = one ? (p->to - 1) % (u32)STRIPE_LEN + 1 : (u32)STRIPE_LEN;
}

int parity_write(struct volume *vol, const struct chunk *chunk, u64 logical, u64 len,
		 struct cursor *from)
{
	int err = 0;

	while (!err && len) {
		struct stripe_row map = stripe_row_at(chunk, logical);
		u64 n = MIN(len, map.logical + map.len - logical);
		struct part part = {(u32)(logical - map.logical), (u32)(logical - map.logical + n)};
		_cleanup_row_ struct parity_row row = {0};
		u32 lo, hi;

		part_columns(&part, &lo, &hi);
		err = parity_row_open(vol, chunk, logical, lo, hi, &row);
		if (!err)
			err = write_part(&row, &part, from);
		logical += n;
		len -= n;
	}
	return err;
}
