/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_compress.c - the compressions give back what they took, for every level and size; damaged
 * and random streams end in an error or in bytes within bounds; lzo's frame as the format says.
 * Bounds are watched by guard bytes here and by the sanitizers' builds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "disk/codec/compress.h"

#define GUARD_BYTES 64

static u64 seed = 88172645463325252ULL;

static u32 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 32);
}

static void fill_text(u8 *p, u32 len)
{
	for (u32 i = 0; i < len; i++)
		p[i] = (u8)("the quick brown fox jumps over a lazy dog\n"[i % 42] + (rnd() % 40 == 0));
}

static void fill_random(u8 *p, u32 len)
{
	for (u32 i = 0; i < len; i++)
		p[i] = (u8)rnd();
}

static u8 in[COMPRESS_MAX], packed[COMPRESS_MAX + GUARD_BYTES], out[COMPRESS_MAX + GUARD_BYTES];

static void guard(u8 *p)
{
	memset(p, 0xa5, GUARD_BYTES);
}

static void assert_guarded(const u8 *p)
{
	for (int i = 0; i < GUARD_BYTES; i++)
		assert_int_equal(p[i], 0xa5);
}

/* Compressed size, 0 if it did not fit. */
static u32 round_trip(unsigned type, int level, u32 sectorsize, u32 len, u32 room)
{
	int n;

	guard(packed + room);
	n = compress_data(type, level, sectorsize, in, len, packed, room);
	assert_true(n >= 0 && (u32)n <= room);
	assert_guarded(packed + room);
	if (!n)
		return 0;
	guard(out + len);
	/* the rest of the last sector is zero on the device */
	memset(packed + n, 0, ALIGN_UP((u32)n, 64u) - (u32)n);
	assert_int_equal(decompress_data(type, sectorsize, packed, ALIGN_UP((u32)n, 64u), out, len), 0);
	assert_memory_equal(in, out, len);
	assert_guarded(out + len);
	return (u32)n;
}

static void test_every_level(void **state)
{
	fill_text(in, sizeof(in));
	for (int level = 1; level <= 9; level++)
		assert_in_range(round_trip(COMPRESS_ZLIB, level, 4096, KIB(128), KIB(124)), 1, KIB(64));
	for (int level = -15; level <= 15; level++)
		assert_in_range(round_trip(COMPRESS_ZSTD, level, 4096, KIB(128), KIB(124)), 1, KIB(64));
	assert_in_range(round_trip(COMPRESS_LZO, 0, 4096, KIB(128), KIB(124)), 1, KIB(80));
}

static void test_every_size(void **state)
{
	static const u32 sizes[] = {1, 2, 63, 100, 2048, 4095, 4096, 4097, 8192, 65536, 131071, 131072};

	for (unsigned type = COMPRESS_ZLIB; type < COMPRESS_TYPES; type++)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			for (u32 sectorsize = 4096; sectorsize <= 65536; sectorsize *= 4) {
				fill_text(in, sizes[i]);
				(void)round_trip(type, 3, sectorsize, sizes[i], KIB(128));
			}
}

static void test_random_data_does_not_fit(void **state)
{
	fill_random(in, sizeof(in));
	for (unsigned type = COMPRESS_ZLIB; type < COMPRESS_TYPES; type++) {
		assert_int_equal(round_trip(type, 0, 4096, KIB(128), KIB(124)), 0);
		assert_int_equal(round_trip(type, 0, 4096, 4096, 3), 0);
	}
}

/* Mixtures put lzo's segments at every distance from the sector borders. */
static void test_lzo_borders(void **state)
{
	u32 at_border = 0;

	for (int round = 0; round < 300; round++) {
		u32 n, pos = 4;

		fill_text(in, KIB(64));
		for (u32 at = 0; at < KIB(64); at += 4096)
			fill_random(in + at, rnd() % 4096);
		n = round_trip(COMPRESS_LZO, 0, 4096, KIB(64), KIB(72));
		assert_int_equal(get_le32(packed), n);
		for (u32 i = 0; i < 16; i++) {
			u32 left = 4096 - pos % 4096;

			assert_true(left >= 4);
			pos += 4 + get_le32(packed + pos);
			left = 4096 - pos % 4096;
			if (left < 4) {
				for (u32 k = 0; k < left; k++)
					assert_int_equal(packed[pos + k], 0);
				pos += left;
				at_border++;
			}
		}
		assert_int_equal(pos, n);
	}
	assert_true(at_border > 0);
}

