/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csum.h - checksums of nodes, superblocks and data sectors, by the superblock's csum_type. Pure.
 * A table of codecs: another type is another row. Unknown types have size 0.
 */
#ifndef DISK_CODEC_CSUM_H
#define DISK_CODEC_CSUM_H

#include "disk/base/types.h"

#define CSUM_SIZE_MAX 32

/* Bytes of a checksum of @type, 0 if this build cannot compute it. */
u32 csum_size(u16 type);

/* "crc32c", or NULL for a type that the format does not know. */
const char *csum_name(u16 type);

/* Fills csum_size(@type) bytes of @out, leaves the rest alone. @type must be one that csum_size()
 * knows. */
void csum_compute(u16 type, const void *data, size_t len, u8 *out);

/* Of a 4 KiB superblock or a node: everything after the 32 checksum bytes. */
void csum_block(u16 type, const void *block, size_t size, u8 *out);

/* crc32c with an explicit state: no inversion before or after (the format's hashes need that). */
u32 crc32c_raw(u32 state, const void *data, size_t len);

/* Standard crc32c (state ~0, inverted at the end). */
u32 crc32c(const void *data, size_t len);

#endif
