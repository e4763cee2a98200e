/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_stripe_map.c - the mapping of every profile against a model that deals out the units of a
 * chunk one by one, as the format documentation draws them; and what that has to mean: no byte of a
 * device extent is used twice, each is used.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/format/raid_profile.h"
#include "disk/volume/stripe_map.h"

#define ROWS 13u
#define STRIPES_MAX 9u
#define START GIB(3)

enum { EMPTY = -1, PARITY_P = -2, PARITY_Q = -3 };

/* What lies where: the number of the data unit, by stripe and row. */
struct model {
	struct chunk *chunk;
	unsigned units;
	int at[STRIPES_MAX][ROWS];
};

static void deal_parity(struct model *m, unsigned parities)
{
	unsigned n = m->chunk->num_stripes;

	for (unsigned row = 0; row < ROWS; row++) {
		unsigned stripe = row % n;

		for (unsigned i = 0; i < n - parities; i++, stripe = (stripe + 1) % n)
			m->at[stripe][row] = (int)m->units++;
		m->at[stripe][row] = PARITY_P;
		if (parities == 2)
			m->at[(stripe + 1) % n][row] = PARITY_Q;
	}
}

static void deal_copies(struct model *m, unsigned copies)
{
	for (unsigned row = 0; row < ROWS; row++)
		for (unsigned stripe = 0; stripe < m->chunk->num_stripes; stripe += copies) {
			for (unsigned c = 0; c < copies; c++)
				m->at[stripe + c][row] = (int)m->units;
			m->units++;
		}
}

static void model_make(struct model *m, u64 profile, unsigned stripes)
{
	struct chunk *c = calloc(1, sizeof(*c) + stripes * sizeof(c->stripes[0]));

	memset(m, 0xff, sizeof(*m));
	m->units = 0;
	m->chunk = c;
	c->logical = START;
	c->type = BTRFS_BLOCK_GROUP_DATA | profile;
	c->num_stripes = (u16)stripes;
	c->refs = 1;
	for (unsigned i = 0; i < stripes; i++)
		c->stripes[i].physical = MIB(100) * i + MIB(1);
	switch (profile) {
	case BTRFS_BLOCK_GROUP_RAID5:
		deal_parity(m, 1);
		break;
	case BTRFS_BLOCK_GROUP_RAID6:
		deal_parity(m, 2);
		break;
	case BTRFS_BLOCK_GROUP_RAID0:
		deal_copies(m, 1);
		break;
	case BTRFS_BLOCK_GROUP_RAID10:
		deal_copies(m, 2);
		break;
	default: /* the same everywhere */
		deal_copies(m, stripes);
	}
	c->length = m->units * (u64)STRIPE_LEN;
}

/* Each unit is found on each stripe that the model has it on, and nowhere else. */
static void check_units(const struct model *m)
{
	for (unsigned unit = 0; unit < m->units; unit++) {
		u64 logical = START + unit * (u64)STRIPE_LEN + 4096;
		struct stripe_run run = stripe_run_at(m->chunk, logical, 8192);
		unsigned found = 0;

		assert_int_equal(run.len, 8192);
		assert_int_equal(run.offset % STRIPE_LEN, 4096);
		for (unsigned s = 0; s < m->chunk->num_stripes; s++) {
			bool holds = m->at[s][run.offset / STRIPE_LEN] == (int)unit;

			assert_int_equal(holds, s >= run.first && s < run.first + run.copies);
			found += holds;
		}
		assert_int_equal(found, run.copies);
	}
}

static void check_reverse(const struct model *m, unsigned parities)
{
	unsigned data = m->chunk->num_stripes - parities;

	for (unsigned s = 0; s < m->chunk->num_stripes; s++)
		for (unsigned row = 0; row < ROWS; row++) {
			u64 logical, len, want = START + (u64)STRIPE_LEN *
							     (unsigned)MAX(m->at[s][row], 0);

			stripe_map_reverse(m->chunk, s, row * (u64)STRIPE_LEN, &logical, &len);
			if (parities)
				want = START + row * data * (u64)STRIPE_LEN;
			assert_int_equal(logical, want);
			assert_int_equal(len, STRIPE_LEN * (parities ? data : 1));
		}
}

static void check_rows(const struct model *m, unsigned parities)
{
	for (unsigned unit = 0; unit < m->units; unit++) {
		struct stripe_row row =
			stripe_row_at(m->chunk, START + unit * (u64)STRIPE_LEN + 77);
		unsigned n = (unsigned)(row.offset / STRIPE_LEN);

		assert_int_equal(row.data + row.parities, m->chunk->num_stripes);
		assert_int_equal(m->at[stripe_row_stripe(&row, row.data)][n], PARITY_P);
		if (parities == 2)
			assert_int_equal(m->at[stripe_row_stripe(&row, row.data + 1)][n], PARITY_Q);
		for (unsigned i = 0; i < row.data; i++)
			assert_int_equal(m->at[stripe_row_stripe(&row, i)][n],
					 (row.logical - START) / STRIPE_LEN + i);
	}
}

static void check_profile(u64 profile, unsigned stripes)
{
	const struct raid_profile *p = raid_profile_of(profile);
	static struct model m;

	model_make(&m, profile, stripes);
	assert_int_equal(chunk_stripe_bytes(m.chunk), ROWS * (u64)STRIPE_LEN);
	assert_int_equal(stripe_map_has_parity(m.chunk), p->parities > 0);
	check_units(&m);
	check_reverse(&m, p->parities);
	if (p->parities)
		check_rows(&m, p->parities);
	chunk_put(m.chunk);
}

static void every_profile(void **state)
{
	const struct {
		u64 profile;
		unsigned min, max, step;
	} all[] = {
		{0, 1, 1, 1},
		{BTRFS_BLOCK_GROUP_DUP, 2, 2, 1},
		{BTRFS_BLOCK_GROUP_RAID1, 2, 2, 1},
		{BTRFS_BLOCK_GROUP_RAID1C3, 3, 3, 1},
		{BTRFS_BLOCK_GROUP_RAID1C4, 4, 4, 1},
		{BTRFS_BLOCK_GROUP_RAID0, 1, STRIPES_MAX, 1},
		{BTRFS_BLOCK_GROUP_RAID10, 2, 8, 2},
		{BTRFS_BLOCK_GROUP_RAID5, 2, STRIPES_MAX, 1},
		{BTRFS_BLOCK_GROUP_RAID6, 3, STRIPES_MAX, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (unsigned n = all[i].min; n <= all[i].max; n += all[i].step)
			check_profile(all[i].profile, n);
}

static void runs_end_at_borders(void **state)
{
	static struct model m;
	struct stripe_run run;

	model_make(&m, BTRFS_BLOCK_GROUP_RAID0, 3);
	run = stripe_run_at(m.chunk, START + STRIPE_LEN - 4096, MIB(1));
	assert_int_equal(run.len, 4096);
	chunk_put(m.chunk);
	model_make(&m, BTRFS_BLOCK_GROUP_RAID1, 2);
	run = stripe_run_at(m.chunk, START + STRIPE_LEN, GIB(1));
	assert_int_equal(run.len, m.chunk->length - STRIPE_LEN);
	chunk_put(m.chunk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_profile),
		cmocka_unit_test(runs_end_at_borders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
