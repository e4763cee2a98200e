/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_recorder.c - a layer that logs what passes; the format is told in device.h.
 * Invariants: a write's data is in the log before the device sees it; "completed" follows the
 * device's answer. A log that cannot be written fails the request: a hole in the record would make
 * the crash checker lie. Lock: one mutex over the log file's end, released before the device is
 * called, so that requests still overlap as they do without it.
 */
#include <fcntl.h>
#include <linux/types.h>
#include <time.h>
#include <unistd.h>

#include "disk/base/lock.h"
#include "disk/base/log.h"
#include "disk/device/device.h"

#define RECORD_MAGIC 0x43455242u

enum record_type {
	RECORD_WRITE = 1,
	RECORD_WRITE_DONE,
	RECORD_FLUSH,
	RECORD_FLUSH_DONE,
	RECORD_DISCARD,
	RECORD_DISCARD_DONE,
	RECORD_FAILED,
	RECORD_MARK,
};

struct record {
	__le32 magic;
	__le32 type;
	__le64 id;
	__le64 off;
	__le64 len;
	__le64 time_ns;
} __attribute__((__packed__));

struct device_recorder {
	struct device dev;
	struct device *below;
	struct mutex lock;
	/* under lock */
	int fd;
	u64 next_id;
};

static const struct device_ops recorder_ops;

static struct device_recorder *device_recorder(struct device *dev)
{
	return container_of(dev, struct device_recorder, dev);
}

static int write_all(int fd, const void *data, size_t len)
{
	const u8 *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Appends one record. *@id: 0 asks for a new one. */
static int record(struct device_recorder *r, enum record_type type, u64 *id, u64 off, u64 len,
		  const struct iovec *iov, int cnt)
{
	struct timespec now;
	struct record rec;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &now);
	MUTEX_SCOPE(&r->lock);
	if (!*id)
		*id = ++r->next_id;
	put_le32(&rec.magic, RECORD_MAGIC);
	put_le32(&rec.type, type);
	put_le64(&rec.id, *id);
	put_le64(&rec.off, off);
	put_le64(&rec.len, len);
	put_le64(&rec.time_ns, (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec);
	err = write_all(r->fd, &rec, sizeof(rec));
	for (int i = 0; !err && i < cnt; i++)
		err = write_all(r->fd, iov[i].iov_base, iov[i].iov_len);
	if (err)
		log_fault("recorder: the log cannot be written: %s", strerror(-err));
	return err;
}

static int record_result(struct device_recorder *r, enum record_type done, u64 id, u64 off, u64 len,
			 int result)
{
	int err = record(r, result ? RECORD_FAILED : done, &id, off, len, NULL, 0);

	return result ? result : err;
}

static int recorder_readv(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	return device_readv(device_recorder(dev)->below, iov, cnt, off);
}

static int recorder_writev(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	struct device_recorder *r = device_recorder(dev);
	u64 id = 0, len = 0;
	int err;

	for (int i = 0; i < cnt; i++)
		len += iov[i].iov_len;
	err = record(r, RECORD_WRITE, &id, off, len, iov, cnt);
	if (err)
		return err;
	return record_result(r, RECORD_WRITE_DONE, id, off, len,
			     device_writev(r->below, iov, cnt, off));
}

static int recorder_flush(struct device *dev)
{
	struct device_recorder *r = device_recorder(dev);
	u64 id = 0;
	int err = record(r, RECORD_FLUSH, &id, 0, 0, NULL, 0);

	return err ? err : record_result(r, RECORD_FLUSH_DONE, id, 0, 0, device_flush(r->below));
}

static int recorder_discard(struct device *dev, u64 off, u64 len)
{
	struct device_recorder *r = device_recorder(dev);
	u64 id = 0;
	int err = record(r, RECORD_DISCARD, &id, off, len, NULL, 0);

	if (err)
		return err;
	return record_result(r, RECORD_DISCARD_DONE, id, off, len,
			     device_discard(r->below, off, len));
}

static u64 recorder_size(struct device *dev)
{
	return device_size(device_recorder(dev)->below);
}

static void recorder_close(struct device *dev)
{
	struct device_recorder *r = device_recorder(dev);

	device_close(r->below);
	if (r->fd >= 0)
		close(r->fd);
	mutex_destroy(&r->lock);
	free(r);
}

static const struct device_ops recorder_ops = {
	.name = "recorder",
	.readv = recorder_readv,
	.writev = recorder_writev,
	.flush = recorder_flush,
	.discard = recorder_discard,
	.size = recorder_size,
	.close = recorder_close,
};

int device_recorder_new(struct device *below, const char *path, struct device **ret)
{
	struct device_recorder *r = calloc(1, sizeof(*r));
	int err;

	if (!r) {
		device_close(below);
		return -ENOMEM;
	}
	mutex_init(&r->lock, RANK_DEVICE);
	r->below = below;
	r->dev = *below;
	r->dev.ops = &recorder_ops;
	r->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (r->fd < 0) {
		err = -errno;
		log_fault("recorder: %s: %s", path, strerror(-err));
		recorder_close(&r->dev);
		return err;
	}
	*ret = &r->dev;
	return 0;
}

void device_recorder_mark(struct device *dev, u64 value)
{
	u64 id = 0;
	int err;

	if (dev->ops != &recorder_ops)
		return;
	err = record(device_recorder(dev), RECORD_MARK, &id, value, 0, NULL, 0);
	(void)err; /* logged; the next request fails too */
}
