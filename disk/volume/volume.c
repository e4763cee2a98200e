/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume.c - opening: devices, primary superblocks, system chunks; and the accessors.
 * The newest superblock counts; a device that missed commits (it was away from a degraded mount) is
 * taken, as the kernel does, but read last.
 */
#include <stdio.h>

#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume_internal.h"

#define RECORD_ENV "BTRFUSE_RECORD"
#define REPLACE_TARGET_DEVID 0 /* until the replace is finished */

const struct btrfs_super_block *volume_super(const struct volume *vol)
{
	return &vol->super;
}

void volume_ignore_node_csums(struct volume *vol)
{
	vol->ignore_node_csums = true;
}

const char *volume_source(const struct volume *vol)
{
	return vol->members[0]->dev->path;
}

u32 volume_nodesize(const struct volume *vol)
{
	return vol->nodesize;
}

u32 volume_sectorsize(const struct volume *vol)
{
	return vol->sectorsize;
}

u16 volume_csum_type(const struct volume *vol)
{
	return vol->csum_type;
}

u32 volume_csum_size(const struct volume *vol)
{
	return vol->csum_size;
}

bool volume_readonly(const struct volume *vol)
{
	return vol->readonly;
}

struct chunk_map *volume_chunks(struct volume *vol)
{
	return &vol->chunks;
}

u64 volume_generation(const struct volume *vol)
{
	return __atomic_load_n(&vol->generation, __ATOMIC_ACQUIRE);
}

void volume_use_feature(struct volume *vol, u64 incompat)
{
	__atomic_fetch_or(&vol->features, incompat, __ATOMIC_RELEASE);
}

u64 volume_failed_super_copies(const struct volume *vol)
{
	return __atomic_load_n(&vol->failed_super_copies, __ATOMIC_RELAXED);
}

