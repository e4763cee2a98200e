/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume_internal.h - what the volume's files share; private to disk/volume. */
#ifndef DISK_VOLUME_VOLUME_INTERNAL_H
#define DISK_VOLUME_VOLUME_INTERNAL_H

#include "disk/device/device.h"
#include "disk/format/check.h"
#include "disk/volume/volume.h"

#define FAULTS_REMEMBERED 64

struct volume {
	struct device *dev;
	bool readonly;
	struct btrfs_super_block super; /* as read at open */
	u32 nodesize, sectorsize, csum_size;
	u16 csum_type;
	u64 devid;
	u8 node_fsid[BTRFS_FSID_SIZE];
	struct chunk_map chunks;
	/* atomic */
	u64 generation; /* of the newest superblock written or read */
	u64 failed_super_copies;
	struct volume_stats stats;

	struct mutex fault_lock; /* RANK_LOG */
	/* under fault_lock: addresses whose fault is in the log already */
	u64 faults[FAULTS_REMEMBERED];
	u32 next_fault;
};

/* What check_node() must know now. */
struct check_env volume_env(const struct volume *vol);

/* True the first time (lately) that the bad block at @logical is met: then it is logged. */
bool volume_fault_is_new(struct volume *vol, u64 logical);

static inline void stat_add(u64 *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* Device address of @logical, which lies in @chunk, on mirror @mirror (from 0). */
static inline u64 chunk_physical(const struct chunk *chunk, unsigned mirror, u64 logical)
{
	return chunk->stripes[mirror].physical + (logical - chunk->logical);
}

#endif
