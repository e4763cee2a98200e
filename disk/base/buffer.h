/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * buffer.h - memory for O_DIRECT: 4 KiB aligned, pooled by power of two so that hot paths do not
 * map and unmap. Contents are undefined. Thread safe; a small cache per thread, then a shared list;
 * nothing here blocks on I/O.
 */
#ifndef DISK_BASE_BUFFER_H
#define DISK_BASE_BUFFER_H

#include "disk/base/types.h"

#define BUFFER_ALIGN 4096

/* At least @size bytes, NULL only without memory. */
void *buffer_get(size_t size);

/* @buf may be NULL. The size is remembered by the pool, not by the caller. */
void buffer_put(void *buf);

/* Gives back what the pool holds (at exit, so that leak checkers see nothing). */
void buffer_pool_drain(void);

static inline void cleanup_buffer(void *p)
{
	buffer_put(*(void **)p);
}

#define _cleanup_buffer_ _cleanup_(cleanup_buffer)

#endif
