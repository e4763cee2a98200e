/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hash.c - see hash.h. Test vectors from real images are in tests/unit/disk_hash.c. */
#include "disk/format/hash.h"
#include "disk/codec/csum.h"

u64 name_hash(const void *name, size_t len)
{
	return crc32c_raw(~1u, name, len);
}

u64 extref_hash(u64 parent_ino, const void *name, size_t len)
{
	return crc32c_raw((u32)parent_ino, name, len);
}

u64 extent_data_ref_hash(u64 root, u64 ino, u64 offset)
{
	u8 word[8];
	u32 high, low;

	put_le64(word, root);
	high = crc32c_raw(~0u, word, sizeof(word));
	put_le64(word, ino);
	low = crc32c_raw(~0u, word, sizeof(word));
	put_le64(word, offset);
	low = crc32c_raw(low, word, sizeof(word));
	return (u64)high << 31 ^ low;
}
