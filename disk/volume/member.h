/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * member.h - one device of a volume: its superblock, its item, its faults. Private to disk/volume.
 * A member without a device is missing: known from the chunk tree, served by the others. One that
 * failed a write is given up (failed): its content is no longer what we wrote, so it is neither
 * read nor written until the next mount, where its superblock is behind (stale) and it is read last.
 */
#ifndef DISK_VOLUME_MEMBER_H
#define DISK_VOLUME_MEMBER_H

#include "disk/base/reason.h"
#include "disk/device/device.h"
#include "disk/format/ondisk.h"
#include "disk/volume/volume.h"

struct member {
	struct device *dev; /* NULL: missing */
	u64 devid;
	u8 uuid[BTRFS_UUID_SIZE];
	u64 generation;             /* of its superblock at open */
	bool stale;                 /* that is behind the others' */
	bool listed;                /* the chunk tree has an item for it */
	bool seed;                  /* read, never written; its superblock is another file system's */
	u8 node_fsid[BTRFS_FSID_SIZE]; /* of a seed's nodes */
	struct btrfs_dev_item item;   /* as the chunk tree has it */
	struct btrfs_dev_item frozen; /* what its superblocks say: the item as of the last freeze */
	/* atomic */
	bool failed;
	bool errors_changed;
	u64 errors[DEVICE_ERRORS];
};

/* Reads and checks the primary superblock of @dev into @sb (SUPER_SIZE, aligned). */
_must_check_ int member_read_super(struct device *dev, unsigned copy, struct btrfs_super_block *sb,
				   struct reason *why);
/* Takes @dev, also on failure. */
_must_check_ int member_new(struct device *dev, const struct btrfs_super_block *sb,
			    struct member **ret);
/* A device that is not there. NULL without memory. */
struct member *member_missing(u64 devid, const u8 *uuid);
void member_free(struct member *m); /* accepts NULL */

/* Can be read and written. */
bool member_usable(const struct member *m);
void member_count(struct member *m, enum device_error what);

/* -ENODEV if it is not usable; errors are counted. */
_must_check_ int member_readv(struct member *m, const struct iovec *iov, int cnt, u64 physical);
_must_check_ int member_read(struct member *m, void *buf, size_t len, u64 physical);
_must_check_ int member_writev(struct member *m, const struct iovec *iov, int cnt, u64 physical);
_must_check_ int member_write(struct member *m, const void *buf, size_t len, u64 physical);

#endif
