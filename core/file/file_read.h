/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_read.h - reading one extent for a file. Private to core/file; inside the epoch in which the
 * mapping was looked up, no locks. -EAGAIN everywhere: the mapping has changed, look it up again.
 */
#ifndef CORE_FILE_FILE_READ_H
#define CORE_FILE_FILE_READ_H

#include "core/file/file_state.h"

struct file_mapping;

struct extent_read {
	struct inode *inode;
	const struct file_mapping *m;
};

/* Does the file still have this piece there? */
bool extent_still_mapped(void *rd);

/* Bytes as they are on the device, verified. @buf is aligned. */
_must_check_ int extent_read_bytes(struct extent_read *rd, u64 logical, u64 len, u8 *buf);

/* [start, end) of the file, which rd->m covers, out of a compressed extent. */
_must_check_ int extent_read_compressed(struct extent_read *rd, u64 start, u64 end, u8 *buf);

#endif
