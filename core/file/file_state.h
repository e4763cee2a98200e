/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_state.h - what core/file keeps for an inode in memory. Private to core/file.
 *
 * Rules of the content: who changes it (write, truncate, punch) holds the range exclusively; who
 * reads or writes it back holds it shared. Bits in the dirty map are set before the size covers
 * them and cleared after the extent item that replaces them is in the tree, in the same join.
 */
#ifndef CORE_FILE_FILE_STATE_H
#define CORE_FILE_FILE_STATE_H

#include "core/file/dirty_map.h"
#include "core/file/range_lock.h"
#include "core/inode/inode.h"
#include "core/inode/inode_flags.h"
#include "core/tree/root.h"

struct trans;

struct file_state {
	struct range_locks ranges;

	struct mutex lock; /* a leaf; all below */
	struct cond changed;
	struct dirty_map map;
	bool flushing;     /* one write-back at a time */
	u64 disk_size;     /* the size that the inode item may show; see file_disk_size() */
	bool truncating;
	u64 truncate_pos;  /* extents behind it are gone already */
	int writeback_error; /* told to the next fsync */

	_Atomic bool fault_told; /* that it cannot be read is in the log */
	_Atomic u64 meta_transid; /* last transaction that something of the file needs */

	/* flusher's mutex */
	bool listed;
	u64 listed_at_ms;
	TAILQ_ENTRY(file_state) link;
	struct inode *inode;
};

/* The inode's state, made at first use. NULL without memory. */
struct file_state *file_state_get(struct inode *inode);

/* [start, end) is on the device or given up: not dirty any more. No reservation is touched. */
void file_state_clean(struct file_state *st, u64 start, u64 end);

/* Marks [start, end) dirty; the data's reservation is the caller's. -ENOMEM. */
_must_check_ int file_state_dirty(struct file_state *st, u64 start, u64 end);

/* The inode's item shows, or is about to show, less than the file's size. */
bool file_state_size_lags(struct file_state *st);

u64 file_state_dirty_bytes(struct file_state *st, u64 start, u64 end);

/* Something of the file changed that only a commit makes durable: @trans's, or, if that is NULL
 * because the change is in memory, the next one at the latest. */
void file_state_touch_meta(struct file_state *st, const struct trans *trans);

/* -EROFS or -EFBIG; else 0. */
_must_check_ int file_check_write(struct inode *inode, u64 off, u64 len);

/* Stamps mtime and ctime, and raises the size to @size if it is below. Not joined. */
_must_check_ int file_written(struct inode *inode, u64 size);

/* Rules of the inode's flags. */
bool file_nodatasum(struct inode *inode);
bool file_nodatacow(struct inode *inode); /* and not checksummed: regular extents, in place */
bool file_maybe_in_place(struct inode *inode);
bool file_wants_no_inline(struct inode *inode);

/* flusher.c */
void flusher_add(struct inode *inode);
/* Takes a clean file off the list and drops the list's reference. No locks but the inode's. */
void flusher_remove_if_clean(struct inode *inode);
/* The memory of dirty windows went from @before to @after. */
void flusher_account(struct fs *fs, u64 before, u64 after);
/* Waits while too much is dirty. No locks. */
void flusher_throttle(struct inode *inode);

/* expand.c: prepares growing from @old_size to content that begins at @start: zeroes what lies
 * behind the old end in its sector, adds hole items if the image wants them. Inode locked for
 * writing, range from the old end's sector on exclusively. */
_must_check_ int file_zero_end(struct inode *inode, struct file_state *st, u64 size);
_must_check_ int file_expand(struct inode *inode, struct file_state *st, u64 old_size, u64 start);

/* A hole item for [start, end), where nothing is mapped, if the image wants one. Joined, with 2 items. */
_must_check_ int file_add_hole(struct trans *trans, struct inode *inode, u64 start, u64 end);

/* Hole items for what is not mapped in [start, end), if the image wants them. Not joined. */
_must_check_ int file_add_holes(struct inode *inode, u64 start, u64 end);

/* read.c: fills @buf with the sectors of [start, end) as they are on the device (nothing dirty, no
 * regard to the size). The range is locked. @buf is aligned. */
_must_check_ int file_read_mapped(struct inode *inode, u64 start, u64 end, u8 *buf);

/* buffered.c. @buf NULL: zeroes. */
_must_check_ int file_write_buffered(struct inode *inode, struct file_state *st, u64 off,
				     const u8 *buf, u64 len, u64 old_size);
/* Zeroes the bytes [off, off + len), all in one sector, unless they are a hole. */
_must_check_ int file_zero_partial(struct inode *inode, struct file_state *st, u64 off, u64 len,
				   u64 size);

#endif
