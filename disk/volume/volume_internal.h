/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume_internal.h - what the volume's files share; private to disk/volume. */
#ifndef DISK_VOLUME_VOLUME_INTERNAL_H
#define DISK_VOLUME_VOLUME_INTERNAL_H

#include "disk/device/device.h"
#include "disk/format/check.h"
#include "disk/volume/member.h"
#include "disk/volume/stripe_map.h"
#include "disk/volume/volume.h"

#define FAULTS_REMEMBERED 64
#define MEMBERS_MAX 256
#define SEEDS_MAX 16
#define ROW_LOCKS 64

struct volume {
	bool readonly;
	bool degraded;                  /* missing devices were allowed */
	bool ignore_node_csums;         /* rescue */
	struct btrfs_super_block super; /* as read at open */
	u32 nodesize, sectorsize, csum_size;
	u16 csum_type;
	u8 node_fsid[BTRFS_FSID_SIZE];
	struct chunk_map chunks;
	/* Only grows; an entry is there before member_count says so. */
	struct member *members[MEMBERS_MAX];
	unsigned member_count; /* atomic */
	/* Seed devices that were given; who is needed becomes a member. While opening only. */
	struct member *seeds[SEEDS_MAX];
	unsigned seed_count;
	u8 seed_fsids[SEEDS_MAX][BTRFS_FSID_SIZE]; /* of members */
	unsigned seed_fsid_count;
	enum sector_verdict (*verify)(void *ctx, u64 logical, const void *sector);
	void *verify_ctx;
	/* atomic */
	u64 generation; /* of the newest superblock written or read */
	u64 features;   /* incompatible ones that came into use since it was opened */
	u64 failed_super_copies;
	struct volume_stats stats;

	/* Rows of RAID5/6 chunks, by address: whoever reads a row in order to compute a unit of it
	 * from the others, or writes to it, holds its lock over the I/O. Outside of the ranks; under
	 * a data row's lock checksums are looked up, which may read metadata, so these have locks
	 * of their own. */
	struct mutex data_rows[ROW_LOCKS], meta_rows[ROW_LOCKS];
	struct mutex item_lock; /* RANK_DEVICE: items of members */
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

/* ---- volume_devices.c ---- */

struct member *volume_member(const struct volume *vol, u64 devid); /* or NULL */
/* *ret is the member @devid; a given seed with that @uuid becomes one; NULL: neither. */
_must_check_ int volume_member_find(struct volume *vol, u64 devid, const u8 *uuid,
				    struct member **ret, struct reason *why);
/* Takes @m, also on failure. */
_must_check_ int volume_member_add(struct volume *vol, struct member *m, struct reason *why);
/* After a write or flush of @m failed: 0 if from now on it is done without, else -EIO. */
_must_check_ int volume_give_up(struct volume *vol, struct member *m);
/* Stripes of the chunk whose device is not usable; @besides counts as not usable. */
unsigned volume_chunk_lost(const struct volume *vol, const struct chunk *chunk,
			   const struct member *besides);

/* The device of a stripe, or NULL. */
static inline struct member *stripe_member(const struct volume *vol, const struct chunk *chunk,
					   unsigned stripe)
{
	return volume_member(vol, chunk->stripes[stripe].devid);
}

/* ---- volume_chunks.c ---- */

_must_check_ int volume_read_system_chunks(struct volume *vol, struct reason *why);

/* ---- volume_write.c ---- */

/* To one stripe at @offset of its device extent. 0 written, 1 done without (the device is missing or
 * was given up), negative errno. */
_must_check_ int volume_write_stripe(struct volume *vol, const struct chunk *chunk, unsigned stripe,
				     u64 offset, const struct iovec *iov, int cnt);

/* ---- parity_row.c, parity_write.c ---- */

#define ROW_UNITS_MAX 255

/* Columns [lo, hi) of the units of a row, in memory. */
struct parity_row {
	struct volume *vol;
	const struct chunk *chunk;
	struct stripe_row map;
	struct mutex *lock;
	u32 lo, hi;
	u8 *buf;
	u8 *unit[ROW_UNITS_MAX];
	bool bad[ROW_UNITS_MAX]; /* not read, or read wrong */
};

/* Locks the row that holds @logical. */
_must_check_ int parity_row_open(struct volume *vol, const struct chunk *chunk, u64 logical, u32 lo,
				 u32 hi, struct parity_row *row);
void parity_row_close(struct parity_row *row);
#define _cleanup_row_ _cleanup_(parity_row_close)
/* Reads all units; those that cannot be read are marked bad. */
void parity_row_read(struct parity_row *row);
/* Computes the bad ones. -EIO: too many. */
_must_check_ int parity_row_recover(struct parity_row *row);

/* Ways to compute a block from the rest of its row; the first trusts everything else. */
unsigned parity_ways(const struct chunk *chunk);
/* [@logical, +@len), inside one unit, computed in way @way. -EIO: not possible. */
_must_check_ int parity_rebuild(struct volume *vol, const struct chunk *chunk, u64 logical, u32 len,
				unsigned way, void *buf);
/* A list of buffers, consumed from the front. */
struct cursor {
	const struct iovec *iov;
	int cnt;
	size_t used; /* of iov[0] */
};
/* @len bytes at @logical, inside @chunk, of the cursor. */
_must_check_ int parity_write(struct volume *vol, const struct chunk *chunk, u64 logical, u64 len,
			      struct cursor *from);

#endif
