/* SPDX-License-Identifier: GPL-2.0-or-later */
/* promise.c - see promise.h. The quota comes first: refusing it costs nothing. */
#include "core/file/promise.h"

#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/quota/qgroup.h"
#include "core/tree/root.h"

int data_promise(struct inode *inode, u64 bytes)
{
	int r = quota_promise(inode->fs, inode->root->id, bytes);

	if (r < 0)
		return r;
	r = space_reserve_data(inode->fs, bytes);
	if (r < 0)
		quota_unpromise(inode->fs, inode->root->id, bytes);
	return r;
}

void data_unpromise(struct inode *inode, u64 bytes)
{
	quota_unpromise(inode->fs, inode->root->id, bytes);
	space_release_data(inode->fs, bytes);
}

void data_alloc_undo(struct inode *inode, u64 logical, u64 bytes)
{
	quota_unpromise(inode->fs, inode->root->id, bytes);
	space_data_alloc_undo(inode->fs, logical, bytes);
}
