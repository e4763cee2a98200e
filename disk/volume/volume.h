/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume.h - a file system's devices as one logical address space: verified reads with mirror retry
 * and repair, fan-out writes, superblocks. Blocks on device I/O: never call with a tree lock held.
 * Thread safe. Memory handed in is 4 KiB aligned, offsets and lengths are multiples of the sector
 * size. Faults are logged here; callers pass the errno on. Repair: a mirror that failed is
 * overwritten with good bytes if the volume is writable and still_wanted() (may be NULL = yes) says
 * that the address still holds what the caller looked up. It is called without locks and may take
 * tree locks.
 */
#ifndef DISK_VOLUME_VOLUME_H
#define DISK_VOLUME_VOLUME_H

#include <sys/uio.h>

#include "disk/base/reason.h"
#include "disk/format/key.h"
#include "disk/volume/chunk_map.h"

struct volume;
struct device;

struct volume_options {
	const char *source;
	const char *const *devices; /* the other ones, all of this file system */
	unsigned device_count;
	u64 offset_bytes;  /* where the file system begins in @source */
	bool degraded;     /* go on without missing ones, as far as every chunk can */
	bool readonly;
	bool no_excl;      /* @source is a block device claimed by fuseblk */
	int claim_wait_ms; /* bounded wait for another process's claim */
};

/* Opens and claims the devices, reads and checks their primary superblocks (the newest counts), fills
 * the chunk map from sys_chunk_array. Feature bits are not judged. If the primary is bad and a copy
 * good, @why says so. -ENXIO: devices are missing and @opt->degraded is not set. */
_must_check_ int volume_open(const struct volume_options *opt, struct volume **ret,
			     struct reason *why);
/* The same over any devices (tests); takes all @devs, also on failure. */
_must_check_ int volume_open_devices(struct device *const *devs, unsigned count, bool readonly,
				     bool degraded, struct volume **ret, struct reason *why);
_must_check_ int volume_open_device(struct device *dev, bool readonly, struct volume **ret,
				    struct reason *why);
void volume_close(struct volume *vol); /* accepts NULL; does not flush */

/* Rescue mounts: nodes are believed without their checksums; the checkers still look at them. */
void volume_ignore_node_csums(struct volume *vol);

/* As read at open; never changes. */
const struct btrfs_super_block *volume_super(const struct volume *vol);
const char *volume_source(const struct volume *vol);
u32 volume_nodesize(const struct volume *vol);
u32 volume_sectorsize(const struct volume *vol);
u16 volume_csum_type(const struct volume *vol);
u32 volume_csum_size(const struct volume *vol);
bool volume_readonly(const struct volume *vol);
struct chunk_map *volume_chunks(struct volume *vol);

/* A chunk item met in the chunk tree: checked, put into the map; one that is there already must say
 * the same. -EUCLEAN: bad; -EOPNOTSUPP: a profile or device that this build cannot map. Logged. */
_must_check_ int volume_add_chunk_item(struct volume *vol, u64 logical,
				       const struct btrfs_chunk *item, u32 item_size);

/* False: part of it lies on a seed device, so nothing new goes there. */
bool volume_chunk_writable(const struct volume *vol, const struct chunk *chunk);

/* A chunk made in memory, for which the caller has found room: into the map. */
_must_check_ int volume_add_chunk(struct volume *vol, struct chunk *chunk);

/* ---- devices ---- */

/* In the order of the dev stats item. */
enum device_error {
	DEVICE_WRITE_ERROR,
	DEVICE_READ_ERROR,
	DEVICE_FLUSH_ERROR,
	DEVICE_CORRUPTION,
	DEVICE_GENERATION_ERROR,
	DEVICE_ERRORS
};

struct volume_device {
	u64 devid;
	u8 uuid[BTRFS_UUID_SIZE];
	const char *path; /* "missing" if it is; lives as long as the volume */
	u64 bytes;        /* of the device itself */
	u64 total_bytes;  /* what the file system may use of it */
	u64 bytes_used;   /* in device extents */
	bool missing;
	bool writable; /* new chunks may go there */
};

/* Devices, the missing included: 0 ... count - 1 by index, in no order. */
unsigned volume_device_count(const struct volume *vol);
void volume_device_at(const struct volume *vol, unsigned index, struct volume_device *ret);
/* False: there is no such device. */
bool volume_device_find(const struct volume *vol, u64 devid, struct volume_device *ret);

/* What all devices together have read and written since they were opened. */
struct device_traffic;
void volume_traffic(const struct volume *vol, struct device_traffic *ret);

/* A device item met in the chunk tree: what it says replaces what the device's superblock said. A
 * device that is not there becomes a missing one. -EUCLEAN: not the device's, or it is too small. */
_must_check_ int volume_add_device_item(struct volume *vol, const struct btrfs_dev_item *item);
/* When the chunk tree has been read: every device has its item, and for a writable volume every
 * chunk can do without those that are missing. */
