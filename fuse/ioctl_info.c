/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioctl_info.c - what the file system says about itself: numbers, device, space, label. */
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>

#include "core/space/block_group.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "disk/volume/volume.h"
#include "fuse/caller.h"
#include "fuse/ioctl.h"

#define FS_INFO_ALL                                                                                \
	(BTRFS_FS_INFO_FLAG_CSUM_INFO | BTRFS_FS_INFO_FLAG_GENERATION |                            \
	 BTRFS_FS_INFO_FLAG_METADATA_UUID)

/* The flags that ask for the later members are input of an ioctl that is declared output only, so
 * all are filled in. */
int ioctl_fs_info(struct ioctl_call *c)
{
	struct fs *fs = c->e->fs;
	struct btrfs_ioctl_fs_info_args *a = c->out;

	a->max_id = 0;
	a->num_devices = volume_device_count(fs->vol);
	for (u64 i = 0; i < a->num_devices; i++) {
		struct volume_device dev;

		volume_device_at(fs->vol, (unsigned)i, &dev);
		a->max_id = MAX((u64)a->max_id, dev.devid);
	}
	memcpy(a->fsid, fs->super.fsid, sizeof(a->fsid));
	a->nodesize = fs->nodesize;
	a->sectorsize = fs->sectorsize;
	a->clone_alignment = fs->sectorsize;
	a->csum_type = fs->csum_type;
	a->csum_size = fs->csum_size;
	a->flags = FS_INFO_ALL;
	a->generation = trans_running_id(fs);
	memcpy(a->metadata_uuid, fs->fsid, sizeof(a->metadata_uuid));
	c->out_len = sizeof(*a);
	return 0;
}

/* By number, or by uuid; if both are given both must be right. */
static bool dev_info_find(const struct fs *fs, const struct btrfs_ioctl_dev_info_args *want,
			  struct volume_device *ret)
{
	static const u8 any[BTRFS_UUID_SIZE];
	unsigned count = volume_device_count(fs->vol);

	for (unsigned i = 0; i < count; i++) {
		volume_device_at(fs->vol, i, ret);
		if (memcmp(want->uuid, any, sizeof(any)) ?
			    !memcmp(want->uuid, ret->uuid, sizeof(any)) :
			    want->devid == ret->devid)
			return true;
	}
	return false;
}

int ioctl_dev_info(struct ioctl_call *c)
{
	struct btrfs_ioctl_dev_info_args *a = c->out;
	struct volume_device dev;

	memcpy(a, c->in, sizeof(*a));
	if (!dev_info_find(c->e->fs, a, &dev))
		return -ENODEV;
	memset(a, 0, sizeof(*a));
	a->devid = dev.devid;
	memcpy(a->uuid, dev.uuid, sizeof(a->uuid));
	a->bytes_used = dev.bytes_used;
	a->total_bytes = dev.total_bytes;
	if (!dev.missing)
		snprintf((char *)a->path, sizeof(a->path), "%s", dev.path);
	c->out_len = sizeof(*a);
	return 0;
}

/* Counters cannot be reset here: that would be a change of the device tree. */
int ioctl_dev_stats(struct ioctl_call *c)
{
	struct btrfs_ioctl_get_dev_stats *a = c->out;
	struct volume_device dev;
	u64 errors[DEVICE_ERRORS];

	memcpy(a, c->in, sizeof(*a));
	if (!volume_device_find(c->e->fs->vol, a->devid, &dev))
		return -ENODEV;
	if (a->flags & BTRFS_DEV_STATS_RESET)
		return -EOPNOTSUPP;
	volume_device_errors(c->e->fs->vol, a->devid, errors);
	a->nr_items = MIN(a->nr_items, (u64)DEVICE_ERRORS);
	for (u64 i = 0; i < a->nr_items; i++)
		a->values[i] = errors[i];
	c->out_len = sizeof(*a);
	return 0;
}

