/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csum.c - one row a checksum type. ISA-L's crc32_iscsi takes and gives the raw register (no
 * inversion on either side); btrfs stores the standard crc32c, register ~0 before and inverted
 * after, little-endian.
 */
#include <isa-l/crc.h>
#include <limits.h>
#include <linux/btrfs_tree.h>

#include "disk/codec/csum.h"

struct csum_codec {
	const char *name;
	u32 size; /* 0: known to the format, not to this build */
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

static const struct csum_codec codecs[] = {
	[BTRFS_CSUM_TYPE_CRC32] = {"crc32c", 4, csum_crc32c},
	[BTRFS_CSUM_TYPE_XXHASH] = {"xxhash64", 0, NULL},
	[BTRFS_CSUM_TYPE_SHA256] = {"sha256", 0, NULL},
	[BTRFS_CSUM_TYPE_BLAKE2] = {"blake2b", 0, NULL},
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
