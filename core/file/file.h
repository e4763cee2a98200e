/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file.h - what is inside a regular file: reading, writing, sizes.
 *
 * Locks: every function here takes the inode's lock and range locks itself; the caller holds none
 * of them, no tree lock and no join, unless a line says otherwise. All may block on device I/O and
 * commits. Errors are negative errno; -EROFS for read-only mounts, aborted file systems and
 * read-only subvolumes; -EOPNOTSUPP for compressed extents (logged once); -EIO for data bad in
 * every copy.
 */
#ifndef CORE_FILE_FILE_H
#define CORE_FILE_FILE_H

#include "core/file/range_lock.h"
#include "disk/base/types.h"

struct fs;
struct inode;
struct trans;

enum file_flags {
	FILE_DIRECT = 1, /* on the device when acknowledged (O_DIRECT) */
	FILE_SYNC = 2,   /* durable when acknowledged (O_SYNC, RWF_SYNC) */
	FILE_APPEND = 4, /* the offset is the file's size, whatever the caller says */
	FILE_DSYNC = 8,  /* as FILE_SYNC, data and size only (O_DSYNC) */
};

/*
 * Bytes read (less than @len only at the end of the file) or negative errno. @buf has room for
 * @len bytes and should be 4 KiB aligned (else data is copied once more). Access time is not kept.
 */
_must_check_ int file_read(struct inode *inode, u64 off, u32 len, void *buf, u32 flags);

/*
 * Writes all of it or fails: bytes written are @len, except that an error after a first part
 * returns that part's length (> 0). Times are updated; set-id bits and privileges are the caller's
 * business. *ret_pos (may be NULL) is the offset written to, known only here with FILE_APPEND.
 * An aligned @buf (4 KiB) saves a copy on direct writes. -EFBIG, -ENOSPC, -EIO.
 */
_must_check_ int file_write(struct inode *inode, u64 off, const void *buf, u32 len, u32 flags,
			    u64 *ret_pos);

/* All that was written before is durable on return; reports a failed write-back once. */
_must_check_ int file_fsync(struct inode *inode, bool datasync);

/* Waits until nobody reads, writes or writes back anything of the file, and keeps it so until @ret is
 * unlocked. The inode's lock may be held. -ENOMEM. */
_must_check_ int file_hold(struct inode *inode, struct range_lock *ret);

/* Dirty data of the inode goes to the device (no device flush, no commit). A range form too. The
 * caller may hold the inode's lock. */
_must_check_ int file_flush(struct inode *inode);
_must_check_ int file_flush_range(struct inode *inode, u64 start, u64 end);

/* The same for every inode that is dirty at the call. First error; goes on after errors. */
_must_check_ int file_flush_all(struct fs *fs);

/* Sets the size; the second form wants the inode's lock held for writing. */
_must_check_ int file_truncate(struct inode *inode, u64 size);
_must_check_ int file_truncate_locked(struct inode *inode, u64 size);

/* @mode: 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE with
 * or without FALLOC_FL_KEEP_SIZE. Others -EOPNOTSUPP. */
_must_check_ int file_fallocate(struct inode *inode, int mode, u64 off, u64 len);

/* @whence SEEK_DATA or SEEK_HOLE. The offset, -ENXIO, -EINVAL. Preallocated space is a hole. */
_must_check_ s64 file_seek(struct inode *inode, u64 off, int whence);

/* [off, off + len) of @src appears at @to of @dst, which grows if need be, by sharing extents: bytes
 * done (less at @src's end or where a partial sector begins). -EOPNOTSUPP: nothing can be shared
 * (unaligned, inline, one checksummed and one not). Different ranges if it is one file. Locks both
 * inodes; the caller holds none. */
_must_check_ s64 file_clone(struct inode *src, u64 off, struct inode *dst, u64 to, u64 len);

/* copy_file_range(2): shares what it can, else copies up to 16 MiB. */
_must_check_ s64 file_copy_range(struct inode *src, u64 off, struct inode *dst, u64 to, u64 len);

/* The size that the inode item may show on disk: never beyond data that is not there yet. Any
 * lock below RANK_FILE_DIRTY's level may NOT be held, except a tree's: it takes leaf mutexes only
 * (the caller must not hold attr_lock). */
u64 file_disk_size(struct inode *inode);

/* The same for who holds attr_lock, which keeps the file's size as @size. */
u64 file_disk_size_of(struct inode *inode, u64 size);

/* Bytes written to but without space on disk yet: st_blocks counts them. No locks wanted. */
u64 file_unflushed_bytes(struct inode *inode);

/*
 * For inode deletion and interrupted truncates (nlink 0 or mount time: nobody else uses the
 * file): removes all items beyond @size in as many transactions as it takes, keeping nbytes.
 * No join held. file_discard drops what is dirty in memory first.
 */
_must_check_ int file_truncate_items(struct inode *inode, u64 size);
void file_discard(struct inode *inode);

/* Frees inode->file (may be NULL). Nobody uses the inode any more; nothing is dirty. */
void file_state_free(struct inode *inode);

/* Memory for dirty data, and the thread that writes it back. The thread runs only if started. */
_must_check_ int file_flusher_create(struct fs *fs);
_must_check_ int file_flusher_start(struct fs *fs);
/* Stops the thread; nothing is flushed. */
void file_flusher_stop(struct fs *fs);
void file_flusher_destroy(struct fs *fs);

#endif
