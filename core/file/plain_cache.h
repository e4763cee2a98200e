/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plain_cache.h - the last few compressed extents that were read in part, decompressed, so that a
 * reader who comes back for the next part does not pay for the whole again.
 *
 * An extent never changes while it lives, so its address is its name; whoever asks has looked the
 * mapping up inside his epoch. Space is reused only after space_unpin(), which raises
 * fs->reuse_count: an entry of an older count is never used. Lock: one leaf mutex.
 */
#ifndef CORE_FILE_PLAIN_CACHE_H
#define CORE_FILE_PLAIN_CACHE_H

#include "disk/base/types.h"

struct file_mapping;
struct fs;
struct plain_cache;

_must_check_ int plain_cache_create(struct plain_cache **ret);
void plain_cache_destroy(struct plain_cache *cache);

/* Copies [@from, +@len) of the decompressed extent; false if it is not there. In the epoch in which
 * @m was looked up. */
bool plain_cache_get(struct fs *fs, const struct file_mapping *m, u64 from, u64 len, u8 *buf);

/* Keeps @plain (from the buffer pool, all of m->ram_bytes): it is the cache's from now on. In the
 * epoch in which @m was looked up. */
void plain_cache_put(struct fs *fs, const struct file_mapping *m, u8 *plain);

#endif
