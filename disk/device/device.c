/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device.c - the front of the seam: law 3 (no device I/O under a tree lock) is asserted here, and
 * faults are injected here (sync points dev.read, dev.write, dev.flush, dev.discard with off and
 * len). Back ends never see an empty request.
 */
#include "disk/device/device.h"
#include "disk/base/lock.h"
#include "disk/base/sync_point.h"

static u64 iov_bytes(const struct iovec *iov, int cnt)
{
	u64 bytes = 0;

	for (int i = 0; i < cnt; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

static void count(u64 *counter, u64 n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

int device_readv(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	u64 bytes = iov_bytes(iov, cnt);
	int err;

	rank_forbid(RANK_TREE, "device read");
	if (!bytes)
		return 0;
	count(&dev->traffic.reads, 1);
	count(&dev->traffic.read_bytes, bytes);
	err = SP_FAIL("dev.read", .off = off, .len = bytes);
	return err ? err : dev->ops->readv(dev, iov, cnt, off);
}

int device_writev(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	u64 bytes = iov_bytes(iov, cnt);
	int err;

	rank_forbid(RANK_TREE, "device write");
	if (dev->readonly)
		return -EROFS;
	if (!bytes)
		return 0;
	count(&dev->traffic.writes, 1);
	count(&dev->traffic.written_bytes, bytes);
	err = SP_FAIL("dev.write", .off = off, .len = bytes);
	return err ? err : dev->ops->writev(dev, iov, cnt, off);
}

int device_flush(struct device *dev)
{
	int err;

	rank_forbid(RANK_TREE, "device flush");
	if (dev->readonly)
		return 0;
	count(&dev->traffic.flushes, 1);
	err = SP_FAIL("dev.flush");
	return err ? err : dev->ops->flush(dev);
}

int device_discard(struct device *dev, u64 off, u64 len)
{
	int err;

	rank_forbid(RANK_TREE, "device discard");
	if (dev->readonly)
		return -EROFS;
	err = SP_FAIL("dev.discard", .off = off, .len = len);
	return err ? err : dev->ops->discard(dev, off, len);
}

u64 device_size(struct device *dev)
{
	return dev->ops->size(dev);
}

void device_traffic(const struct device *dev, struct device_traffic *ret)
{
	const struct device_traffic *t = &dev->traffic;

	*ret = (struct device_traffic){
		.reads = __atomic_load_n(&t->reads, __ATOMIC_RELAXED),
		.read_bytes = __atomic_load_n(&t->read_bytes, __ATOMIC_RELAXED),
		.writes = __atomic_load_n(&t->writes, __ATOMIC_RELAXED),
		.written_bytes = __atomic_load_n(&t->written_bytes, __ATOMIC_RELAXED),
		.flushes = __atomic_load_n(&t->flushes, __ATOMIC_RELAXED),
	};
}

void device_close(struct device *dev)
{
	if (dev)
		dev->ops->close(dev);
}

int device_read(struct device *dev, void *buf, size_t len, u64 off)
{
	struct iovec iov = {buf, len};

	return device_readv(dev, &iov, 1, off);
}

int device_write(struct device *dev, const void *buf, size_t len, u64 off)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};

	return device_writev(dev, &iov, 1, off);
}
