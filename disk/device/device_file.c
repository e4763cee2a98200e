/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_file.c - an image file or block device, always O_DIRECT.
 * Claim: an OFD lock over the whole file (exclusive for writing, shared for reading), for block
 * devices O_EXCL besides. OFD locks belong to the open file, survive fork, and end with the last
 * descriptor, so a daemon that is still finishing its image holds it. Invariant: the claim is ours
 * from a successful open to close. No lock; pread and pwrite carry their own offsets.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "disk/base/buffer.h"
#include "disk/device/device.h"

#define CLAIM_RETRY_MS 20

struct device_file {
	struct device dev;
	int fd;
	bool is_block;
	u64 base; /* offset of the file system in it */
	u64 size; /* from there on */
	char path[];
};

static struct device_file *device_file(struct device *dev)
{
	return container_of(dev, struct device_file, dev);
}

/* The rest of a transfer that came back short, one buffer at a time. @done bytes are through. */
static int transfer_rest(int fd, const struct iovec *iov, int cnt, u64 off, size_t done, bool write)
{
	for (int i = 0; i < cnt; i++) {
		u8 *p = iov[i].iov_base;
		size_t len = iov[i].iov_len, skip = MIN(done, len);

		done -= skip;
		off += skip;
		for (p += skip, len -= skip; len;) {
			ssize_t n = write ? pwrite(fd, p, len, (off_t)off)
					  : pread(fd, p, len, (off_t)off);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return n < 0 ? -errno : -EIO;
			p += n;
			len -= (size_t)n;
			off += (u64)n;
		}
	}
	return 0;
}

/* One buffer is one plain call: whoever traces the daemon sees the write at its place. */
static ssize_t transfer_some(int fd, const struct iovec *iov, int cnt, u64 off, bool write)
{
	if (cnt > 1)
		return write ? pwritev(fd, iov, cnt, (off_t)off) : preadv(fd, iov, cnt, (off_t)off);
	return write ? pwrite(fd, iov->iov_base, iov->iov_len, (off_t)off) :
		       pread(fd, iov->iov_base, iov->iov_len, (off_t)off);
}

static int transfer(int fd, const struct iovec *iov, int cnt, u64 off, bool write)
{
	while (cnt > 0) {
		int n = MIN(cnt, IOV_MAX), err;
		size_t want = 0;
		ssize_t got;

		for (int i = 0; i < n; i++)
			want += iov[i].iov_len;
		got = transfer_some(fd, iov, n, off, write);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got < 0 || (size_t)got < want) {
			err = transfer_rest(fd, iov, n, off, got < 0 ? 0 : (size_t)got, write);
			if (err)
				return err;
		}
		off += want;
		iov += n;
		cnt -= n;
	}
	return 0;
}

static int file_readv(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	struct device_file *f = device_file(dev);

	return transfer(f->fd, iov, cnt, f->base + off, false);
}

static int file_writev(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	struct device_file *f = device_file(dev);

	return transfer(f->fd, iov, cnt, f->base + off, true);
}

static int file_flush(struct device *dev)
{
	return fdatasync(device_file(dev)->fd) ? -errno : 0;
}

static int file_discard(struct device *dev, u64 off, u64 len)
{
	struct device_file *f = device_file(dev);
	u64 range[2] = {f->base + off, len};

	if (f->is_block)
		return ioctl(f->fd, BLKDISCARD, range) ? -errno : 0;
	if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)range[0], (off_t)len))
		return -errno;
	return 0;
}

static u64 file_size(struct device *dev)
{
	return device_file(dev)->size;
}

