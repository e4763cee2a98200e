/* SPDX-License-Identifier: GPL-2.0-or-later */
/* statfs.c - total, free and available bytes as statfs(2) of the kernel's btrfs computes them, so that
 * df shows the same on both. Facts: btrfs documentation on df; measured against 6.18.
 *
 * Free: the devices less what is used, raw, over the copies of the data profile, less the global
 * reserve (parity does not count as a copy). Available: free bytes of data groups and the device room
 * for more of them, from the smallest device up; 0 when metadata is at its end and no group can be
 * made.
 */
#include "core/fs.h"
#include "disk/format/raid_profile.h"
#include "core/space/space_impl.h"

#define META_END MIB(4)
#define DEVICES_MAX 256

static unsigned copies_of(u64 profile)
{
	const struct raid_profile *p = raid_profile_of(profile);

	return p ? p->copies : 1;
}

/* Device bytes that the chunks in the map take of one device. */
static u64 chunk_bytes_of(struct fs *fs, u64 devid)
{
	u64 bytes = 0, at = 0;

	for (;;) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, at);
		_cleanup_chunk_ struct chunk *c = NULL;

		if (!bg)
			return bytes;
		at = bg->logical + bg->length;
		c = chunk_map_find(volume_chunks(fs->vol), bg->logical);
		for (unsigned i = 0; c && i < c->num_stripes; i++)
			bytes += c->stripes[i].devid == devid ? chunk_stripe_bytes(c) : 0;
	}
}

static int by_size(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* What each device has in no chunk, less what is never allocated; the largest first. Devices whose
 * chunks have just been made in memory count with what their items will say. */
static unsigned free_of_devices(struct fs *fs, const struct raid_profile *p, u64 *room, unsigned max)
{
	unsigned count = MIN(volume_device_count(fs->vol), max), n = 0;
	u64 least = MIB(1) + p->dev_stripes * KIB(64);

	for (unsigned i = 0; i < count; i++) {
		struct volume_device dev;
		u64 left;

		volume_device_at(fs->vol, i, &dev);
		left = dev.total_bytes - MIN(dev.total_bytes, chunk_bytes_of(fs, dev.devid));
		left = ALIGN_DOWN(left, KIB(64));
		if (!dev.missing && left > least)
			room[n++] = left - MIB(1);
	}
	qsort(room, n, sizeof(*room), by_size);
	return n;
}

static unsigned stripes_wanted(const struct raid_profile *p, unsigned devices)
{
	if (p->sub_stripes == 2)
		return 4;
	return p->copies > 1 && p->dev_stripes == 1 ? p->copies : devices;
}

/* Raw bytes that more data groups could take. */
static u64 unallocated(struct fs *fs, const struct raid_profile *p)
{
	u64 room[DEVICES_MAX], raw = 0;
	unsigned n = free_of_devices(fs, p, room, DEVICES_MAX), stripes = stripes_wanted(p, n);

	for (; n >= p->devs_min; n--) {
		u64 each = room[n - 1];

		stripes = MIN(stripes, n);
		if (each < p->dev_stripes * KIB(64))
			continue;
		raw += each * stripes;
		for (unsigned i = n - stripes; i < n; i++)
			room[i] -= each;
	}
	return raw;
}

static u64 data_profile(struct space *s)
{
	MUTEX_SCOPE(&s->lock);
	return s->info[SPACE_DATA].profile;
}

void space_statfs(struct fs *fs, struct space_stat *ret)
{
	struct space *s = fs->space;
	const struct space_info *data = &s->info[SPACE_DATA], *meta = &s->info[SPACE_METADATA];
	u64 room = unallocated(fs, raid_profile_of(data_profile(s))), raw_used = 0, meta_free;
	unsigned copies;

	MUTEX_SCOPE(&s->lock);
	copies = copies_of(data->profile);
	for (int k = 0; k < SPACE_KINDS; k++)
		raw_used += s->info[k].used * copies_of(s->info[k].profile);
	ret->total_bytes = get_le64(&fs->super.total_bytes) / copies;
	ret->free_bytes = ret->total_bytes - MIN(ret->total_bytes, raw_used / copies);
	ret->free_bytes -= MIN(ret->free_bytes, s->global_reserve);
	ret->avail_bytes = data->total - data->used - MIN(data->readonly, data->total - data->used);
	ret->avail_bytes += room / copies;
	meta_free = (meta->total - meta->used) * copies_of(meta->profile);
	if (chunk_meta_room(s, 0) == 0 &&
	    (meta_free < META_END || meta_free - META_END < s->global_reserve))
		ret->avail_bytes = 0;
}
