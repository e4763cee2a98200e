/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compress_zlib.c - a zlib stream, header and checksum included. */
#include <errno.h>
#include <zlib.h>

#include "disk/codec/codec_internal.h"

static void deflate_free(void *z)
{
	deflateEnd(z);
	free(z);
}

static void inflate_free(void *z)
{
	inflateEnd(z);
	free(z);
}

/* A stream of @ws, made at its first use. */
static z_stream *stream(struct workspace *ws, enum workspace_slot slot, int level)
{
	z_stream *z = ws->slot[slot];

	if (z)
		return z;
	z = calloc(1, sizeof(*z));
	if (!z)
		return NULL;
	if ((slot == WS_DEFLATE ? deflateInit(z, level) : inflateInit(z)) != Z_OK) {
		free(z);
		return NULL;
	}
	ws->slot[slot] = z;
	ws->destroy[slot] = slot == WS_DEFLATE ? deflate_free : inflate_free;
	if (slot == WS_DEFLATE)
		ws->deflate_level = level;
	return z;
}

static void aim(z_stream *z, const u8 *in, u32 len, u8 *out, u32 room)
{
	z->next_in = (Bytef *)(uintptr_t)in;
	z->avail_in = len;
	z->next_out = out;
	z->avail_out = room;
}

static int zlib_compress(struct workspace *ws, int level, u32 sectorsize, const u8 *in, u32 len,
			 u8 *out, u32 room)
{
	z_stream *z = stream(ws, WS_DEFLATE, level);

	if (!z || deflateReset(z) != Z_OK)
		return -ENOMEM;
	aim(z, NULL, 0, out, room);
	if (ws->deflate_level != level && deflateParams(z, level, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	ws->deflate_level = level;
	aim(z, in, len, out, room);
	return deflate(z, Z_FINISH) == Z_STREAM_END ? (int)(room - z->avail_out) : 0;
}

static int zlib_decompress(struct workspace *ws, u32 sectorsize, const u8 *in, u32 len, u8 *out,
			   u32 out_len)
{
	z_stream *z = stream(ws, WS_INFLATE, 0);
	int r;

	if (!z || inflateReset(z) != Z_OK)
		return -ENOMEM;
	aim(z, in, len, out, out_len);
	r = inflate(z, Z_FINISH);
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	/* A stream that goes on behind what is wanted is fine. */
	if (r != Z_STREAM_END && !(r == Z_BUF_ERROR && z->avail_out == 0))
		return -EIO;
	return (int)(out_len - z->avail_out);
}

const struct codec zlib_codec = {"zlib", 1, 9, 3, zlib_compress, zlib_decompress};
