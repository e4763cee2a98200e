/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compress_lzo.c - lzo in the format's frame: le32 length of everything, then for each sector of
 * input a segment: le32 length and lzo1x data. A segment's length never runs across a sector
 * border of the output: fewer than four bytes left before one are zeroes.
 */
#include <errno.h>
#include <lzo/lzo1x.h>

#include "disk/codec/codec_internal.h"

#define LEN 4u

/* What a sector may grow to. */
static u32 worst(u32 sectorsize)
{
	return sectorsize + sectorsize / 16 + 64 + 3 + 2;
}

static u32 skip_border(u32 pos, u32 sectorsize)
{
	u32 left = sectorsize - pos % sectorsize;

	return left < LEN ? pos + left : pos;
}

struct lzo_space {
	u8 mem[LZO1X_1_MEM_COMPRESS] __attribute__((aligned(16)));
	u8 segment[]; /* worst() bytes */
};

static struct lzo_space *space(struct workspace *ws)
{
	/* room for the largest sector */
	if (!ws->slot[WS_LZO]) {
		ws->slot[WS_LZO] = malloc(sizeof(struct lzo_space) + worst(KIB(64)));
		ws->destroy[WS_LZO] = free;
	}
	return ws->slot[WS_LZO];
}

/* Appends a segment, 0 if there is no room for it. */
static u32 put_segment(struct lzo_space *s, u32 sectorsize, const u8 *in, u32 len, u8 *out, u32 pos,
		       u32 room)
{
	lzo_uint n = 0;
	u32 next;

	lzo1x_1_compress(in, len, s->segment, &n, s->mem);
	if (pos + LEN + n > room)
		return 0;
	put_le32(out + pos, (u32)n);
	memcpy(out + pos + LEN, s->segment, n);
	pos += LEN + (u32)n;
	next = skip_border(pos, sectorsize);
	if (next > room)
		return 0;
	memset(out + pos, 0, next - pos);
	return next;
}

static int lzo_compress(struct workspace *ws, int level, u32 sectorsize, const u8 *in, u32 len,
			u8 *out, u32 room)
{
	struct lzo_space *s = space(ws);
	u32 pos = LEN;

	if (!s)
		return -ENOMEM;
	if (room < LEN)
		return 0;
	for (u32 done = 0; done < len; done += sectorsize) {
		pos = put_segment(s, sectorsize, in + done, MIN(sectorsize, len - done), out, pos,
				  room);
		if (!pos)
			return 0;
	}
	put_le32(out, pos);
	return (int)pos;
}

/* One segment to @out; a last one may hold more than is wanted. */
static int take_segment(struct lzo_space *s, u32 sectorsize, const u8 *in, u32 len, u8 *out,
			u32 room)
{
	bool whole = room >= sectorsize;
	lzo_uint n = sectorsize;

	if (lzo1x_decompress_safe(in, len, whole ? out : s->segment, &n, NULL) != LZO_E_OK)
		return -EIO;
	if (whole)
		return (int)n;
	n = MIN((lzo_uint)room, n);
	memcpy(out, s->segment, n);
	return (int)n;
}

static int lzo_decompress(struct workspace *ws, u32 sectorsize, const u8 *in, u32 len, u8 *out,
			  u32 out_len)
{
	struct lzo_space *s = space(ws);
	u32 total = len >= LEN ? get_le32(in) : 0, pos = LEN, done = 0;

	if (!s)
		return -ENOMEM;
	if (total < LEN || total > len)
		return -EIO;
	while (done < out_len && total - pos >= LEN) {
		u32 n = get_le32(in + pos);
		int r;

		pos += LEN;
		if (n > worst(sectorsize) || n > total - pos)
			return -EIO;
		r = take_segment(s, sectorsize, in + pos, n, out + done, out_len - done);
		if (r < 0)
			return r;
		done += (u32)r;
		pos = MIN(skip_border(pos + n, sectorsize), total);
	}
	return (int)done;
}

const struct codec lzo_codec = {"lzo", 0, 0, 0, lzo_compress, lzo_decompress};
