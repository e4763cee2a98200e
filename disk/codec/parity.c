/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity.c - see parity.h. ISA-L's generators want two data units at least; with one, P and Q are
 * copies of it. Lost data units are the solution of the equations that the remaining units give: as
 * many rows of the generator matrix as there are data units, inverted.
 */
#include "disk/codec/parity.h"

#include <isa-l.h>

static void to_vectors(void **to, u8 *const *unit, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		to[i] = unit[i];
}

void parity_generate(unsigned data, unsigned parities, size_t len, u8 *const *unit)
{
	void *vectors[PARITY_UNITS_MAX];

	if (data == 1) {
		for (unsigned i = 1; i <= parities; i++)
			memcpy(unit[i], unit[0], len);
		return;
	}
	to_vectors(vectors, unit, data + parities);
	if (parities == 1)
		xor_gen((int)data + 1, (int)len, vectors);
	else
		pq_gen((int)data + 2, (int)len, vectors);
}

bool parity_matches(unsigned data, unsigned parities, size_t len, u8 *const *unit)
{
	void *vectors[PARITY_UNITS_MAX];

	if (data == 1)
		return !memcmp(unit[0], unit[1], len) &&
		       (parities == 1 || !memcmp(unit[0], unit[2], len));
	to_vectors(vectors, unit, data + parities);
	return !(parities == 1 ? xor_check((int)data + 1, (int)len, vectors) :
				 pq_check((int)data + 2, (int)len, vectors));
}

/* Row @unit of the generator matrix. */
static void generator_row(unsigned data, unsigned unit, u8 *row)
{
	u8 power = 1;

	memset(row, 0, data);
	if (unit < data) {
		row[unit] = 1;
		return;
	}
	for (unsigned i = 0; i < data; i++) {
		row[i] = power;
		power = unit == data ? 1 : gf_mul(power, 2);
	}
}

/* The unit that is the only one missing is the sum of the other data units and P. */
static void recover_by_p(unsigned data, size_t len, u8 *const *unit, unsigned lost)
{
	void *vectors[PARITY_UNITS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i <= data; i++)
		if (i != lost)
			vectors[n++] = unit[i];
	if (n == 1) {
		memcpy(unit[lost], vectors[0], len);
		return;
	}
	vectors[n++] = unit[lost];
	xor_gen((int)n, (int)len, vectors);
}

static int recover_by_matrix(unsigned data, size_t len, u8 *const *unit, const bool *bad)
{
	_cleanup_free_ u8 *matrix = malloc((size_t)data * data), *inverse = malloc((size_t)data * data);
	_cleanup_free_ u8 *rows = malloc(2 * (size_t)data), *tables = malloc(2 * (size_t)data * 32);
	u8 *from[PARITY_UNITS_MAX], *to[2];
	unsigned lost = 0;

	if (!matrix || !inverse || !rows || !tables)
		return -ENOMEM;
	for (unsigned i = 0, n = 0; n < data; i++) {
		if (bad[i])
			continue;
		generator_row(data, i, matrix + (size_t)n * data);
		from[n++] = unit[i];
	}
	if (gf_invert_matrix(matrix, inverse, (int)data))
		return -EIO;
	for (unsigned i = 0; i < data; i++) {
		if (!bad[i])
			continue;
		memcpy(rows + (size_t)lost * data, inverse + (size_t)i * data, data);
		to[lost++] = unit[i];
	}
	ec_init_tables((int)data, (int)lost, rows, tables);
	ec_encode_data((int)len, (int)data, (int)lost, tables, from, to);
	return 0;
}

int parity_recover(unsigned data, unsigned parities, size_t len, u8 *const *unit, const bool *bad)
{
	unsigned lost_data = 0, lost = 0, last = 0;

	for (unsigned i = 0; i < data + parities; i++) {
		lost += bad[i];
		lost_data += i < data && bad[i];
		last = i < data && bad[i] ? i : last;
	}
	if (lost > parities)
		return -EIO;
	if (lost_data == 1 && !bad[data]) {
		recover_by_p(data, len, unit, last);
	} else if (lost_data) {
		int err = recover_by_matrix(data, len, unit, bad);

		if (err)
			return err;
	}
	if (lost > lost_data) { /* a parity that was not lost comes out as it is */
		parity_generate(data, parities, len, unit);
	}
	return 0;
}