/* Type and profile of the first group of @type. */
static u64 profile_of(struct fs *fs, u64 type)
{
	u64 at = 0, flags = 0;

	while (!flags) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, at);

		if (!bg)
			break;
		flags = bg->flags & type ? bg->flags : 0;
		at = bg->logical + bg->length;
	}
	return flags;
}

/* What the kernel shows as "GlobalReserve"; 6.1's headers do not name the bit. */
#define SPACE_INFO_GLOBAL_RESERVE (1ULL << 49)

/* As the kernel lists them: data, system, metadata, and what is kept back of the last. */
static unsigned collect_space(struct fs *fs, struct btrfs_ioctl_space_info *ret)
{
	static const u64 types[] = {BTRFS_BLOCK_GROUP_DATA, BTRFS_BLOCK_GROUP_SYSTEM,
				    BTRFS_BLOCK_GROUP_METADATA};
	struct space_usage u;
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		space_usage(fs, types[i], &u);
		if (!u.total)
			continue;
		ret[n++] = (struct btrfs_ioctl_space_info){
			.flags = profile_of(fs, types[i]),
			.total_bytes = u.total,
			.used_bytes = u.used,
		};
	}
	ret[n++] = (struct btrfs_ioctl_space_info){
		.flags = SPACE_INFO_GLOBAL_RESERVE,
		.total_bytes = space_global_reserve(fs),
	};
	return n;
}

/* The list trails the structure, beyond what the kernel copies: it is put into the caller's
 * memory. */
int ioctl_space_info(struct ioctl_call *c)
{
	struct btrfs_ioctl_space_args *a = c->out;
	struct btrfs_ioctl_space_info list[4];
	unsigned n = collect_space(c->e->fs, list);
	int err = 0;

	memcpy(a, c->in, sizeof(*a));
	a->total_spaces = n;
	if (a->space_slots) {
		a->total_spaces = MIN((u64)n, (u64)a->space_slots);
		err = caller_write(c->req, c->arg + sizeof(*a), list,
				   a->total_spaces * sizeof(list[0]));
	}
	if (!err)
		c->out_len = sizeof(*a);
	return err;
}

int ioctl_get_label(struct ioctl_call *c)
{
	memcpy(c->out, c->e->fs->super.label, sizeof(c->e->fs->super.label));
	c->out_len = sizeof(c->e->fs->super.label);
	return 0;
}

/* The superblock changes with joins blocked, and is written by the commit that ends the section. */
int ioctl_set_label(struct ioctl_call *c)
{
	struct fs *fs = c->e->fs;
	struct trans trans;
	size_t len = strnlen(c->in, BTRFS_LABEL_SIZE);
	int err;

	if (len == BTRFS_LABEL_SIZE)
		return -EINVAL;
	err = trans_exclusive_begin(fs, 1, &trans);
	if (err)
		return err;
	memset(fs->super.label, 0, sizeof(fs->super.label));
	memcpy(fs->super.label, c->in, len);
	return trans_exclusive_end(&trans, true);
}

/* FS_IOC_SHUTDOWN: how much is still to reach the device. */
enum going_down { GOING_DOWN_FULL_SYNC, GOING_DOWN_LOG_FLUSH, GOING_DOWN_NO_LOG_FLUSH };

int ioctl_shutdown(struct ioctl_call *c)
{
	struct fs *fs = c->e->fs;
	u32 how;
	int err = caller_read(c->req, c->arg, &how, sizeof(how));

	if (err)
		return err;
	if (how > GOING_DOWN_NO_LOG_FLUSH)
		return -EINVAL;
	if (how == GOING_DOWN_FULL_SYNC)
		err = fs_sync(fs);
	else if (how == GOING_DOWN_LOG_FLUSH)
		err = trans_commit(fs);
	fs_abort(fs, -EIO, "shutdown by ioctl");
	return err;
}
