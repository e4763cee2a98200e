/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_devices.c - the devices of a volume: who they are, which may be lost, what they counted.
 * One rule for losing a device, at mount as later: every chunk must have no more stripes on
 * unusable devices than its profile tolerates. Then it is done without; otherwise it is an error.
 */
#include "disk/base/log.h"
#include "disk/format/raid_profile.h"
#include "disk/volume/volume_internal.h"

static unsigned member_total(const struct volume *vol)
{
	return __atomic_load_n(&vol->member_count, __ATOMIC_ACQUIRE);
}

struct member *volume_member(const struct volume *vol, u64 devid)
{
	unsigned count = member_total(vol);

	for (unsigned i = 0; i < count; i++)
		if (vol->members[i]->devid == devid)
			return vol->members[i];
	return NULL;
}

int volume_member_add(struct volume *vol, struct member *m, struct reason *why)
{
	unsigned count = member_total(vol);

	if (volume_member(vol, m->devid) || count == MEMBERS_MAX) {
		reason_set(why, "device id %llu is there already", (unsigned long long)m->devid);
		member_free(m);
		return -EEXIST;
	}
	vol->members[count] = m;
	__atomic_store_n(&vol->member_count, count + 1, __ATOMIC_RELEASE);
	return 0;
}

static struct member *take_seed(struct volume *vol, u64 devid, const u8 *uuid)
{
	for (unsigned i = 0; i < vol->seed_count; i++) {
		struct member *m = vol->seeds[i];

		if (m->devid != devid || memcmp(m->uuid, uuid, BTRFS_UUID_SIZE))
			continue;
		vol->seeds[i] = vol->seeds[--vol->seed_count];
		return m;
	}
	return NULL;
}

int volume_member_find(struct volume *vol, u64 devid, const u8 *uuid, struct member **ret,
		       struct reason *why)
{
	struct member *m = volume_member(vol, devid);
	int err;

	if (!m) {
		m = take_seed(vol, devid, uuid);
		err = m ? volume_member_add(vol, m, why) : 0;
		if (err)
			return err;
		if (m)
			memcpy(vol->seed_fsids[vol->seed_fsid_count++], m->node_fsid,
			       BTRFS_FSID_SIZE);
	}
	*ret = m;
	return 0;
}

/* ---- losing one ---- */

unsigned volume_chunk_lost(const struct volume *vol, const struct chunk *chunk,
			   const struct member *besides)
{
	unsigned lost = 0;

	for (unsigned i = 0; i < chunk->num_stripes; i++) {
		const struct member *m = stripe_member(vol, chunk, i);

		lost += m == besides || !member_usable(m);
	}
	return lost;
}

/* The first chunk that cannot do without @besides (may be NULL) and those not usable already, with a
 * reference. */
static struct chunk *find_broken(struct volume *vol, const struct member *besides)
{
	struct chunk *c;

	for (u64 at = 0; (c = chunk_map_next(&vol->chunks, at)); at = c->logical + c->length,
		 chunk_put(c))
		if (volume_chunk_lost(vol, c, besides) > raid_profile_of(c->type)->tolerated)
			return c;
	return NULL;
}

int volume_give_up(struct volume *vol, struct member *m)
{
	_cleanup_chunk_ struct chunk *broken = NULL;

	if (!member_usable(m))
		return 0;
	broken = find_broken(vol, m);
	if (broken)
		return -EIO;
	__atomic_store_n(&m->failed, true, __ATOMIC_RELEASE);
	log_fault("device %llu (%s) failed: going on without it", (unsigned long long)m->devid,
		  m->dev->path);
	return 0;
}

int volume_check_devices(struct volume *vol, struct reason *why)
{
	_cleanup_chunk_ struct chunk *broken = NULL;

	for (unsigned i = 0; i < vol->member_count; i++) {
		const struct member *m = vol->members[i];

		if (!m->listed) {
			reason_set(why, "chunk tree: no device item for device %llu",
				   (unsigned long long)m->devid);
			return -EUCLEAN;
		}
		if (!m->dev && !vol->degraded) {
			reason_set(why, "device %llu is missing", (unsigned long long)m->devid);
			return -ENXIO;
		}
	}
	broken = vol->readonly ? NULL : find_broken(vol, NULL);
	if (!broken)
		return 0;
	reason_set(why, "too many devices are missing for chunk %llu (%s): only -o ro,degraded works",
		   (unsigned long long)broken->logical, raid_profile_of(broken->type)->name);
	return -EINVAL;
}

/* ---- items ---- */

