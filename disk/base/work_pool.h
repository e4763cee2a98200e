/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work_pool.h - spreads pieces of work over the machine's cores. The caller works too, so a run
 * always gets done, however busy the threads are; threads are started at the first run.
 */
#ifndef DISK_BASE_WORK_POOL_H
#define DISK_BASE_WORK_POOL_H

#include "disk/base/types.h"

struct work_pool;

/* @threads besides the caller; 0: one less than there are cores, at least one. */
_must_check_ int work_pool_create(unsigned threads, struct work_pool **ret);

/* Nobody runs anything any more. NULL is accepted. */
void work_pool_destroy(struct work_pool *pool);

/* @fn once for each of the @count items of @size bytes, in any order, on several threads; returns
 * when all are done. What @fn may do is what the caller may: it must not wait for another item, nor
 * for anybody who waits for the caller. */
void work_pool_run(struct work_pool *pool, void (*fn)(void *item), void *items, size_t size,
		   size_t count);

#endif
