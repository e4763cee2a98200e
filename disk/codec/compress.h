/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compress.h - the format's compressions: zlib, lzo, zstd. Pure, thread safe, no locks held across
 * work. A table of codecs: another type is another row.
 *
 * Input is never believed: decompressing reads and writes inside the given bounds only, whatever
 * the bytes say. Source of limits and of lzo's framing: the btrfs on-disk format documentation.
 */
#ifndef DISK_CODEC_COMPRESS_H
#define DISK_CODEC_COMPRESS_H

#include "disk/base/types.h"

/* As file extent items name them. */
enum compress_type {
	COMPRESS_NONE,
	COMPRESS_ZLIB,
	COMPRESS_LZO,
	COMPRESS_ZSTD,
	COMPRESS_TYPES,
};

/* A compressed extent holds at most this, both before and after. */
#define COMPRESS_MAX KIB(128)

/* "zlib", ...; "none" for COMPRESS_NONE; NULL for an unknown one. */
const char *compress_name(unsigned type);

/* Understands "zlib", "zlib:9", "lzo", "zstd:-3" (a level out of range is clamped, 0 is the
 * default). -EINVAL for anything else; "no" and "none" are the caller's. */
_must_check_ int compress_parse(const char *text, u8 *ret_type, int *ret_level);

/* The level that @type uses when it is asked for @level; 0 stands for its default. */
int compress_clamp_level(unsigned type, int level);

/* Bytes written to @out, 0 if they would be more than @room, -ENOMEM. @len is at most
 * COMPRESS_MAX. */
_must_check_ int compress_data(unsigned type, int level, u32 sectorsize, const void *in, u32 len,
			  void *out, u32 room);

/* Fills all of @out: zeroes follow where the stream ends early, what it holds beyond is dropped.
 * -EIO for a bad stream, -ENOMEM. */
_must_check_ int decompress_data(unsigned type, u32 sectorsize, const void *in, u32 len, void *out,
			    u32 out_len);

/* Does a sample of @data look as if compressing it would save something? */
bool compress_promising(const void *data, u32 len);

/* Gives back the memory that codecs keep between calls; nobody else uses them. */
void compress_drain(void);

#endif
