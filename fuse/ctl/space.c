/* SPDX-License-Identifier: GPL-2.0-or-later */
/* space.c - see space.h. */
#include "fuse/ctl/space.h"

#include <endian.h>
#include <errno.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"

#define TYPE_MASK                                                                                  \
	(BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_SYSTEM | BTRFS_BLOCK_GROUP_METADATA)

static const struct {
	uint64_t bit;
	const char *name;
	unsigned copies; /* of each byte; 0: counted from the stripes */
	unsigned parity; /* stripes of it */
} profiles[] = {
	{BTRFS_BLOCK_GROUP_DUP, "DUP", 2, 0},
	{BTRFS_BLOCK_GROUP_RAID0, "RAID0", 1, 0},
	{BTRFS_BLOCK_GROUP_RAID1, "RAID1", 2, 0},
	{BTRFS_BLOCK_GROUP_RAID1C3, "RAID1C3", 3, 0},
	{BTRFS_BLOCK_GROUP_RAID1C4, "RAID1C4", 4, 0},
	{BTRFS_BLOCK_GROUP_RAID10, "RAID10", 2, 0},
	{BTRFS_BLOCK_GROUP_RAID5, "RAID5", 1, 1},
	{BTRFS_BLOCK_GROUP_RAID6, "RAID6", 1, 2},
};

#define PROFILE_COUNT (sizeof(profiles) / sizeof(profiles[0]))

static unsigned profile_index(uint64_t flags)
{
	unsigned i = 0;

	while (i < PROFILE_COUNT && !(flags & profiles[i].bit))
		i++;
	return i;
}

const char *space_profile_name(uint64_t flags)
{
	unsigned i = profile_index(flags);

	return i < PROFILE_COUNT ? profiles[i].name : "single";
}

const char *space_type_name(uint64_t flags)
{
	if (flags & SPACE_GLOBAL_RESERVE)
		return "GlobalReserve";
	switch (flags & TYPE_MASK) {
	case BTRFS_BLOCK_GROUP_DATA:
		return "Data";
	case BTRFS_BLOCK_GROUP_SYSTEM:
		return "System";
	case BTRFS_BLOCK_GROUP_METADATA:
		return "Metadata";
	default:
		return "Data+Metadata";
	}
}

static int ask_spaces(int fd, struct space_report *r)
{
	union {
		struct btrfs_ioctl_space_args head;
		char room[sizeof(struct btrfs_ioctl_space_args) +
			  SPACE_KINDS_MAX * sizeof(struct btrfs_ioctl_space_info)];
	} args = {.head = {.space_slots = SPACE_KINDS_MAX}};

	if (ioctl(fd, BTRFS_IOC_SPACE_INFO, &args))
		return -errno;
	for (unsigned i = 0; i < args.head.total_spaces; i++) {
		const struct btrfs_ioctl_space_info *v = &args.head.spaces[i];

		if (v->flags & SPACE_GLOBAL_RESERVE) {
			r->reserve = v->total_bytes;
			r->reserve_used = v->used_bytes;
			continue;
		}
		r->kinds[r->kind_count++] = (struct space_kind){.flags = v->flags,
								.total = v->total_bytes,
								.used = v->used_bytes};
	}
	return 0;
}

static int ask_devices(int fd, struct space_report *r)
{
	for (uint64_t id = 1; id <= r->fs.max_id && r->device_count < SPACE_DEVICES_MAX; id++) {
		struct btrfs_ioctl_dev_info_args args = {.devid = id};
		struct space_device *d = &r->devices[r->device_count];

		if (ioctl(fd, BTRFS_IOC_DEV_INFO, &args)) {
			if (errno == ENODEV)
				continue;
			return -errno;
		}
		*d = (struct space_device){.id = id, .size = args.total_bytes,
					   .used = args.bytes_used};
		snprintf(d->path, sizeof(d->path), "%s", (const char *)args.path);
		r->device_count++;
	}
	return 0;
}

/* Bytes of the chunk on each of its stripes. */
static uint64_t stripe_bytes(const struct btrfs_chunk *c)
{
	unsigned n = le16toh(c->num_stripes), i = profile_index(le64toh(c->type));
	unsigned whole;

	if (i == PROFILE_COUNT || profiles[i].bit == BTRFS_BLOCK_GROUP_DUP)
		return le64toh(c->length);
	whole = (n - profiles[i].parity) / profiles[i].copies;
	return le64toh(c->length) / (whole ? whole : 1);
}

static void count_chunk(struct space_report *r, const struct btrfs_chunk *c)
{
	uint64_t flags = le64toh(c->type), bytes = stripe_bytes(c);

	for (unsigned k = 0; k < r->kind_count; k++) {
		struct space_kind *kind = &r->kinds[k];

		if (kind->flags != flags)
			continue;
		for (unsigned s = 0; s < le16toh(c->num_stripes); s++)
			for (unsigned d = 0; d < r->device_count; d++)
				if (r->devices[d].id == le64toh((&c->stripe)[s].devid)) {
					kind->on_device[d] += bytes;
					kind->raw += bytes;
				}
	}
}

static int ask_chunks(int fd, struct space_report *r)
{
	struct btrfs_ioctl_search_args args = {
		.key = {.tree_id = BTRFS_CHUNK_TREE_OBJECTID,
			.min_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
			.max_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
			.min_type = BTRFS_CHUNK_ITEM_KEY, .max_type = BTRFS_CHUNK_ITEM_KEY,
			.max_offset = UINT64_MAX, .max_transid = UINT64_MAX}};

	for (;;) {
		size_t at = 0;

		args.key.nr_items = 4096;
		if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args))
			return -errno;
		if (!args.key.nr_items)
			return 0;
		for (unsigned i = 0; i < args.key.nr_items; i++) {
			struct btrfs_ioctl_search_header h;

			memcpy(&h, args.buf + at, sizeof(h));
			at += sizeof(h);
			count_chunk(r, (const void *)(args.buf + at));
			at += h.len;
			args.key.min_offset = h.offset + 1;
		}
	}
}

static int ask_all(int fd, struct space_report *r)
{
	struct statfs s;
	int err = ioctl(fd, BTRFS_IOC_FS_INFO, &r->fs) ? -errno : 0;

	if (!err && ioctl(fd, BTRFS_IOC_GET_FSLABEL, r->label))
		err = -errno;
	if (!err)
		err = ask_spaces(fd, r);
	if (!err)
		err = ask_devices(fd, r);
	if (!err)
		err = ask_chunks(fd, r);
	if (!err && fstatfs(fd, &s))
		err = -errno;
	if (err)
		return err;
	r->statfs_free = (uint64_t)s.f_bavail * (uint64_t)s.f_bsize;
	for (unsigned k = 0; k < r->kind_count; k++)
		r->kinds[k].ratio = r->kinds[k].total ?
					    (double)r->kinds[k].raw / (double)r->kinds[k].total : 1;
	return 0;
}

struct space_report *space_ask(const char *path)
{
	int err, fd = ctl_open_dir(path);
	struct space_report *r;

	if (fd < 0)
		return NULL;
	r = calloc(1, sizeof(*r));
	err = r ? ask_all(fd, r) : -ENOMEM;
	close(fd);
	if (!err)
		return r;
	ctl_error("cannot get space info of '%s': %s", path, strerror(-err));
	free(r);
	return NULL;
}
