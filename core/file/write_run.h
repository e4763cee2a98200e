/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * write_run.h - one contiguous, sector-aligned piece of content on its way to the device: in place
 * where the rules allow, otherwise into new extents. Private to core/file.
 *
 * The caller holds the range (exclusively, or shared and being the only write-back), no tree lock
 * and no join. Memory is 4 KiB aligned and stable.
 */
#ifndef CORE_FILE_WRITE_RUN_H
#define CORE_FILE_WRITE_RUN_H

#include <sys/uio.h>

#include "core/file/file_state.h"
#include "core/space/space.h"

#define RUN_IOV_MAX 272

struct trans;

struct write_run {
	struct inode *inode;
	struct file_state *st;
	u64 start, end;
	u64 pos;          /* done up to here */
	u64 new_size;     /* the file grows to this as content arrives; 0: no growth */
	u64 promised;     /* bytes of data reservation in hand */
	bool promise_later; /* reserve when space is needed (direct); else all is promised */
	bool dirty;       /* content lies in the dirty map: clean it as it arrives */
	const struct iovec *iov;
	int iov_count;
};

/* Writes all of it. On failure run->pos tells how far it got. Data reservation that was not used
 * is given back in every case. */
_must_check_ int write_run(struct write_run *run);

/* in_place.c: bytes from run->pos on that were overwritten in place, or 0: they, *ret_cow of them,
 * want a new extent. <0. */
_must_check_ s64 write_in_place(struct write_run *run, u64 *ret_cow);

/* Puts [start, end) of the run's memory on the device at @logical. */
_must_check_ int write_run_io(const struct write_run *run, u64 start, u64 end, u64 logical,
			      u64 group);

/* A new extent on its way into the file. */
struct new_extent {
	u64 start, end;       /* in the file */
	struct data_alloc at; /* on the device; its reservation is held until the first reference */
	u64 group;            /* where that is: outlives the reservation, for sync points */
	u8 *csums;            /* from the buffer pool; NULL: none wanted */
	u8 compression;
	bool referenced;
};

/* The content is at e->at: maps it, from run->pos (== e->start at first) to e->end, in as many joins
 * as it takes. */
_must_check_ int new_extent_map(struct write_run *run, struct new_extent *e);

/* Frees what it holds; space that nothing refers to is free again. */
void new_extent_put(struct inode *inode, struct new_extent *e);

/* A new plain extent for at most @len bytes from run->pos on, which moves behind it. */
_must_check_ int write_cow(struct write_run *run, u64 len);

/* write_compressed.c: as write_cow(), compressed where it pays: 1; 0 if nothing of this file is to
 * be compressed. <0. */
_must_check_ int write_compressed(struct write_run *run);

/* write_inline.c: 1 if the run, all of a file of @size bytes, went into the tree; 0 if that does not
 * suit it. <0. */
_must_check_ int write_inline(struct write_run *run, u64 size);

/* The memory of [start, end) of the run: number of vectors, at most RUN_IOV_MAX. */
int write_run_slice(const struct write_run *run, u64 start, u64 end, struct iovec *out);

/* Checksums of those bytes, or NULL (no memory). From the buffer pool. */
u8 *write_run_csums(const struct write_run *run, u64 start, u64 end);

/* Joined, the items for [start, end) are in the tree: size, dirty bits, the inode's item. */
_must_check_ int write_run_arrived(struct write_run *run, struct trans *trans, u64 start, u64 end);

/* Joins for content that was accepted: uses the global reserve rather than fail. */
_must_check_ int write_run_join(const struct write_run *run, unsigned items, struct trans *ret);

#endif
