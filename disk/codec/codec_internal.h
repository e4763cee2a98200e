/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * codec_internal.h - what compress.c and the codecs share: the row of a codec and the memory it
 * works in. A workspace is used by one thread at a time and keeps what it has made for the next.
 */
#ifndef DISK_CODEC_CODEC_INTERNAL_H
#define DISK_CODEC_CODEC_INTERNAL_H

#include "disk/base/types.h"
#include "disk/codec/compress.h"

struct workspace;

struct codec {
	const char *name;
	int level_min, level_max, level_default; /* all 0: no levels */
	/* As compress_data(). @level is clamped. */
	int (*compress)(struct workspace *ws, int level, u32 sectorsize, const u8 *in, u32 len,
			u8 *out, u32 room);
	/* Bytes put into @out, at most @out_len; -EIO, -ENOMEM. */
	int (*decompress)(struct workspace *ws, u32 sectorsize, const u8 *in, u32 len, u8 *out,
			  u32 out_len);
};

extern const struct codec zlib_codec, lzo_codec, zstd_codec;

/* Memory of a codec in a workspace, freed by its own function. */
enum workspace_slot { WS_DEFLATE, WS_INFLATE, WS_LZO, WS_ZSTD_C, WS_ZSTD_D, WS_SLOTS };

struct workspace {
	struct workspace *next;
	void *slot[WS_SLOTS];
	void (*destroy[WS_SLOTS])(void *);
	int deflate_level;
};

struct workspace *workspace_get(void);
void workspace_put(struct workspace *ws);
void workspace_drain(void);

#endif