static void test_stream_shorter_and_longer_than_wanted(void **state)
{
	fill_text(in, KIB(128));
	for (unsigned type = COMPRESS_ZLIB; type < COMPRESS_TYPES; type++) {
		int n = compress_data(type, 0, 4096, in, KIB(64), packed, KIB(64));

		assert_true(n > 0);
		assert_int_equal(decompress_data(type, 4096, packed, (u32)n, out, KIB(128)), 0);
		assert_memory_equal(in, out, KIB(64));
		for (u32 i = KIB(64); i < KIB(128); i++)
			assert_int_equal(out[i], 0);
		guard(out + 5001);
		assert_int_equal(decompress_data(type, 4096, packed, (u32)n, out, 5001), 0);
		assert_memory_equal(in, out, 5001);
		assert_guarded(out + 5001);
	}
}

static void try_hostile(unsigned type, const u8 *bytes, u32 len, u32 want)
{
	u8 *copy = malloc(len + !len), *to = malloc(want);
	int r;

	memcpy(copy, bytes, len);
	r = decompress_data(type, 4096, copy, len, to, want);
	assert_true(r == 0 || r == -EIO);
	free(copy);
	free(to);
}

/* Exact allocations: a sanitizer sees every byte out of bounds. */
static void test_damaged_streams(void **state)
{
	for (unsigned type = COMPRESS_ZLIB; type < COMPRESS_TYPES; type++)
		for (int round = 0; round < 400; round++) {
			u32 len = 1 + rnd() % KIB(16);
			int n;

			fill_text(in, len);
			n = compress_data(type, 0, 4096, in, len, packed, KIB(20));
			assert_true(n > 0);
			for (u32 k = rnd() % 4; k < 5; k++)
				packed[rnd() % (round % 2 ? 12 : (u32)n) % (u32)n] = (u8)rnd();
			try_hostile(type, packed, (u32)n, len);
			try_hostile(type, packed, rnd() % (u32)n, len);
			fill_random(packed, 600);
			try_hostile(type, packed, rnd() % 600, 1 + rnd() % KIB(128));
		}
	try_hostile(COMPRESS_TYPES, packed, 100, 4096);
	try_hostile(COMPRESS_NONE, packed, 100, 4096);
}

static void test_cut_stream_is_an_error(void **state)
{
	fill_text(in, KIB(64));
	for (unsigned type = COMPRESS_ZLIB; type < COMPRESS_TYPES; type++) {
		int n = compress_data(type, 0, 4096, in, KIB(64), packed, KIB(64));

		assert_int_equal(decompress_data(type, 4096, packed, (u32)n / 2, out, KIB(64)), -EIO);
		assert_int_equal(decompress_data(type, 4096, packed, 0, out, KIB(64)), -EIO);
	}
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int r;
		u8 type;
		int level;
	} cases[] = {
		{"zlib", 0, COMPRESS_ZLIB, 3},     {"zlib:1", 0, COMPRESS_ZLIB, 1},
		{"zlib:15", 0, COMPRESS_ZLIB, 9},  {"zlib:0", 0, COMPRESS_ZLIB, 3},
		{"zlib:-4", 0, COMPRESS_ZLIB, 1},  {"lzo", 0, COMPRESS_LZO, 0},
		{"zstd", 0, COMPRESS_ZSTD, 3},     {"zstd:15", 0, COMPRESS_ZSTD, 15},
		{"zstd:-15", 0, COMPRESS_ZSTD, -15}, {"zstd:-99", 0, COMPRESS_ZSTD, -15},
		{"zstd:22", 0, COMPRESS_ZSTD, 15}, {"lzo:1", -EINVAL, 0, 0},
		{"zstd:", -EINVAL, 0, 0},          {"zstd:x", -EINVAL, 0, 0},
		{"zstdx", -EINVAL, 0, 0},          {"lz4", -EINVAL, 0, 0},
		{"", -EINVAL, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 type = 0;
		int level = 0;

		assert_int_equal(compress_parse(cases[i].text, &type, &level), cases[i].r);
		assert_int_equal(type, cases[i].type);
		assert_int_equal(level, cases[i].level);
	}
	assert_string_equal(compress_name(COMPRESS_ZSTD), "zstd");
	assert_null(compress_name(9));
}

static void test_promising(void **state)
{
	fill_random(in, sizeof(in));
	assert_false(compress_promising(in, sizeof(in)));
	fill_text(in, sizeof(in));
	assert_true(compress_promising(in, sizeof(in)));
	assert_true(compress_promising(in, 100));
	memset(in, 0, sizeof(in));
	assert_true(compress_promising(in, sizeof(in)));
	fill_random(in, KIB(64)); /* the same twice */
	memcpy(in + KIB(64), in, KIB(64));
	assert_true(compress_promising(in, sizeof(in)));
}

static int drain(void **state)
{
	compress_drain();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_level),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_random_data_does_not_fit),
		cmocka_unit_test(test_lzo_borders),
		cmocka_unit_test(test_stream_shorter_and_longer_than_wanted),
		cmocka_unit_test(test_damaged_streams),
		cmocka_unit_test(test_cut_stream_is_an_error),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_promising),
	};

	return cmocka_run_group_tests(tests, NULL, drain);
}
