/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device.h - the seam under the volume: read vector, write vector, flush, discard, size.
 * Back ends are sibling files. All calls may block, are thread safe, and transfer everything or
 * fail (a short transfer is -EIO). Offsets, lengths and memory are multiples of device->align (4096
 * at most); no tree lock is held (asserted in debug builds). A flush covers the writes that had
 * completed when it was issued.
 */
#ifndef DISK_DEVICE_DEVICE_H
#define DISK_DEVICE_DEVICE_H

#include <sys/uio.h>

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct device;

struct device_ops {
	const char *name;
	int (*readv)(struct device *dev, const struct iovec *iov, int cnt, u64 off);
	int (*writev)(struct device *dev, const struct iovec *iov, int cnt, u64 off);
	int (*flush)(struct device *dev);
	int (*discard)(struct device *dev, u64 off, u64 len);
	u64 (*size)(struct device *dev);
	void (*close)(struct device *dev);
};

/* What went through the seam since the device was opened. */
struct device_traffic {
	u64 reads, read_bytes;
	u64 writes, written_bytes;
	u64 flushes;
};

struct device {
	const struct device_ops *ops;
	const char *path; /* for messages; lives as long as the device */
	u32 align;        /* logical block size */
	bool readonly;
	struct device_traffic traffic; /* atomic members */
};

_must_check_ int device_readv(struct device *dev, const struct iovec *iov, int cnt, u64 off);
_must_check_ int device_writev(struct device *dev, const struct iovec *iov, int cnt, u64 off);
_must_check_ int device_flush(struct device *dev);
/* -EOPNOTSUPP where the back end cannot; never an error that matters for the content. */
_must_check_ int device_discard(struct device *dev, u64 off, u64 len);
u64 device_size(struct device *dev);
void device_traffic(const struct device *dev, struct device_traffic *ret);
void device_close(struct device *dev); /* accepts NULL */

_must_check_ int device_read(struct device *dev, void *buf, size_t len, u64 off);
_must_check_ int device_write(struct device *dev, const void *buf, size_t len, u64 off);

static inline void cleanup_device(struct device **dev)
{
	device_close(*dev);
}

#define _cleanup_device_ _cleanup_(cleanup_device)

struct device_file_options {
	const char *path;
	u64 offset_bytes;  /* where the file system begins in it */
	bool readonly;
	bool no_excl;      /* block device: somebody else (fuseblk) holds the exclusive claim */
	int claim_wait_ms; /* how long to wait for a claim that another process holds */
};

/* An image file or block device, O_DIRECT, claimed: OFD lock (shared for read-only), O_EXCL on
 * block devices. With an offset the lock covers the first byte of that partition alone, so that
 * others in the same image can be used. -EBUSY: claimed elsewhere; -EINVAL: no O_DIRECT here, or a
 * bad offset; others from open(2). @why says it for a person. */
_must_check_ int device_file_open(const struct device_file_options *opt, struct device **ret,
				  struct reason *why);

/* @size zeroed bytes. device_memory_data() gives direct access for tests. */
_must_check_ int device_memory_new(u64 size, struct device **ret);
u8 *device_memory_data(struct device *dev);

/*
 * A layer over @below (owned from then on, also on failure) that appends every request to the file
 * @path. Test builds use it when BTRFUSE_RECORD=PATH is set (volume_open). The log is a sequence of
 * records, little-endian, 40 bytes and for type 1 the data:
 *   u32 magic 0x43455242 ("BREC") | u32 type | u64 id | u64 off | u64 len | u64 time_ns | data[len]
 * Types:
 *   1 WRITE issued     2 WRITE completed
 *   3 FLUSH issued     4 FLUSH completed
 *   5 DISCARD issued   6 DISCARD completed
 *   7 failed: request @id came back with an error (a write's content is then unknown)
 *   8 MARK, off = value
 * The data of type 1 is logged before the device sees it; @id pairs issued with completed. Reads are
 * not logged. A flush that completed makes durable each write whose "completed" record stands before
 * the flush's "issued" record, and no other. Whoever saw a call return (an fsync) notes the size of
 * the log file then: every record before that offset came before it.
 */
_must_check_ int device_recorder_new(struct device *below, const char *path, struct device **ret);
/* Appends a MARK record; nothing if @dev is not a recorder. */
void device_recorder_mark(struct device *dev, u64 value);

#endif
