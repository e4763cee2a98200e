/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * promise.h - promises of data space to a file: of the file system's space and of its subvolume's
 * quota. Private to core/file.
 */
#ifndef CORE_FILE_PROMISE_H
#define CORE_FILE_PROMISE_H

#include "core/space/space.h"

struct inode;

/* May commit and allocate chunks, as space_reserve_data(). -EDQUOT, -ENOSPC: nothing is promised. */
_must_check_ int data_promise(struct inode *inode, u64 bytes);
/* Gives back what was not used. */
void data_unpromise(struct inode *inode, u64 bytes);

/* Space from space_alloc_data(), promised before, is not needed after all. */
void data_alloc_undo(struct inode *inode, u64 logical, u64 bytes);

#endif
