/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsync.c - making a file durable: write-back, then a log of it (core/log) or, where that cannot be, a
 * commit; only a flush of the device when a data sync finds that nothing of the file waits for more
 * (overwrites in place).
 */
#include "core/file/file.h"
#include "core/file/file_state.h"
#include "core/fs.h"
#include "core/log/log_write.h"
#include "core/trans/transaction.h"
#include "disk/base/sync_point.h"
#include "disk/volume/volume.h"

static int take_writeback_error(struct file_state *st)
{
	MUTEX_SCOPE(&st->lock);

	return TAKE(st->writeback_error);
}

static bool needs_commit(struct inode *inode, struct file_state *st)
{
	struct inode_attr a;
	u64 durable = trans_durable_id(inode->fs);

	inode_attr_copy(inode, &a);
	/* a.transid: @st may be younger than a change whose item was written before an eviction */
	return atomic_load(&st->meta_transid) > durable || a.generation > durable ||
	       a.transid > durable || atomic_load(&inode->fs->moved_transid) > durable;
}

int file_fsync(struct inode *inode, bool datasync)
{
	struct fs *fs = inode->fs;
	struct file_state *st = atomic_load(&inode->file);
	int r, err = 0;

	SP("fy.pre", .ino = inode->ino, .root = inode->root->id);
	r = file_flush(inode);
	if (st)
		err = take_writeback_error(st);
	if (r < 0 || err < 0)
		return r < 0 ? r : err;
	SP("fy.flush", .ino = inode->ino, .root = inode->root->id);
	r = fs_error(fs);
	if (r < 0)
		return fs->readonly && !atomic_load(&fs->error) ? 0 : r;
	if ((datasync && st && !needs_commit(inode, st)) || !GUARD(switch_fsync))
		return volume_flush(fs->vol);
	r = log_sync_inode(inode);
	return r == 1 ? trans_commit(fs) : r;
}
