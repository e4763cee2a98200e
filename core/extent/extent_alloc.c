/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_alloc.c - references of data extents in the words of core/file. Only queues; no locks of
 * its own, does not wait.
 */
#include "core/extent/extent_alloc.h"

#include "core/quota/qgroup.h"
#include "core/trans/transaction.h"
#include "disk/format/ondisk.h"

int data_extent_new(struct trans *trans, u64 logical, u64 len, u64 root, u64 ino,
		    u64 extent_file_off)
{
	struct ref ref = ref_data(root, 0, ino, extent_file_off);

	quota_extent_made(trans->fs, root, len);
	return dref_add_new(trans, logical, len, 0, BTRFS_EXTENT_FLAG_DATA, &ref, NULL);
}

int data_extent_ref(struct trans *trans, u64 logical, u64 len, u64 root, u64 ino,
		    u64 extent_file_off)
{
	struct ref ref = ref_data(root, 0, ino, extent_file_off);

	return dref_add(trans, logical, len, 0, true, &ref, 1);
}

int data_extent_unref(struct trans *trans, u64 logical, u64 len, u64 root, u64 ino,
		      u64 extent_file_off)
{
	struct ref ref = ref_data(root, 0, ino, extent_file_off);

	return dref_add(trans, logical, len, 0, true, &ref, -1);
}
