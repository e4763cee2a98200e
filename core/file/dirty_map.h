/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirty_map.h - what was written to a file and is not on the device yet: windows of memory with a
 * bit for each dirty sector. A dirty sector is whole: all of its bytes are what a reader sees.
 *
 * Pure: no locks of its own (file_state's mutex), no I/O. The bytes of a dirty sector are stable
 * in memory until it is cleared, so they may be copied without the mutex by whoever holds the
 * file's range lock. Offsets are sector aligned unless said otherwise.
 */
#ifndef CORE_FILE_DIRTY_MAP_H
#define CORE_FILE_DIRTY_MAP_H

#include <bsd/sys/tree.h>
#include <sys/uio.h>

#include "disk/base/types.h"

#define DIRTY_WINDOW KIB(64)

struct dirty_window {
	RB_ENTRY(dirty_window) link;
	u64 off;   /* multiple of DIRTY_WINDOW */
	u64 bits;  /* one for each sector */
	u8 *data;  /* DIRTY_WINDOW bytes from the buffer pool */
};

RB_HEAD(dirty_windows, dirty_window);

struct dirty_map {
	struct dirty_windows windows;
	u32 sectorsize;
	u64 bytes;        /* dirty */
	u64 window_count;
	struct dirty_window *last; /* found last, or NULL */
};

void dirty_map_init(struct dirty_map *map, u32 sectorsize);
void dirty_map_destroy(struct dirty_map *map);

/* Marks [start, end) dirty, its memory there; contents are the caller's to fill in (a sector that
 * was dirty before keeps its bytes). -ENOMEM: nothing changed. */
_must_check_ int dirty_map_set(struct dirty_map *map, u64 start, u64 end);

/* Forgets [start, end): bytes that were dirty. */
u64 dirty_map_clear(struct dirty_map *map, u64 start, u64 end);

/* Dirty bytes in [start, end). */
u64 dirty_map_count(struct dirty_map *map, u64 start, u64 end);

/* The memory of @pos (any byte of a dirty sector), and how many bytes follow in this window. NULL
 * if there is no window. */
u8 *dirty_map_at(struct dirty_map *map, u64 pos, u64 *ret_len);

/* The first dirty run at or behind @pos that begins before @limit, cut at @limit. */
bool dirty_map_next(struct dirty_map *map, u64 pos, u64 limit, u64 *ret_start, u64 *ret_end);

/* End of the last dirty sector, 0 if none is dirty. */
u64 dirty_map_end(struct dirty_map *map);

/* Fills @iov with the memory of the dirty run [start, end): number of vectors, at most @max. */
int dirty_map_iov(struct dirty_map *map, u64 start, u64 end, struct iovec *iov, int max);

#endif
