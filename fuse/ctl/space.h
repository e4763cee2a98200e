/* SPDX-License-Identifier: GPL-2.0-or-later */
/* space.h - what the ioctls say about devices and space, put together for the reports. */
#ifndef FUSE_CTL_SPACE_H
#define FUSE_CTL_SPACE_H

#include <linux/btrfs.h>
#include <stdint.h>

#define SPACE_KINDS_MAX 32
#define SPACE_DEVICES_MAX 64
#define SPACE_GLOBAL_RESERVE (1ULL << 49)

/* Chunks of one type and profile. */
struct space_kind {
	uint64_t flags;
	uint64_t total, used;                 /* logical bytes, from SPACE_INFO */
	uint64_t on_device[SPACE_DEVICES_MAX]; /* raw bytes of chunks on each device */
	uint64_t raw;                         /* their sum */
	double ratio;                         /* raw bytes to a logical one */
};

struct space_device {
	uint64_t id, size, used;
	char path[BTRFS_DEVICE_PATH_NAME_MAX + 1];
};

struct space_report {
	struct btrfs_ioctl_fs_info_args fs;
	char label[256];
	struct space_kind kinds[SPACE_KINDS_MAX]; /* in the order of SPACE_INFO */
	unsigned kind_count;
	struct space_device devices[SPACE_DEVICES_MAX];
	unsigned device_count;
	uint64_t reserve, reserve_used;
	uint64_t statfs_free;
};

/* Asks the file system behind the directory @path. NULL after printing why; else for free(). */
struct space_report *space_ask(const char *path);

/* "Data", "single" ... */
const char *space_type_name(uint64_t flags);
const char *space_profile_name(uint64_t flags);

#endif
