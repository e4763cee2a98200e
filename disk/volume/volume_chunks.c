/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_chunks.c - chunks into the map: from sys_chunk_array, from the chunk tree, and new ones.
 * Invariant: every chunk in the map can be translated (profile known, each device a member though
 * perhaps a missing one, stripes inside it), so readers need no second look.
 */
#include "disk/base/log.h"
#include "disk/format/raid_profile.h"
#include "disk/volume/volume_internal.h"

static int chunk_refused(const struct chunk *c, int err, const char *what, u64 value,
			 struct reason *why)
{
	reason_set(why, "chunk %llu type 0x%llx: %s %llu", (unsigned long long)c->logical,
		   (unsigned long long)c->type, what, (unsigned long long)value);
	return err;
}

/* A device that nobody gave us can only be known from here, as long as its item is not read. */
static int stripe_device(struct volume *vol, const struct chunk *c, unsigned i, struct member **ret,
			 struct reason *why)
{
	const struct chunk_stripe *s = &c->stripes[i];
	struct member *m;
	int err = volume_member_find(vol, s->devid, s->dev_uuid, &m, why);

	if (err)
		return err;
	*ret = m;
	if (m && m->dev && memcmp(m->uuid, s->dev_uuid, BTRFS_UUID_SIZE))
		return chunk_refused(c, -EUCLEAN, "another uuid is given for device", s->devid, why);
	if (m)
		return 0;
	if (!vol->degraded)
		return chunk_refused(c, -ENXIO, "it needs a missing device, devid", s->devid, why);
	m = member_missing(s->devid, s->dev_uuid);
	if (!m)
		return -ENOMEM;
	err = volume_member_add(vol, m, why);
	*ret = err ? NULL : m;
	return err;
}

static int check_chunk_shape(const struct chunk *c, struct reason *why)
{
	const struct raid_profile *p = raid_profile_of(c->type);
	u64 row;

	if (!p || (p->parities && c->num_stripes > ROW_UNITS_MAX))
		return chunk_refused(c, -EOPNOTSUPP, "this profile is not supported, stripes",
				     c->num_stripes, why);
	row = raid_data_stripes(p, c->num_stripes) * (u64)STRIPE_LEN;
	if (!row || (p->striped && c->length % row))
		return chunk_refused(c, -EUCLEAN, "its rows are not whole, length", c->length, why);
	return 0;
}

static int check_chunk_mappable(struct volume *vol, const struct chunk *c, struct reason *why)
{
	u64 bytes = chunk_stripe_bytes(c);
	int err = check_chunk_shape(c, why);

	for (unsigned i = 0; !err && i < c->num_stripes; i++) {
		u64 physical = c->stripes[i].physical, size;
		struct member *m;

		err = stripe_device(vol, c, i, &m, why);
		if (err || !m->dev)
			continue;
		size = device_size(m->dev);
		if (physical > size || bytes > size - physical)
			return chunk_refused(c, -EUCLEAN, "a stripe ends beyond the device, start",
					     physical, why);
	}
	return err;
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

static int add_chunk(struct volume *vol, struct chunk *c, struct reason *why)
{
	_cleanup_chunk_ struct chunk *there = NULL;
	int err = check_chunk_mappable(vol, c, why);

	if (err)
		return err;
	there = chunk_map_find(&vol->chunks, c->logical);
	if (there && chunk_same(c, there))
		return 0;
	err = chunk_map_insert(&vol->chunks, c);
	if (err == -EEXIST)
		return chunk_refused(c, -EUCLEAN, "it overlaps another chunk, length", c->length,
				     why);
	return err;
}

static int add_item(struct volume *vol, u64 logical, const struct btrfs_chunk *item, u32 item_size,
		    struct reason *why)
{
	_cleanup_chunk_ struct chunk *c = NULL;
	struct check_env env = volume_env(vol);
	int err = check_chunk(&env, logical, item, item_size, why);

	if (err)
		return err;
	c = chunk_from_disk(logical, item);
	return c ? add_chunk(vol, c, why) : -ENOMEM;
}

static int logged(int err, const struct reason *why)
{
	if (err)
		log_fault("%s", why->text);
	return err;
}

int volume_add_chunk_item(struct volume *vol, u64 logical, const struct btrfs_chunk *item,
			  u32 item_size)
{
	struct reason why = {0};

	return logged(add_item(vol, logical, item, item_size, &why), &why);
}

bool volume_chunk_writable(const struct volume *vol, const struct chunk *chunk)
{
	for (u16 i = 0; i < chunk->num_stripes; i++) {
		const struct member *m = stripe_member(vol, chunk, i);

		if (m && m->seed)
			return false;
	}
	return true;
}

int volume_add_chunk(struct volume *vol, struct chunk *chunk)
{
	struct reason why = {0};

	return logged(add_chunk(vol, chunk, &why), &why);
}

static int array_bad(u32 at, const char *what, struct reason *why)
{
	reason_set(why, "superblock: system chunk array at %u: %s", at, what);
	return -EUCLEAN;
}

int volume_read_system_chunks(struct volume *vol, struct reason *why)
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
		err = add_item(vol, k.offset, chunk, item_size, why);
		if (err)
			return err;
		at += head + item_size;
	}
	return 0;
}
