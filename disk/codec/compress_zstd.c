/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compress_zstd.c - one zstd frame; what follows it in the extent's last sector is not part of it.
 * The kernel's window is 128 KiB: a frame of at most that size never asks for more.
 */
#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "disk/codec/codec_internal.h"

static void cctx_free(void *c)
{
	ZSTD_freeCCtx(c);
}

static void dctx_free(void *d)
{
	ZSTD_freeDCtx(d);
}

static void *context(struct workspace *ws, enum workspace_slot slot)
{
	if (!ws->slot[slot]) {
		ws->slot[slot] = slot == WS_ZSTD_C ? (void *)ZSTD_createCCtx()
						   : (void *)ZSTD_createDCtx();
		ws->destroy[slot] = slot == WS_ZSTD_C ? cctx_free : dctx_free;
	}
	return ws->slot[slot];
}

static int failed(size_t code)
{
	return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? -ENOMEM : -EIO;
}

static int zstd_compress(struct workspace *ws, int level, u32 sectorsize, const u8 *in, u32 len,
			 u8 *out, u32 room)
{
	ZSTD_CCtx *c = context(ws, WS_ZSTD_C);
	size_t n;

	if (!c)
		return -ENOMEM;
	n = ZSTD_compressCCtx(c, out, room, in, len, level);
	if (!ZSTD_isError(n))
		return (int)n;
	return failed(n) == -ENOMEM ? -ENOMEM : 0;
}

/* A frame that holds more than is wanted, or none whose size can be told beforehand. */
static int stream_out(ZSTD_DCtx *d, const u8 *in, u32 len, u8 *out, u32 out_len)
{
	ZSTD_inBuffer from = {in, len, 0};
	ZSTD_outBuffer to = {out, out_len, 0};
	size_t r = ZSTD_initDStream(d);

	while (!ZSTD_isError(r)) {
		size_t before = from.pos + to.pos;

		r = ZSTD_decompressStream(d, &to, &from);
		if (!ZSTD_isError(r) && (r == 0 || to.pos == to.size))
			return (int)to.pos;
		if (from.pos + to.pos == before)
			return -EIO; /* the input ends within the frame */
	}
	return failed(r);
}

static int zstd_decompress(struct workspace *ws, u32 sectorsize, const u8 *in, u32 len, u8 *out,
			   u32 out_len)
{
	ZSTD_DCtx *d = context(ws, WS_ZSTD_D);
	size_t frame, n;

	if (!d)
		return -ENOMEM;
	frame = ZSTD_findFrameCompressedSize(in, len);
	if (ZSTD_isError(frame))
		return -EIO;
	n = ZSTD_decompressDCtx(d, out, out_len, in, frame);
	if (!ZSTD_isError(n))
		return (int)n;
	if (ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall)
		return stream_out(d, in, len, out, out_len);
	return failed(n);
}

const struct codec zstd_codec = {"zstd", -15, 15, 3, zstd_compress, zstd_decompress};
