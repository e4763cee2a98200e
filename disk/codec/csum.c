/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csum.c - one row a checksum type. ISA-L's crc32_iscsi takes and gives the raw register (no
 * inversion on either side); btrfs stores the standard crc32c, register ~0 before and inverted
 * after, little-endian; xxhash64 with seed 0, little-endian; sha256 and unkeyed blake2b-256 as they
 * are.
 */
#include <gcrypt.h>
#include <isa-l/crc.h>
#include <limits.h>
#include <linux/btrfs_tree.h>
#include <pthread.h>
#include <xxhash.h>

#include "disk/codec/csum.h"

struct csum_codec {
	const char *name;
	u32 size;
	void (*compute)(const void *data, size_t len, u8 *out);
};

u32 crc32c_raw(u32 state, const void *data, size_t len)
{
	const u8 *p = data;

	while (len) {
		size_t n = MIN(len, (size_t)INT_MAX / 2);

		state = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)n, state);
		p += n;
		len -= n;
	}
	return state;
}

u32 crc32c(const void *data, size_t len)
{
	return ~crc32c_raw(~0u, data, len);
}

static void csum_crc32c(const void *data, size_t len, u8 *out)
{
	put_le32(out, crc32c(data, len));
}

static void csum_xxhash(const void *data, size_t len, u8 *out)
{
	put_le64(out, XXH64(data, len, 0));
}

/* Secure memory would be locked pages for keys; we have none. */
static void gcrypt_start(void)
{
	(void)gcry_check_version(NULL);
	(void)gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	(void)gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

static void gcrypt_hash(int algo, const void *data, size_t len, u8 *out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, gcrypt_start);
	gcry_md_hash_buffer(algo, out, data, len);
}

static void csum_sha256(const void *data, size_t len, u8 *out)
{
	gcrypt_hash(GCRY_MD_SHA256, data, len, out);
}

static void csum_blake2(const void *data, size_t len, u8 *out)
{
	gcrypt_hash(GCRY_MD_BLAKE2B_256, data, len, out);
}

static const struct csum_codec codecs[] = {
	[BTRFS_CSUM_TYPE_CRC32] = {"crc32c", 4, csum_crc32c},
	[BTRFS_CSUM_TYPE_XXHASH] = {"xxhash64", 8, csum_xxhash},
	[BTRFS_CSUM_TYPE_SHA256] = {"sha256", 32, csum_sha256},
	[BTRFS_CSUM_TYPE_BLAKE2] = {"blake2b", 32, csum_blake2},
};

u32 csum_size(u16 type)
{
	return type < ARRAY_SIZE(codecs) ? codecs[type].size : 0;
}

const char *csum_name(u16 type)
{
	return type < ARRAY_SIZE(codecs) ? codecs[type].name : NULL;
}

void csum_compute(u16 type, const void *data, size_t len, u8 *out)
{
	codecs[type].compute(data, len, out);
}

void csum_block(u16 type, const void *block, size_t size, u8 *out)
{
	csum_compute(type, (const u8 *)block + CSUM_SIZE_MAX, size - CSUM_SIZE_MAX, out);
}
