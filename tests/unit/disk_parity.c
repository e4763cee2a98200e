/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_parity.c - parity against the definition, one multiplication at a time, and every pattern of
 * loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/base/buffer.h"
#include "disk/codec/parity.h"

#define LEN 4096u
#define UNITS 10u

static u8 times_two(u8 x)
{
	return (u8)((x << 1) ^ (x & 0x80 ? 0x1d : 0));
}

struct rows {
	u8 *buf;
	u8 *unit[UNITS];
	u8 want[UNITS][LEN];
};

static void make(struct rows *r, unsigned data, unsigned parities)
{
	r->buf = buffer_get(UNITS * LEN);
	for (unsigned i = 0; i < UNITS; i++)
		r->unit[i] = r->buf + i * LEN;
	for (unsigned b = 0; b < LEN; b++) {
		u8 p = 0, q = 0;

		for (unsigned i = data; i-- > 0;) {
			r->want[i][b] = (u8)rand();
			p ^= r->want[i][b];
			q = times_two(q) ^ r->want[i][b];
		}
		r->want[data][b] = p;
		if (parities == 2)
			r->want[data + 1][b] = q;
	}
	for (unsigned i = 0; i < data + parities; i++)
		memcpy(r->unit[i], r->want[i], LEN);
}

static void assert_whole(const struct rows *r, unsigned units)
{
	for (unsigned i = 0; i < units; i++)
		assert_memory_equal(r->unit[i], r->want[i], LEN);
}

static void lose(struct rows *r, bool *bad, unsigned i)
{
	bad[i] = true;
	memset(r->unit[i], 0x5a, LEN);
}

/* Every one and every pair of units is lost and comes back. */
static void try_losses(struct rows *r, unsigned data, unsigned parities)
{
	for (unsigned a = 0; a < data + parities; a++) {
		for (unsigned b = a; b < data + parities; b++) {
			bool bad[UNITS] = {false};

			lose(r, bad, a);
			lose(r, bad, b);
			if (a != b && parities < 2) {
				assert_int_equal(parity_recover(data, parities, LEN, r->unit, bad),
						 -EIO);
				memcpy(r->unit[b], r->want[b], LEN);
				bad[b] = false;
			}
			assert_int_equal(parity_recover(data, parities, LEN, r->unit, bad), 0);
			assert_whole(r, data + parities);
		}
	}
}

static void test_parity(void **state)
{
	static struct rows r;

	for (unsigned parities = 1; parities <= 2; parities++) {
		for (unsigned data = 1; data + parities <= UNITS; data++) {
			make(&r, data, parities);
			assert_true(parity_matches(data, parities, LEN, r.unit));
			for (unsigned i = 0; i < parities; i++)
				memset(r.unit[data + i], 0, LEN);
			parity_generate(data, parities, LEN, r.unit);
			assert_whole(&r, data + parities);
			for (unsigned i = 0; i < data + parities; i++) {
				r.unit[i][LEN - 1] ^= 1;
				assert_false(parity_matches(data, parities, LEN, r.unit));
				r.unit[i][LEN - 1] ^= 1;
			}
			try_losses(&r, data, parities);
			buffer_put(r.buf);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_parity)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	buffer_pool_drain();
	return failed;
}
