/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * write.c - write(2): locks, growth, and the choice between buffered and direct.
 *
 * Growing takes the inode's lock for writing, everything else shares it. The range is held
 * exclusively, from the old end's sector on when the file grows, so that nobody sees a half-grown
 * file. A direct write is on the device when it returns: aligned ones go straight, the rest is
 * buffered and written back at once.
 */
#include "core/file/file.h"
#include "core/file/write_run.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "disk/base/buffer.h"

struct write_request {
	struct inode *inode;
	struct file_state *st;
	u64 off;
	const u8 *buf;
	u64 len;
	u32 flags;
	u64 old_size;
	bool to_flush; /* out: buffered although it must be on the device */
};

static int write_direct(struct write_request *w)
{
	_cleanup_buffer_ u8 *bounce = NULL;
	struct iovec iov = {(void *)(uintptr_t)w->buf, w->len};
	struct write_run run = {.inode = w->inode, .st = w->st, .start = w->off,
				.end = w->off + w->len, .new_size = w->off + w->len,
				.promise_later = true, .iov = &iov, .iov_count = 1};
	int r;

	if (!IS_ALIGNED((uintptr_t)w->buf, BUFFER_ALIGN)) {
		bounce = buffer_get(w->len);
		if (!bounce)
			return -ENOMEM;
		memcpy(bounce, w->buf, w->len);
		iov.iov_base = bounce;
	}
	r = write_run(&run);
	if (r < 0 && run.pos == run.start)
		return r;
	w->len = run.pos - run.start; /* a first part that arrived counts */
	return 0;
}

/* The range is locked, the content in place or in memory afterwards. */
static int write_content(struct write_request *w)
{
	u64 ss = w->inode->fs->sectorsize;
	bool straight = (w->flags & FILE_DIRECT) && IS_ALIGNED(w->off, ss) &&
			IS_ALIGNED(w->len, ss) &&
			!file_state_dirty_bytes(w->st, w->off, w->off + w->len);
	int r = 0;

	if (w->off > w->old_size)
		r = file_expand(w->inode, w->st, w->old_size, w->off);
	if (r < 0)
		return r;
	if (straight)
		r = write_direct(w);
	else
		r = file_write_buffered(w->inode, w->st, w->off, w->buf, w->len, w->old_size);
	w->to_flush = !straight && (w->flags & FILE_DIRECT);
	return r < 0 ? r : file_written(w->inode, w->off + w->len);
}

/* The inode is locked: for writing if the file grows. */
static int write_locked(struct write_request *w)
{
	_cleanup_range_ struct range_lock range = {};
	u64 ss = w->inode->fs->sectorsize, end = w->off + w->len;
	u64 start = end > w->old_size ? MIN(w->off, w->old_size) : w->off;

	range_lock(&w->st->ranges, &range, ALIGN_DOWN(start, ss), ALIGN_UP(end, ss), true);
	return write_content(w);
}

/* Shares the inode's lock unless the file grows. */
static int write_once(struct write_request *w)
{
	struct inode *inode = w->inode;
	int r;

	w->to_flush = false;
	if (!(w->flags & FILE_APPEND)) {
		RDLOCK_SCOPE(&inode->lock);
		w->old_size = inode_size(inode);
		if (w->off + w->len <= w->old_size)
			return write_locked(w);
	}
	WRLOCK_SCOPE(&inode->lock);
	w->old_size = inode_size(inode);
	if (w->flags & FILE_APPEND)
		w->off = w->old_size;
	r = file_check_write(inode, w->off, w->len);
	return r < 0 ? r : write_locked(w);
}

/* When space is short: what was promised too much, or waits to be freed, comes back. */
static int make_room(struct fs *fs)
{
	int r = file_flush_all(fs);

	return r < 0 ? r : trans_reclaim(fs);
}

static int write_durable(struct write_request *w)
{
	if (w->flags & (FILE_SYNC | FILE_DSYNC))
		return file_fsync(w->inode, !(w->flags & FILE_SYNC));
	if (w->to_flush)
		return file_flush_range(w->inode, w->off, w->off + w->len);
	return 0;
}

int file_write(struct inode *inode, u64 off, const void *buf, u32 len, u32 flags, u64 *ret_pos)
{
	struct write_request w = {.inode = inode, .st = file_state_get(inode), .off = off,
				  .buf = buf, .len = len, .flags = flags};
	int r;

	if (!w.st)
		return -ENOMEM;
	if (!len)
		return 0;
	r = file_check_write(inode, flags & FILE_APPEND ? 0 : off, len);
	if (r < 0)
		return r;
	if (!(flags & FILE_DIRECT))
		flusher_throttle(inode);
	r = write_once(&w);
	if ((r == -ENOSPC || r == -EDQUOT) && make_room(inode->fs) == 0)
		r = write_once(&w);
	if (r == 0)
		r = write_durable(&w);
	if (r < 0)
		return r;
	if (ret_pos)
		*ret_pos = w.off;
	return (int)w.len;
}
