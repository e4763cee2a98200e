/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compress.c - see compress.h: the table of codecs and what is common to them. */
#include <errno.h>

#include "disk/codec/codec_internal.h"

static const struct codec *const codecs[COMPRESS_TYPES] = {
	[COMPRESS_ZLIB] = &zlib_codec,
	[COMPRESS_LZO] = &lzo_codec,
	[COMPRESS_ZSTD] = &zstd_codec,
};

const char *compress_name(unsigned type)
{
	if (type >= COMPRESS_TYPES)
		return NULL;
	return type == COMPRESS_NONE ? "none" : codecs[type]->name;
}

int compress_clamp_level(unsigned type, int level)
{
	const struct codec *c = codecs[type];

	if (level == 0)
		return c->level_default;
	return MIN(MAX(level, c->level_min), c->level_max);
}

static int parse_level(const char *text, int *ret)
{
	char *end;
	long level;

	errno = 0;
	level = strtol(text, &end, 10);
	if (errno || end == text || *end || level < INT32_MIN || level > INT32_MAX)
		return -EINVAL;
	*ret = (int)level;
	return 0;
}

int compress_parse(const char *text, u8 *ret_type, int *ret_level)
{
	for (u8 type = COMPRESS_ZLIB; type < COMPRESS_TYPES; type++) {
		const struct codec *c = codecs[type];
		size_t len = strlen(c->name);
		int level = 0;

		if (strncmp(text, c->name, len))
			continue;
		if (text[len] && (text[len] != ':' || !c->level_max ||
				  parse_level(text + len + 1, &level)))
			return -EINVAL;
		*ret_type = type;
		*ret_level = compress_clamp_level(type, level);
		return 0;
	}
	return -EINVAL;
}

int compress_data(unsigned type, int level, u32 sectorsize, const void *in, u32 len, void *out, u32 room)
{
	struct workspace *ws = workspace_get();
	int r;

	if (!ws)
		return -ENOMEM;
	r = codecs[type]->compress(ws, compress_clamp_level(type, level), sectorsize, in, len, out,
				   room);
	workspace_put(ws);
	return r;
}

int decompress_data(unsigned type, u32 sectorsize, const void *in, u32 len, void *out, u32 out_len)
{
	struct workspace *ws;
	int r;

	if (type == COMPRESS_NONE || type >= COMPRESS_TYPES)
		return -EIO;
	ws = workspace_get();
	if (!ws)
		return -ENOMEM;
	r = codecs[type]->decompress(ws, sectorsize, in, len, out, out_len);
	workspace_put(ws);
	if (r < 0)
		return r;
	memset((u8 *)out + r, 0, out_len - (u32)r);
	return 0;
}

void compress_drain(void)
{
	workspace_drain();
}
