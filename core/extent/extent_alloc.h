/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_alloc.h - references of data extents, as core/file and relocation use them.
 */
#ifndef CORE_EXTENT_EXTENT_ALLOC_H
#define CORE_EXTENT_EXTENT_ALLOC_H

#include "core/extent/delayed_ref.h"

/* A data extent fresh from space_alloc_data gets its item and first holder; the promise of quota for
 * it is used up. */
_must_check_ int data_extent_new(struct trans *trans, u64 logical, u64 len, u64 root, u64 ino,
				 u64 extent_file_off);

/* One more, or one less, file extent item of (@root, @ino) points to the extent; @len is its
 * whole length on disk (disk_num_bytes), @extent_file_off the file offset minus extent offset. */
_must_check_ int data_extent_ref(struct trans *trans, u64 logical, u64 len, u64 root, u64 ino,
				 u64 extent_file_off);
_must_check_ int data_extent_unref(struct trans *trans, u64 logical, u64 len, u64 root, u64 ino,
				   u64 extent_file_off);

#endif
