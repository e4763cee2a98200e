/* SPDX-License-Identifier: GPL-2.0-or-later */
/* member.c - see member.h. */
#include "disk/volume/member.h"

#include "disk/format/check.h"

int member_read_super(struct device *dev, unsigned copy, struct btrfs_super_block *sb,
		      struct reason *why)
{
	int err;

	if (device_size(dev) < super_offset(copy) + SUPER_SIZE) {
		reason_set(why, "too small for a btrfs file system");
		return -EINVAL;
	}
	err = device_read(dev, sb, SUPER_SIZE, super_offset(copy));
	if (err) {
		reason_set(why, "reading the superblock: %s", strerror(-err));
		return err;
	}
	return check_super(sb, super_offset(copy), why);
}

int member_new(struct device *dev, const struct btrfs_super_block *sb, struct member **ret)
{
	struct member *m = calloc(1, sizeof(*m));

	if (!m) {
		device_close(dev);
		return -ENOMEM;
	}
	m->dev = dev;
	m->devid = get_le64(&sb->dev_item.devid);
	m->generation = get_le64(&sb->generation);
	m->item = m->frozen = sb->dev_item;
	memcpy(m->uuid, sb->dev_item.uuid, sizeof(m->uuid));
	memcpy(m->node_fsid, sb->dev_item.fsid, sizeof(m->node_fsid));
	*ret = m;
	return 0;
}

struct member *member_missing(u64 devid, const u8 *uuid)
{
	struct member *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->devid = devid;
	memcpy(m->uuid, uuid, sizeof(m->uuid));
	put_le64(&m->item.devid, devid);
	memcpy(m->item.uuid, uuid, sizeof(m->item.uuid));
	return m;
}

void member_free(struct member *m)
{
	if (!m)
		return;
	device_close(m->dev);
	free(m);
}

bool member_usable(const struct member *m)
{
	return m && m->dev && !__atomic_load_n(&m->failed, __ATOMIC_ACQUIRE);
}

void member_count(struct member *m, enum device_error what)
{
	if (!m)
		return;
	__atomic_add_fetch(&m->errors[what], 1, __ATOMIC_RELAXED);
	__atomic_store_n(&m->errors_changed, true, __ATOMIC_RELEASE);
}

int member_readv(struct member *m, const struct iovec *iov, int cnt, u64 physical)
{
	int err = member_usable(m) ? device_readv(m->dev, iov, cnt, physical) : -ENODEV;

	if (err && err != -ENODEV)
		member_count(m, DEVICE_READ_ERROR);
	return err;
}

int member_read(struct member *m, void *buf, size_t len, u64 physical)
{
	struct iovec iov = {buf, len};

	return member_readv(m, &iov, 1, physical);
}

int member_writev(struct member *m, const struct iovec *iov, int cnt, u64 physical)
{
	int err = member_usable(m) ? device_writev(m->dev, iov, cnt, physical) : -ENODEV;

	if (err && err != -ENODEV)
		member_count(m, DEVICE_WRITE_ERROR);
	return err;
}

int member_write(struct member *m, const void *buf, size_t len, u64 physical)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};

	return member_writev(m, &iov, 1, physical);
}