_must_check_ int volume_check_devices(struct volume *vol, struct reason *why);
/* The device's item changed in the chunk tree; its superblocks follow with the commit that freezes that
 * change. */
void volume_device_changed(struct volume *vol, const struct btrfs_dev_item *item);
/* Superblocks written from now on say of devices what their items say now. */
void volume_freeze_device_items(struct volume *vol);

/* Counted faults of a device. */
void volume_device_errors(const struct volume *vol, u64 devid, u64 errors[DEVICE_ERRORS]);
void volume_device_errors_load(struct volume *vol, u64 devid, const u64 errors[DEVICE_ERRORS]);
/* True if some came since this was last asked; any device for UINT64_MAX, which forgets nothing. */
bool volume_device_errors_news(struct volume *vol, u64 devid);

/* What a sector of data should be, for who knows the checksums. Parity is computed anew from a
 * row's other data only after that has been looked at. */
enum sector_verdict { SECTOR_UNKNOWN, SECTOR_GOOD, SECTOR_BAD };
void volume_set_verify(struct volume *vol,
		       enum sector_verdict (*verify)(void *ctx, u64 logical, const void *sector),
		       void *ctx);

/* What the pointer to a node promises. owner 0 = any; for a subvolume's tree pass 0, its nodes may
 * belong to others. */
struct node_expect {
	u64 logical;
	u64 generation; /* 0 = any, unless... */
	bool exact_generation; /* ...it stands in a pointer, where a damaged one may be 0 */
	u8 level;
	u64 owner;
	bool has_first_key;
	struct key first_key;
	bool (*still_wanted)(void *ctx);
	void *ctx;
};

/* One node: every mirror until checksum, check_node() and the expectation hold. @buf has nodesize
 * bytes. -EIO: no mirror is good. */
_must_check_ int volume_read_node(struct volume *vol, const struct node_expect *want, void *buf);

/* Data; @csums has one checksum (csum_size bytes) for each sector, or is NULL (then only I/O errors
 * are seen). @present (may be NULL = all): one bool for each sector that has a checksum. Bad
 * sectors are tried on the other mirrors one by one. -EIO: a sector is bad in each. */
_must_check_ int volume_read_data(struct volume *vol, u64 logical, u64 len, const u8 *csums,
				  const bool *present, void *buf, bool (*still_wanted)(void *ctx),
				  void *ctx);
/* One look at the first copy, -EIO if anything there is bad; no other copy, no repair, no log line: the
 * caller looks the mapping up again before it believes the fault, then calls volume_read_data(). */
_must_check_ int volume_read_data_quiet(struct volume *vol, u64 logical, u64 len, const u8 *csums,
					const bool *present, void *buf);

/* Checks the node (flags WRITTEN is set here) and stores its checksum: the last step before it is
 * written. -EUCLEAN: logged, do not write. */
_must_check_ int volume_seal_node(struct volume *vol, void *node);

/* To every mirror, and parity. A device that fails is given up if every chunk can do without it,
 * and is an error otherwise. May span chunks. Lengths of each iov are multiples of the sector size. */
_must_check_ int volume_write(struct volume *vol, u64 logical, const struct iovec *iov, int cnt);
_must_check_ int volume_pwrite_inplace(struct volume *vol, u64 logical, const void *buf, u64 len);

_must_check_ int volume_flush(struct volume *vol);
/* Best effort: 0, -EOPNOTSUPP or the device's error; not logged. */
_must_check_ int volume_discard(struct volume *vol, u64 logical, u64 len);

enum super_which { SUPER_PRIMARY, SUPER_COPIES };
/* Checks @sb, then writes it to each device with its device item, and bytenr and checksum of each
 * copy (@sb itself gets the primary's). Flushing is the caller's. A failed primary is an error
 * unless the device can be given up; copies beyond the device's end are
 * skipped, failed copies counted and logged. Also moves the newest generation that the checkers
 * accept. */
_must_check_ int volume_write_super(struct volume *vol, struct btrfs_super_block *sb,
				    enum super_which which);
u64 volume_failed_super_copies(const struct volume *vol);

/* Calls @cb for each logical range inside @chunk that lies on a superblock copy's 64 KiB stripe on
 * any device: never to be allocated. */
void volume_super_stripes(struct volume *vol, const struct chunk *chunk,
			  void (*cb)(void *ctx, u64 logical, u64 len), void *ctx);

/* Newest generation that the checkers accept in items is this + 1. volume_write_super() moves it.
 */
u64 volume_generation(const struct volume *vol);

/* From now on the checkers accept what needs this incompatible feature; whoever writes the superblock
 * names it there. */
void volume_use_feature(struct volume *vol, u64 incompat);

/* What went wrong and right so far. */
struct volume_stats {
	u64 read_errors, csum_errors, generation_errors, write_errors, flush_errors, repaired;
};
void volume_stats_get(struct volume *vol, struct volume_stats *ret);

#endif
