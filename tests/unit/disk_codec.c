/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_codec.c - checksums and hashes against published vectors and against values that the kernel
 * wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/codec/csum.h"
#include "disk/format/hash.h"

static void test_crc32c_vectors(void **state)
{
	u8 zeros[32] = {0}, ones[32], up[32];

	memset(ones, 0xff, sizeof(ones));
	for (u8 i = 0; i < 32; i++)
		up[i] = i;
	assert_int_equal(crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(zeros, 32), 0x8a9136aa); /* RFC 3720 B.4 */
	assert_int_equal(crc32c(ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c(up, 32), 0x46dd794e);
	assert_int_equal(crc32c("", 0), 0);
}

static u32 crc32c_bitwise(u32 state, const u8 *p, size_t len)
{
	while (len--) {
		state ^= *p++;
		for (int i = 0; i < 8; i++)
			state = state >> 1 ^ (state & 1 ? 0x82f63b78 : 0);
	}
	return state;
}

static void test_crc32c_against_bits(void **state)
{
	u8 data[700];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 37 + (i >> 3));
	for (size_t len = 0; len < 600; len += 7)
		for (size_t at = 0; at < 9; at++)
			assert_int_equal(crc32c_raw(0x1234567, data + at, len),
					 crc32c_bitwise(0x1234567, data + at, len));
}

static void test_csum_is_little_endian(void **state)
{
	u8 out[CSUM_SIZE_MAX];

	memset(out, 0xee, sizeof(out));
	csum_compute(0, "123456789", 9, out);
	assert_memory_equal(out, "\x83\x92\x06\xe3\xee", 5);
	assert_int_equal(csum_size(0), 4);
	assert_int_equal(csum_size(77), 0);
	assert_null(csum_name(77));
	assert_string_equal(csum_name(0), "crc32c");
}

static void assert_csum(u16 type, const char *text, const char *hex)
{
	u8 out[CSUM_SIZE_MAX];
	char got[2 * CSUM_SIZE_MAX + 1];

	csum_compute(type, text, strlen(text), out);
	for (u32 i = 0; i < csum_size(type); i++)
		sprintf(got + 2 * i, "%02x", out[i]);
	assert_string_equal(got, hex);
}

/* Published vectors; xxhash64 is stored little-endian. */
static void test_other_csums(void **state)
{
	assert_csum(1, "", "99e9d85137db46ef");
	assert_csum(1, "abc", "990977adf52cbc44");
	assert_csum(2, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_csum(3, "abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
	assert_int_equal(csum_size(1), 8);
	assert_int_equal(csum_size(2), 32);
	assert_int_equal(csum_size(3), 32);
}

static void test_name_hash(void **state)
{
	/* (6 DIR_ITEM 2378154706) in the root tree of every file system that mkfs.btrfs made */
	assert_int_equal(name_hash("default", 7), 2378154706u);
}

static void test_extref_hash(void **state)
{
	/* from a file with 400 links in directory 256, made by Linux 6.18 */
	static const char name[] =
		"link-with-a-very-long-name-so-that-refs-overflow-00000000000"
		"0000000000000000000000000000000000000000000000000000000000000000000000000000000000"
		"000000000000000000000000000000000000000000000000000000268";

	assert_int_equal(extref_hash(256, name, sizeof(name) - 1), 17148245u);
}

static void test_extent_data_ref_hash(void **state)
{
	/* keyed EXTENT_DATA_REF items written by Linux 6.18 */
	assert_int_equal(extent_data_ref_hash(5, 314, 0), 1007496931468551167u);
	assert_int_equal(extent_data_ref_hash(5, 297, 0), 1007496931555208115u);
	assert_int_equal(extent_data_ref_hash(5, 313, 0), 1007496931787850508u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc32c_vectors),
		cmocka_unit_test(test_crc32c_against_bits),
		cmocka_unit_test(test_csum_is_little_endian),
		cmocka_unit_test(test_other_csums),
		cmocka_unit_test(test_name_hash),
		cmocka_unit_test(test_extref_hash),
		cmocka_unit_test(test_extent_data_ref_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
