/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume.c - opening: device, primary superblock, system chunks; and the accessors.
 * Invariant: every chunk in the map can be translated (profile known, devices ours, stripes inside
 * the device), so readers need no second look.
 */
#include <stdio.h>

#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume_internal.h"

#define RECORD_ENV "BTRFUSE_RECORD"

const struct btrfs_super_block *volume_super(const struct volume *vol)
{
	return &vol->super;
}

const char *volume_source(const struct volume *vol)
{
	return vol->dev->path;
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

u64 volume_devid(const struct volume *vol)
{
	return vol->devid;
}

u64 volume_device_bytes(const struct volume *vol)
{
	return device_size(vol->dev);
}

struct chunk_map *volume_chunks(struct volume *vol)
{
	return &vol->chunks;
}

struct device *volume_device(struct volume *vol)
{
	return vol->dev;
}

u64 volume_generation(const struct volume *vol)
{
	return __atomic_load_n(&vol->generation, __ATOMIC_ACQUIRE);
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
		.incompat_flags = get_le64(&vol->super.incompat_flags),
		.generation = volume_generation(vol) + 1,
		.fsid = vol->node_fsid,
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

/* ---- chunks ---- */

static int chunk_refused(const struct chunk *c, int err, const char *what, u64 value,
			 struct reason *why)
{
	reason_set(why, "chunk %llu type 0x%llx: %s %llu", (unsigned long long)c->logical,
		   (unsigned long long)c->type, what, (unsigned long long)value);
	return err;
}

static int check_chunk_mappable(const struct volume *vol, const struct chunk *c, struct reason *why)
{
	u64 size = device_size(vol->dev), bytes = chunk_stripe_bytes(c);

	if (!chunk_mirrors(c))
		return chunk_refused(c, -EOPNOTSUPP, "this profile is not supported yet, stripes",
				     c->num_stripes, why);
	for (u16 i = 0; i < c->num_stripes; i++) {
		if (c->stripes[i].devid != vol->devid)
			return chunk_refused(c, -EOPNOTSUPP, "it needs another device, devid",
					     c->stripes[i].devid, why);
		if (c->stripes[i].physical > size || bytes > size - c->stripes[i].physical)
			return chunk_refused(c, -EUCLEAN, "a stripe ends beyond the device, start",
					     c->stripes[i].physical, why);
	}
	return 0;
}

static bool chunk_same(const struct chunk *a, const struct chunk *b)
{
	if (a->logical != b->logical || a->length != b->length || a->type != b->type ||
	    a->num_stripes != b->num_stripes)
		return false;
	for (u16 i = 0; i < a->num_stripes; i++)
		if (a->stripes[i].devid != b->stripes[i].devid ||
		    a->stripes[i].physical != b->stripes[i].physical)
			return false;
	return true;
}

static int add_chunk(struct volume *vol, u64 logical, const struct btrfs_chunk *item, u32 item_size,
		     struct reason *why)
{
	_cleanup_chunk_ struct chunk *c = NULL, *there = NULL;
	struct check_env env = volume_env(vol);
	int err = check_chunk(&env, logical, item, item_size, why);

	if (err)
		return err;
	c = chunk_from_disk(logical, item);
	if (!c)
		return -ENOMEM;
	err = check_chunk_mappable(vol, c, why);
	if (err)
		return err;
	there = chunk_map_find(&vol->chunks, logical);
	if (there && chunk_same(c, there))
		return 0;
	err = chunk_map_insert(&vol->chunks, c);
	if (err == -EEXIST)
		return chunk_refused(c, -EUCLEAN, "it overlaps another chunk, length", c->length,
				     why);
	return err;
}

int volume_add_chunk_item(struct volume *vol, u64 logical, const struct btrfs_chunk *item,
			  u32 item_size)
{
	struct reason why = {0};
	int err = add_chunk(vol, logical, item, item_size, &why);

	if (err)
		log_fault("%s", why.text);
	return err;
}

static int array_bad(u32 at, const char *what, struct reason *why)
{
	reason_set(why, "superblock: system chunk array at %u: %s", at, what);
	return -EUCLEAN;
}

static int read_system_chunks(struct volume *vol, struct reason *why)
{
	const u8 *array = vol->super.sys_chunk_array;
	u32 size = get_le32(&vol->super.sys_chunk_array_size), at = 0;
	u32 head = sizeof(struct btrfs_disk_key);

	while (at < size) {
		const struct btrfs_chunk *chunk = (const void *)(array + at + head);
		struct key k;
		u32 item_size;
		int err;

		if (size - at < head + sizeof(*chunk))
			return array_bad(at, "an entry is cut off", why);
		k = key_from_disk(array + at);
		item_size = (u32)(offsetof(struct btrfs_chunk, stripe) +
				  get_le16(&chunk->num_stripes) * sizeof(struct btrfs_stripe));
		if (k.objectid != BTRFS_FIRST_CHUNK_TREE_OBJECTID || k.type != BTRFS_CHUNK_ITEM_KEY)
			return array_bad(at, "bad key", why);
		if (get_le16(&chunk->num_stripes) == 0 || item_size > size - at - head)
			return array_bad(at, "bad number of stripes", why);
		if (!(get_le64(&chunk->type) & BTRFS_BLOCK_GROUP_SYSTEM))
			return array_bad(at, "not a system chunk", why);
		err = add_chunk(vol, k.offset, chunk, item_size, why);
		if (err)
			return err;
		at += head + item_size;
	}
	return 0;
}

/* ---- opening ---- */

static int read_super(struct volume *vol, unsigned copy, struct btrfs_super_block *sb,
		      struct reason *why)
{
	int err;

	if (device_size(vol->dev) < super_offset(copy) + SUPER_SIZE) {
		reason_set(why, "too small for a btrfs file system");
		return -EINVAL;
	}
	err = device_read(vol->dev, sb, SUPER_SIZE, super_offset(copy));
	if (err) {
		reason_set(why, "reading the superblock: %s", strerror(-err));
		return err;
	}
	return check_super(sb, super_offset(copy), why);
}

/* Why the primary is bad is in @why; a good copy is worth a word, but believing it is the user's
 * decision. */
static void look_for_copy(struct volume *vol, struct btrfs_super_block *sb, struct reason *why)
{
	for (unsigned copy = 1; copy < SUPER_COPIES_MAX; copy++) {
		struct reason primary = *why;

		if (read_super(vol, copy, sb, NULL))
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
	vol->devid = get_le64(&sb->dev_item.devid);
	vol->generation = get_le64(&sb->generation);
	memcpy(vol->node_fsid, split ? sb->metadata_uuid : sb->fsid, BTRFS_FSID_SIZE);
}

static int check_device_fits(const struct volume *vol, struct reason *why)
{
	u64 want = get_le64(&vol->super.dev_item.total_bytes), have = device_size(vol->dev);

	if (get_le64(&vol->super.num_devices) != 1) {
		reason_set(why, "it has %llu devices; more than one is not supported yet",
			   (unsigned long long)get_le64(&vol->super.num_devices));
		return -EOPNOTSUPP;
	}
	if (want > have) {
		reason_set(why, "truncated: the file system has %llu bytes, the device %llu",
			   (unsigned long long)want, (unsigned long long)have);
		return -EINVAL;
	}
	if (vol->dev->align > vol->sectorsize) {
		reason_set(why, "the device's blocks of %u bytes are larger than the sectors of %u",
			   vol->dev->align, vol->sectorsize);
		return -EINVAL;
	}
	return 0;
}

static int volume_start(struct volume *vol, struct reason *why)
{
	_cleanup_buffer_ struct btrfs_super_block *sb = buffer_get(SUPER_SIZE);
	int err;

	if (!sb)
		return -ENOMEM;
	err = read_super(vol, 0, sb, why);
	if (err) {
		look_for_copy(vol, sb, why);
		return err;
	}
	take_super(vol, sb);
	err = check_device_fits(vol, why);
	return err ? err : read_system_chunks(vol, why);
}

int volume_open_device(struct device *dev, bool readonly, struct volume **ret, struct reason *why)
{
	struct volume *vol = calloc(1, sizeof(*vol));
	int err;

	if (!vol) {
		device_close(dev);
		return -ENOMEM;
	}
	vol->dev = dev;
	vol->readonly = readonly;
	chunk_map_init(&vol->chunks);
	mutex_init(&vol->fault_lock, RANK_LOG);
	err = volume_start(vol, why);
	if (err) {
		volume_close(vol);
		return err;
	}
	*ret = vol;
	return 0;
}

int volume_open(const struct volume_options *opt, struct volume **ret, struct reason *why)
{
	struct device_file_options file = {
		.path = opt->source,
		.readonly = opt->readonly,
		.no_excl = opt->no_excl,
		.claim_wait_ms = opt->claim_wait_ms,
	};
	struct device *dev;
	int err = device_file_open(&file, &dev, why);

	if (err)
		return err;
#ifdef BTRFUSE_TEST
	if (getenv(RECORD_ENV) && !opt->readonly) {
		err = device_recorder_new(dev, getenv(RECORD_ENV), &dev);
		if (err) {
			reason_set(why, "the recorder cannot be started: %s", strerror(-err));
			return err;
		}
	}
#endif
	return volume_open_device(dev, opt->readonly, ret, why);
}

void volume_close(struct volume *vol)
{
	if (!vol)
		return;
	chunk_map_destroy(&vol->chunks);
	mutex_destroy(&vol->fault_lock);
	device_close(vol->dev);
	free(vol);
}