static void file_close(struct device *dev)
{
	struct device_file *f = device_file(dev);

	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static const struct device_ops file_ops = {
	.name = "file",
	.readv = file_readv,
	.writev = file_writev,
	.flush = file_flush,
	.discard = file_discard,
	.size = file_size,
	.close = file_close,
};

/* ---- opening ---- */

static void sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

static int open_refused(int err, const struct device_file_options *opt, struct reason *why)
{
	switch (err) {
	case EBUSY:
		reason_set(why, "the device is in use (mounted, or claimed by another process)");
		return -EBUSY;
	case EINVAL:
		reason_set(why, "the file system that holds it cannot do direct I/O (O_DIRECT)");
		return -EINVAL;
	case EACCES:
	case EPERM:
	case EROFS:
		reason_set(why, "%s%s", strerror(err),
			   opt->readonly ? "" : " (opening it for writing; \"-o ro\" needs less)");
		return -err;
	default:
		reason_set(why, "%s", strerror(err));
		return -err;
	}
}

/* A descriptor, with O_EXCL where that is the claim; waits for a claim within *@left_ms. */
static int open_claimed(const struct device_file_options *opt, bool excl, int *left_ms,
			struct reason *why)
{
	int flags =
		(opt->readonly ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC | (excl ? O_EXCL : 0);

	for (;;) {
		int fd = open(opt->path, flags);

		if (fd >= 0)
			return fd;
		if (errno == EINTR)
			continue;
		if (errno != EBUSY || *left_ms <= 0)
			return open_refused(errno, opt, why);
		sleep_ms(CLAIM_RETRY_MS);
		*left_ms -= CLAIM_RETRY_MS;
	}
}

static int lock_claimed(const struct device_file *f, int *left_ms, struct reason *why)
{
	for (;;) {
		struct flock lock = {.l_type = f->dev.readonly ? F_RDLCK : F_WRLCK,
				     .l_whence = SEEK_SET,
				     .l_start = (off_t)f->base,
				     .l_len = f->base ? 1 : 0};

		if (!fcntl(f->fd, F_OFD_SETLK, &lock))
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EACCES) {
			reason_set(why, "cannot lock it: %s", strerror(errno));
			return -errno;
		}
		if (*left_ms <= 0)
			break;
		sleep_ms(CLAIM_RETRY_MS);
		*left_ms -= CLAIM_RETRY_MS;
	}
	reason_set(why, "it is in use: another process holds a lock on it");
	return -EBUSY;
}

static int probe_size(struct device_file *f, struct reason *why)
{
	struct stat st;
	int sector = 512;

	if (fstat(f->fd, &st))
		return open_refused(errno, &(struct device_file_options){0}, why);
	f->is_block = S_ISBLK(st.st_mode);
	f->size = (u64)st.st_size;
	if (!f->is_block && !S_ISREG(st.st_mode)) {
		reason_set(why, "it is neither a file nor a block device");
		return -EINVAL;
	}
	if (f->is_block &&
	    (ioctl(f->fd, BLKGETSIZE64, &f->size) || ioctl(f->fd, BLKSSZGET, &sector))) {
		reason_set(why, "cannot tell its size: %s", strerror(errno));
		return -errno;
	}
	f->dev.align = (u32)sector;
	return 0;
}

/* What is left from the offset on. */
static int apply_offset(struct device_file *f, struct reason *why)
{
	if (f->base % f->dev.align) {
		reason_set(why, "offset %llu is not a multiple of its block size %u",
			   (unsigned long long)f->base, f->dev.align);
		return -EINVAL;
	}
	if (f->base && f->base >= f->size) {
		reason_set(why, "offset %llu lies beyond its end", (unsigned long long)f->base);
		return -EINVAL;
	}
	f->size -= f->base;
	return 0;
}

/* Some file systems take the flag and refuse the I/O. */
static int probe_direct(struct device_file *f, struct reason *why)
{
	_cleanup_buffer_ void *buf = buffer_get(4096);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = pread(f->fd, buf, 4096, (off_t)f->base);
	if (n >= 0)
		return 0;
	if (errno == EINVAL && f->base % 4096) {
		reason_set(why, "offset %llu is not a multiple of its block size",
			   (unsigned long long)f->base);
		return -EINVAL;
	}
	if (errno == EINVAL) {
		reason_set(why, "the file system that holds it cannot do direct I/O (O_DIRECT)");
		return -EINVAL;
	}
	reason_set(why, "reading its first block: %s", strerror(errno));
	return -errno;
}

int device_file_open(const struct device_file_options *opt, struct device **ret, struct reason *why)
{
	_cleanup_device_ struct device *dev = NULL;
	struct device_file *f = calloc(1, sizeof(*f) + strlen(opt->path) + 1);
	int left_ms = opt->claim_wait_ms, err;
	struct stat st;
	bool is_block;

	if (!f)
		return -ENOMEM;
	strcpy(f->path, opt->path);
	f->fd = -1;
	f->base = opt->offset_bytes;
	f->dev = (struct device){.ops = &file_ops, .path = f->path, .readonly = opt->readonly};
	dev = &f->dev;
	is_block = !stat(opt->path, &st) && S_ISBLK(st.st_mode);
	f->fd = open_claimed(opt, is_block && !opt->no_excl, &left_ms, why);
	if (f->fd < 0)
		return f->fd;
	err = probe_size(f, why);
	if (!err)
		err = apply_offset(f, why);
	if (!err)
		err = lock_claimed(f, &left_ms, why);
	if (!err)
		err = probe_direct(f, why);
	if (err)
		return err;
	*ret = TAKE(dev);
	return 0;
}
