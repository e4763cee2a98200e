/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_memory.c - a device in memory, for tests. One mutex around each transfer, so that torn
 * sectors cannot happen. */
#include "disk/base/buffer.h"
#include "disk/base/lock.h"
#include "disk/device/device.h"

struct device_memory {
	struct device dev;
	u64 size;
	u8 *data;
	struct mutex lock; /* over data */
};

static struct device_memory *device_memory(struct device *dev)
{
	return container_of(dev, struct device_memory, dev);
}

static int memory_transfer(struct device *dev, const struct iovec *iov, int cnt, u64 off,
			   bool write)
{
	struct device_memory *m = device_memory(dev);

	MUTEX_SCOPE(&m->lock);
	for (int i = 0; i < cnt; i++) {
		if (off > m->size || iov[i].iov_len > m->size - off)
			return -EIO;
		if (write)
			memcpy(m->data + off, iov[i].iov_base, iov[i].iov_len);
		else
			memcpy(iov[i].iov_base, m->data + off, iov[i].iov_len);
		off += iov[i].iov_len;
	}
	return 0;
}

static int memory_readv(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	return memory_transfer(dev, iov, cnt, off, false);
}

static int memory_writev(struct device *dev, const struct iovec *iov, int cnt, u64 off)
{
	return memory_transfer(dev, iov, cnt, off, true);
}

static int memory_flush(struct device *dev)
{
	return 0;
}

static int memory_discard(struct device *dev, u64 off, u64 len)
{
	struct device_memory *m = device_memory(dev);

	if (off > m->size || len > m->size - off)
		return -EIO;
	MUTEX_SCOPE(&m->lock);
	memset(m->data + off, 0, len);
	return 0;
}

static u64 memory_size(struct device *dev)
{
	return device_memory(dev)->size;
}

static void memory_close(struct device *dev)
{
	struct device_memory *m = device_memory(dev);

	mutex_destroy(&m->lock);
	buffer_put(m->data);
	free(m);
}

static const struct device_ops memory_ops = {
	.name = "memory",
	.readv = memory_readv,
	.writev = memory_writev,
	.flush = memory_flush,
	.discard = memory_discard,
	.size = memory_size,
	.close = memory_close,
};

int device_memory_new(u64 size, struct device **ret)
{
	struct device_memory *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->data = buffer_get(size);
	if (!m->data) {
		free(m);
		return -ENOMEM;
	}
	memset(m->data, 0, size);
	m->size = size;
	m->dev = (struct device){.ops = &memory_ops, .path = "memory", .align = 512};
	mutex_init(&m->lock, RANK_DEVICE);
	*ret = &m->dev;
	return 0;
}

u8 *device_memory_data(struct device *dev)
{
	return device_memory(dev)->data;
}