static int item_refused(u64 devid, const char *what)
{
	log_fault("device item %llu: %s", (unsigned long long)devid, what);
	return -EUCLEAN;
}

int volume_add_device_item(struct volume *vol, const struct btrfs_dev_item *item)
{
	u64 devid = get_le64(&item->devid);
	struct member *m;
	struct reason why = {0};

	if (volume_member_find(vol, devid, item->uuid, &m, &why))
		return item_refused(devid, why.text);
	if (!m) {
		m = member_missing(devid, item->uuid);
		if (!m)
			return -ENOMEM;
		if (volume_member_add(vol, m, &why))
			return item_refused(devid, why.text);
	}
	if (memcmp(m->uuid, item->uuid, BTRFS_UUID_SIZE))
		return item_refused(devid, "the device given for it has another uuid");
	if (m->dev && get_le64(&item->total_bytes) > device_size(m->dev))
		return item_refused(devid, "the device is smaller than its item says");
	m->listed = true;
	volume_device_changed(vol, item);
	return 0;
}

void volume_device_changed(struct volume *vol, const struct btrfs_dev_item *item)
{
	struct member *m = volume_member(vol, get_le64(&item->devid));

	MUTEX_SCOPE(&vol->item_lock);
	if (m)
		m->item = *item;
}

void volume_freeze_device_items(struct volume *vol)
{
	unsigned count = member_total(vol);

	MUTEX_SCOPE(&vol->item_lock);
	for (unsigned i = 0; i < count; i++)
		vol->members[i]->frozen = vol->members[i]->item;
}

static struct volume_device describe(const struct member *m)
{
	struct volume_device d = {
		.devid = m->devid,
		.path = m->dev ? m->dev->path : "missing",
		.bytes = m->dev ? device_size(m->dev) : 0,
		.total_bytes = get_le64(&m->item.total_bytes),
		.bytes_used = get_le64(&m->item.bytes_used),
		.missing = !m->dev,
		.writable = member_usable(m) && !m->dev->readonly,
	};

	memcpy(d.uuid, m->uuid, sizeof(d.uuid));
	return d;
}

unsigned volume_device_count(const struct volume *vol)
{
	return member_total(vol);
}

void volume_device_at(const struct volume *vol, unsigned index, struct volume_device *ret)
{
	struct mutex *lock = (struct mutex *)(uintptr_t)&vol->item_lock;

	MUTEX_SCOPE(lock);
	*ret = describe(vol->members[index]);
}

bool volume_device_find(const struct volume *vol, u64 devid, struct volume_device *ret)
{
	unsigned count = member_total(vol);

	for (unsigned i = 0; i < count; i++) {
		if (vol->members[i]->devid != devid)
			continue;
		volume_device_at(vol, i, ret);
		return true;
	}
	return false;
}

/* ---- counters ---- */

void volume_traffic(const struct volume *vol, struct device_traffic *ret)
{
	unsigned count = member_total(vol);

	*ret = (struct device_traffic){0};
	for (unsigned i = 0; i < count; i++) {
		struct device_traffic one = {0};

		if (vol->members[i]->dev)
			device_traffic(vol->members[i]->dev, &one);
		ret->reads += one.reads;
		ret->read_bytes += one.read_bytes;
		ret->writes += one.writes;
		ret->written_bytes += one.written_bytes;
		ret->flushes += one.flushes;
	}
}

void volume_device_errors(const struct volume *vol, u64 devid, u64 errors[DEVICE_ERRORS])
{
	const struct member *m = volume_member(vol, devid);

	for (unsigned i = 0; i < DEVICE_ERRORS; i++)
		errors[i] = m ? __atomic_load_n(&m->errors[i], __ATOMIC_RELAXED) : 0;
}

void volume_device_errors_load(struct volume *vol, u64 devid, const u64 errors[DEVICE_ERRORS])
{
	struct member *m = volume_member(vol, devid);

	for (unsigned i = 0; m && i < DEVICE_ERRORS; i++)
		__atomic_add_fetch(&m->errors[i], errors[i], __ATOMIC_RELAXED);
}

bool volume_device_errors_news(struct volume *vol, u64 devid)
{
	struct member *m = volume_member(vol, devid);

	if (m)
		return __atomic_exchange_n(&m->errors_changed, false, __ATOMIC_ACQ_REL);
	for (unsigned i = 0; devid == UINT64_MAX && i < member_total(vol); i++)
		if (__atomic_load_n(&vol->members[i]->errors_changed, __ATOMIC_ACQUIRE))
			return true;
	return false;
}