void volume_stats_get(struct volume *vol, struct volume_stats *ret)
{
	const u64 *from = (const u64 *)&vol->stats;
	u64 *to = (u64 *)ret;

	for (size_t i = 0; i < sizeof(*ret) / sizeof(u64); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

struct check_env volume_env(const struct volume *vol)
{
	return (struct check_env){
		.nodesize = vol->nodesize,
		.sectorsize = vol->sectorsize,
		.csum_size = vol->csum_size,
		.incompat_flags = get_le64(&vol->super.incompat_flags) |
				  __atomic_load_n(&vol->features, __ATOMIC_ACQUIRE),
		.generation = volume_generation(vol) + 1,
		.fsid = vol->node_fsid,
		.seed_fsids = vol->seed_fsids[0],
		.seed_count = vol->seed_fsid_count,
	};
}

bool volume_fault_is_new(struct volume *vol, u64 logical)
{
	MUTEX_SCOPE(&vol->fault_lock);
	for (u32 i = 0; i < FAULTS_REMEMBERED; i++)
		if (vol->faults[i] == logical + 1)
			return false;
	vol->faults[vol->next_fault++ % FAULTS_REMEMBERED] = logical + 1;
	return true;
}

void volume_set_verify(struct volume *vol,
		       enum sector_verdict (*verify)(void *ctx, u64 logical, const void *sector),
		       void *ctx)
{
	vol->verify = verify;
	vol->verify_ctx = ctx;
}

/* ---- opening ---- */

/* Why the primary is bad is in @why; a good copy is worth a word, but believing it is the user's
 * decision. */
static void look_for_copy(struct device *dev, struct btrfs_super_block *sb, struct reason *why)
{
	for (unsigned copy = 1; copy < SUPER_COPIES_MAX; copy++) {
		struct reason primary = *why;

		if (member_read_super(dev, copy, sb, NULL))
			continue;
		reason_set(
			why,
			"primary %.150s; but the mirror at %s is good (btrfs rescue super-recover)",
			primary.text, copy == 1 ? "64 MiB" : "256 GiB");
		return;
	}
}

static void take_super(struct volume *vol, const struct btrfs_super_block *sb)
{
	bool split = get_le64(&sb->incompat_flags) & BTRFS_FEATURE_INCOMPAT_METADATA_UUID;

	vol->super = *sb;
	vol->nodesize = get_le32(&sb->nodesize);
	vol->sectorsize = get_le32(&sb->sectorsize);
	vol->csum_type = get_le16(&sb->csum_type);
	vol->csum_size = csum_size(vol->csum_type);
	vol->generation = get_le64(&sb->generation);
	memcpy(vol->node_fsid, split ? sb->metadata_uuid : sb->fsid, BTRFS_FSID_SIZE);
}

static int check_device_fits(const struct device *dev, const struct btrfs_super_block *sb, u64 have,
			     struct reason *why)
{
	u64 want = get_le64(&sb->dev_item.total_bytes);

	if (want > have) {
		reason_set(why, "truncated: the file system has %llu bytes, the device %llu",
			   (unsigned long long)want, (unsigned long long)have);
		return -EINVAL;
	}
	if (dev->align > get_le32(&sb->sectorsize)) {
		reason_set(why, "the device's blocks of %u bytes are larger than the sectors of %u",
			   dev->align, get_le32(&sb->sectorsize));
		return -EINVAL;
	}
	return 0;
}

static int check_same_fs(const struct volume *vol, const struct btrfs_super_block *sb,
			 struct reason *why)
{
	u64 flags = get_le64(&vol->super.flags) | get_le64(&sb->flags);

	if (!vol->member_count || !memcmp(vol->super.fsid, sb->fsid, BTRFS_FSID_SIZE))
		return 0;
	/* a change of the shown id that was cut short: what the nodes carry is the same on all */
	if (flags & BTRFS_SUPER_FLAG_CHANGING_FSID_V2 &&
	    !memcmp(vol->super.dev_item.fsid, sb->dev_item.fsid, BTRFS_FSID_SIZE))
		return 0;
	reason_set(why, "it belongs to another file system");
	return -EINVAL;
}

/* A seed of ours, perhaps: the chunk tree will name it, or not. */
static bool is_seed_for(const struct volume *vol, const struct btrfs_super_block *sb)
{
	return vol->member_count && get_le64(&sb->flags) & BTRFS_SUPER_FLAG_SEEDING &&
	       memcmp(vol->super.fsid, sb->fsid, BTRFS_FSID_SIZE);
}

/* Takes @dev, also on failure. */
static int keep_seed(struct volume *vol, struct device *dev, const struct btrfs_super_block *sb,
		     struct reason *why)
{
	struct member *m;
	int err;

	if (vol->seed_count + vol->seed_fsid_count == SEEDS_MAX) {
		device_close(dev);
		reason_set(why, "there are too many seed devices");
		return -E2BIG;
	}
	err = member_new(dev, sb, &m);
	if (err)
		return err;
	m->seed = true;
	vol->seeds[vol->seed_count++] = m;
	return 0;
}

/* The target of a replace that was interrupted: whoever takes that up begins anew. */
static int leave_target(const struct volume *vol, const struct device *dev, struct reason *why)
{
	if (!vol->member_count) {
		reason_set(why, "it is the unfinished target of a device replace");
		return -EINVAL;
	}
	log_info("%s is the unfinished target of a device replace: not used", dev->path);
	return 0;
}

/* Takes @dev, also on failure. */
static int join_device(struct volume *vol, struct device *dev, struct reason *why)
{
	_cleanup_buffer_ struct btrfs_super_block *sb = buffer_get(SUPER_SIZE);
	_cleanup_device_ struct device *owned = dev;
	struct member *m;
	int err;

	if (!sb)
		return -ENOMEM;
	err = member_read_super(dev, 0, sb, why);
	if (err) {
		look_for_copy(dev, sb, why);
		return err;
	}
	err = check_device_fits(dev, sb, device_size(dev), why);
	if (!err && is_seed_for(vol, sb))
		return keep_seed(vol, TAKE(owned), sb, why);
	if (!err)
		err = check_same_fs(vol, sb, why);
	if (err)
		return err;
	if (get_le64(&sb->dev_item.devid) == REPLACE_TARGET_DEVID)
		return leave_target(vol, dev, why);
	if (!vol->member_count || get_le64(&sb->generation) > vol->generation)
		take_super(vol, sb);
	err = member_new(TAKE(owned), sb, &m);
	return err ? err : volume_member_add(vol, m, why);
}

/* The first device must be good; of the others a degraded mount can do without bad ones. */
static int join_devices(struct volume *vol, struct device *const *devs, unsigned count,
			struct reason *why)
{
	int err = 0;

	for (unsigned i = 0; i < count; i++) {
		struct reason one = {0};
		const char *path = devs[i]->path;

		if (err) {
			device_close(devs[i]);
			continue;
		}
		err = join_device(vol, devs[i], i ? &one : why);
		if (err && i && vol->degraded && err != -EEXIST) {
			log_info("doing without a device: %s", one.text);
			err = 0;
		} else if (err && i) {
			reason_set(why, "device %.100s: %.120s", path, one.text);
		}
	}
	return err;
}

static int check_all_here(struct volume *vol, struct reason *why)
{
	u64 want = get_le64(&vol->super.num_devices);

	for (unsigned i = 0; i < vol->member_count; i++)
		vol->members[i]->stale = vol->members[i]->generation < vol->generation;
	if (vol->member_count + vol->seed_count >= want || vol->degraded)
		return 0;
	reason_set(why,
		   "it has %llu devices, %u of them are given; name the others with -o device=PATH "
		   "or -o scan=DIR, or do without with -o degraded",
		   (unsigned long long)want, vol->member_count + vol->seed_count);
	return -ENXIO;
}

static struct volume *volume_new(bool readonly, bool degraded)
{
	struct volume *vol = calloc(1, sizeof(*vol));

	if (!vol)
		return NULL;
	vol->readonly = readonly;
	vol->degraded = degraded;
	chunk_map_init(&vol->chunks);
	mutex_init(&vol->fault_lock, RANK_LOG);
	mutex_init(&vol->item_lock, RANK_DEVICE);
	for (unsigned i = 0; i < ROW_LOCKS; i++) {
		mutex_init(&vol->data_rows[i], RANK_NONE);
		mutex_init(&vol->meta_rows[i], RANK_NONE);
	}
	return vol;
}

int volume_open_devices(struct device *const *devs, unsigned count, bool readonly, bool degraded,
			struct volume **ret, struct reason *why)
{
	struct volume *vol = volume_new(readonly, degraded);
	int err;

	if (!vol) {
		for (unsigned i = 0; i < count; i++)
			device_close(devs[i]);
		return -ENOMEM;
	}
	err = join_devices(vol, devs, count, why);
	if (!err)
		err = check_all_here(vol, why);
	if (!err)
		err = volume_read_system_chunks(vol, why);
	if (err) {
		volume_close(vol);
		return err;
	}
	*ret = vol;
	return 0;
}

int volume_open_device(struct device *dev, bool readonly, struct volume **ret, struct reason *why)
{
	return volume_open_devices(&dev, 1, readonly, false, ret, why);
}

#ifdef BTRFUSE_TEST
/* One log for each device: the first one's path is the name given. */
static int record(struct device **dev, unsigned index, struct reason *why)
{
	const char *path = getenv(RECORD_ENV);
	char name[4096];
	int err;

	if (!path || (*dev)->readonly)
		return 0;
	snprintf(name, sizeof(name), index ? "%s.%u" : "%s", path, index);
	err = device_recorder_new(*dev, name, dev);
	if (err) {
		*dev = NULL;
		reason_set(why, "the recorder cannot be started: %s", strerror(-err));
	}
	return err;
}
#endif

/* Seeds are never written, and several sprouts may stand on one. 1: it is a seed, and open; whatever
 * is wrong is found again. */
static int open_seed(const struct device_file_options *wish, struct device **ret)
{
	_cleanup_buffer_ struct btrfs_super_block *sb = buffer_get(SUPER_SIZE);
	struct device_file_options file = *wish;
	_cleanup_device_ struct device *dev = NULL;

	file.readonly = true;
	if (!sb || device_file_open(&file, &dev, NULL) || member_read_super(dev, 0, sb, NULL) ||
	    !(get_le64(&sb->flags) & BTRFS_SUPER_FLAG_SEEDING))
		return 0;
	*ret = TAKE(dev);
	return 1;
}

static int open_nth(const struct volume_options *opt, unsigned n, struct device **ret,
		    struct reason *why)
{
	struct device_file_options file = {
		.path = n ? opt->devices[n - 1] : opt->source,
		.offset_bytes = n ? 0 : opt->offset_bytes,
		.readonly = opt->readonly,
		.no_excl = !n && opt->no_excl,
		.claim_wait_ms = opt->claim_wait_ms,
	};
	struct reason one = {0};
	int err = n && !file.readonly ? open_seed(&file, ret) : 0;

	if (err == 1)
		return 0;
	err = device_file_open(&file, ret, n ? &one : why);

	if (err && n)
		reason_set(why, "device %.100s: %.120s", file.path, one.text);
#ifdef BTRFUSE_TEST
	if (!err)
		err = record(ret, n, why);
#endif
	return err;
}

int volume_open(const struct volume_options *opt, struct volume **ret, struct reason *why)
{
	_cleanup_free_ struct device **devs = calloc(opt->device_count + 1, sizeof(*devs));
	unsigned n;

	if (!devs)
		return -ENOMEM;
	for (n = 0; n <= opt->device_count; n++) {
		int err = open_nth(opt, n, &devs[n], why);

		if (!err)
			continue;
		while (n--)
			device_close(devs[n]);
		return err;
	}
	return volume_open_devices(devs, n, opt->readonly, opt->degraded, ret, why);
}

void volume_close(struct volume *vol)
{
	if (!vol)
		return;
	chunk_map_destroy(&vol->chunks);
	for (unsigned i = 0; i < vol->member_count; i++)
		member_free(vol->members[i]);
	for (unsigned i = 0; i < vol->seed_count; i++)
		member_free(vol->seeds[i]);
	for (unsigned i = 0; i < ROW_LOCKS; i++) {
		mutex_destroy(&vol->data_rows[i]);
		mutex_destroy(&vol->meta_rows[i]);
	}
	mutex_destroy(&vol->item_lock);
	mutex_destroy(&vol->fault_lock);
	free(vol);
}
