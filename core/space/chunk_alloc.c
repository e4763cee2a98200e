/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chunk_alloc.c - new chunks, made in memory and written by the next commit.
 *
 * Invariants: the chunk map holds every device extent that is or may still be in use: chunks that are
 * not written yet, and removed ones until they are forgotten; so a hole in it is free for good
 *. The first MiB of a device is no hole. Nothing on disk refers to a pending chunk before
 * the commit that writes its items.
 * Lock: the table lock for writing makes "find a hole and take it" one step. No I/O, no wait.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/chunk_layout.h"
#include "core/space/space_impl.h"
#include "disk/base/sync_point.h"

/* ---- holes ---- */

/* Device extents of all chunks, as many as fit into @room. */
static size_t collect_taken(struct fs *fs, u64 devid, struct device_taken *taken, size_t room)
{
	size_t count = 0;
	u64 at = 0;

	for (;;) {
		_cleanup_chunk_ struct chunk *c = chunk_map_next(volume_chunks(fs->vol), at);

		if (!c)
			return count;
		at = c->logical + c->length;
		for (unsigned i = 0; i < c->num_stripes; i++) {
			if (c->stripes[i].devid != devid)
				continue;
			if (count < room)
				taken[count] = (struct device_taken){c->stripes[i].physical,
								     chunk_stripe_bytes(c)};
			count++;
		}
	}
}

/* Holes of one device. */
static int find_device_holes(struct fs *fs, const struct volume_device *dev,
			     struct device_holes *ret)
{
	_cleanup_free_ struct device_taken *taken = NULL;
	size_t room = 0, count;

	/* Chunks may come or go between two walks; both are harmless once all fit. */
	while ((count = collect_taken(fs, dev->devid, taken, room)) > room) {
		free(taken);
		room = count + 8;
		taken = malloc(room * sizeof(*taken));
		if (!taken)
			return -ENOMEM;
	}
	ret->holes = malloc((count + 1) * sizeof(*ret->holes));
	if (!ret->holes)
		return -ENOMEM;
	ret->devid = dev->devid;
	ret->free = dev->total_bytes - MIN(dev->total_bytes, dev->bytes_used);
	ret->count = device_holes_find(taken, count, dev->total_bytes, ret->holes);
	return 0;
}

/* Holes of all devices that may be written to. */
struct hole_list {
	struct device_holes *devs;
	size_t count;
};

static void hole_list_free(struct hole_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->devs[i].holes);
	free(l->devs);
}

static int find_holes(struct fs *fs, struct hole_list *ret)
{
	unsigned count = volume_device_count(fs->vol);

	ret->devs = calloc(count, sizeof(*ret->devs));
	if (!ret->devs)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		struct volume_device dev;
		int r;

		volume_device_at(fs->vol, i, &dev);
		if (!dev.writable)
			continue;
		r = find_device_holes(fs, &dev, &ret->devs[ret->count]);
		if (r < 0)
			return r;
		ret->count++;
	}
	return 0;
}

/* A conversion's beginning and end change it. */
static u64 metadata_profile(struct space *s)
{
	MUTEX_SCOPE(&s->lock);
	return s->info[SPACE_METADATA].profile;
}

/* Room for metadata chunks and raw, from the holes. */
static int measure_room(struct fs *fs, const struct hole_list *holes, u64 *meta, u64 *raw)
{
	_cleanup_free_ u64 *room = calloc(holes->count + 1, sizeof(*room));
	const struct raid_profile *p = raid_profile_of(metadata_profile(fs->space));

	if (!room)
		return -ENOMEM;
	*raw = 0;
	for (size_t i = 0; i < holes->count; i++) {
		room[i] = device_holes_room(holes->devs[i].holes, holes->devs[i].count);
		*raw += room[i];
		/* a chunk for the chunk tree may have to be made, too */
		room[i] -= MIN(room[i], MIB(4) * p->dev_stripes / 2);
	}
	*meta = chunk_room(p, room, holes->count);
	return 0;
}

int chunk_room_refresh(struct fs *fs)
{
	_cleanup_(hole_list_free) struct hole_list holes = {0};
	u64 meta = 0, raw = 0;
	int r = find_holes(fs, &holes);

	if (r == 0)
		r = measure_room(fs, &holes, &meta, &raw);
	if (r < 0)
		return r;
	MUTEX_SCOPE(&fs->space->lock);
	fs->space->raw_room = raw;
	fs->space->meta_room = meta;
	return 0;
}

u64 chunk_meta_room(const struct space *s, u64 raw)
{
	u64 left = s->raw_room - MIN(raw, s->raw_room);

	/* A part, since holes do not divide without a rest. */
	return s->raw_room ? (u64)((double)s->meta_room * left / s->raw_room) * 3 / 4 : 0;
}

unsigned space_writable_devices(struct fs *fs)
{
	unsigned count = volume_device_count(fs->vol), writable = 0;

	for (unsigned i = 0; i < count; i++) {
		struct volume_device dev;

		volume_device_at(fs->vol, i, &dev);
		writable += dev.writable;
	}
	return writable;
}

/* ---- making one ---- */

/* Behind everything that has an address or, since the mount, had one: to whoever watches a balance an
 * address never means two chunks. Table lock held for writing. */
static u64 next_logical(struct fs *fs)
{
	_cleanup_chunk_ struct chunk *last = chunk_map_prev(volume_chunks(fs->vol), UINT64_MAX);
	u64 end = last ? ALIGN_UP(last->logical + last->length, STRIPE_LEN) : DEVICE_RESERVED;

	return MAX(end, fs->space->logical_end);
}

static struct chunk *build_chunk(struct fs *fs, u64 type, const struct chunk_layout *l)
{
	struct chunk *c = calloc(1, sizeof(*c) + l->stripes * sizeof(c->stripes[0]));

	if (!c)
		return NULL;
	c->logical = next_logical(fs);
	c->length = l->length;
	c->type = type;
	c->owner = BTRFS_EXTENT_TREE_OBJECTID;
	c->io_align = c->io_width = c->stripe_len = STRIPE_LEN;
	c->sector_size = fs->sectorsize;
	c->num_stripes = (u16)l->stripes;
	c->sub_stripes = (u16)raid_profile_of(type)->sub_stripes;
	c->refs = 1;
	for (unsigned i = 0; i < l->stripes; i++) {
		struct volume_device dev = {0};

		c->stripes[i].devid = l->at[i].devid;
		c->stripes[i].physical = l->at[i].physical;
		(void)volume_device_find(fs->vol, l->at[i].devid, &dev);
		memcpy(c->stripes[i].dev_uuid, dev.uuid, BTRFS_UUID_SIZE);
	}
	return c;
}

static int layout_chunk(struct fs *fs, u64 type, struct chunk_layout *ret)
{
	_cleanup_(hole_list_free) struct hole_list holes = {0};
	int r = find_holes(fs, &holes);

	if (r == 0)
		r = chunk_layout(type, get_le64(&fs->super.total_bytes), holes.devs, holes.count,
				 ret);
	return r;
}

/* Enters the group everywhere. Table lock held for writing. */
static void register_group(struct space *s, struct block_group *bg)
{
	struct space_info *info = group_info(s, bg);

	group_table_insert(s, bg);
	s->chunk_count[space_kind_of(bg->flags)]++;
	MUTEX_SCOPE(&s->lock);
	MUTEX_SCOPE(&bg->lock);
	bg->pending = true;
	bg->tree_missing = true;
	group_sums_add(bg);
	info->hint = bg->logical;
	block_group_ref(bg); /* the macro evaluates its arguments more than once */
	TAILQ_INSERT_TAIL(&s->pending, bg, pending_link);
	group_mark_dirty(s, bg);
}

/* Table lock held for writing. */
static int make_chunk(struct fs *fs, u64 type)
{
	_cleanup_group_ struct block_group *bg = NULL;
	_cleanup_chunk_ struct chunk *chunk = NULL;
	struct chunk_layout layout;
	int r = layout_chunk(fs, type, &layout);

	if (r < 0)
		return r;
	chunk = build_chunk(fs, type, &layout);
	if (!chunk)
		return -ENOMEM;
	bg = group_create(fs, chunk);
	if (!bg)
		return -ENOMEM;
	r = group_load_fresh(bg, chunk);
	if (r == 0)
		r = volume_add_chunk(fs->vol, chunk);
	if (r < 0)
		return r;
	register_group(fs->space, bg);
	return chunk_room_refresh(fs);
}

/* Profiles of the groups of one kind, or-ed. */
static u64 profiles_in_use(struct fs *fs, enum space_kind kind)
{
	u64 flags = 0, at = 0;

	for (;;) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, at);

		if (!bg)
			return flags & BTRFS_BLOCK_GROUP_PROFILE_MASK;
		at = bg->logical + bg->length;
		if (space_kind_of(bg->flags) == kind)
			flags |= bg->flags;
	}
}

void space_update_profiles(struct fs *fs)
{
	unsigned devices = space_writable_devices(fs);

	for (int kind = 0; kind < SPACE_KINDS; kind++) {
		u64 flags = profiles_in_use(fs, (enum space_kind)kind);

		MUTEX_SCOPE(&fs->space->lock);
		if (!fs->space->info[kind].converting)
			fs->space->info[kind].profile =
				devices ? raid_profile_choose(flags, devices) : flags & -flags;
	}
}

/* A data chunk must not take the room that metadata was promised. */
static int check_room(struct fs *fs, enum space_kind kind, u64 queued, u64 *type)
{
	struct space *s = fs->space;
	const struct raid_profile *p;
	unsigned stripes;
	u64 raw;
	int r = 0;

	space_update_profiles(fs);
	stripes = space_writable_devices(fs);
	MUTEX_SCOPE(&s->lock);
	*type = space_kind_flag(s, kind) | s->info[kind].profile;
	p = raid_profile_of(*type);
	stripes = (p->devs_max ? p->devs_max : MAX(stripes, 1u)) * p->dev_stripes;
	raw = stripes * chunk_stripe_max(*type, p, stripes, get_le64(&fs->super.total_bytes));
	if (kind == SPACE_DATA && !space_meta_covered(s, queued, MIN(raw, s->raw_room)))
		r = -ENOSPC;
	return r;
}

/* What a system chunk adds to the superblock must fit there. Table lock held. */
static int check_sys_array(struct fs *fs, u64 type)
{
	const struct raid_profile *p = raid_profile_of(type);
	unsigned stripes = p->devs_max ? p->devs_max * p->dev_stripes : space_writable_devices(fs);
	size_t each = sizeof(struct btrfs_disk_key) + sizeof(struct btrfs_chunk) +
		      (stripes - 1) * sizeof(struct btrfs_stripe);
	size_t count = 1;
	u64 at = 0;

	for (;;) {
		_cleanup_chunk_ struct chunk *c = chunk_map_next(volume_chunks(fs->vol), at);

		if (!c)
			break;
		at = c->logical + c->length;
		count += c->type & BTRFS_BLOCK_GROUP_SYSTEM ? 1 : 0;
	}
	return count * each <= SUPER_SYS_ARRAY_SIZE ? 0 : -ENOSPC;
}

int space_ensure_system(struct fs *fs)
{
	struct space *s = fs->space;
	u64 chunks = space_chunk_count(s, SPACE_SYSTEM), free;

	mutex_lock(&s->lock);
	free = s->info[SPACE_SYSTEM].free_loaded;
	mutex_unlock(&s->lock);
	if (free >= 2 * NODE_LEVEL_MAX * (u64)fs->nodesize)
		return 0;
	return chunk_alloc(fs, SPACE_SYSTEM, chunks);
}

int chunk_alloc(struct fs *fs, enum space_kind kind, u64 chunk_count)
{
	u64 type = 0, queued = space_queued_bytes(fs);
	int r = kind == SPACE_SYSTEM ? 0 : space_ensure_system(fs);

	if (r == 0)
		r = check_room(fs, kind, queued, &type);
	if (r == 0)
		r = SP_FAIL("al.chunk");
	if (r < 0)
		return r;
	WRLOCK_SCOPE(&fs->space->table_lock);
	if (fs->space->chunk_count[kind] != chunk_count)
		return 0;
	if (kind == SPACE_SYSTEM)
		r = check_sys_array(fs, type);
	return r < 0 ? r : make_chunk(fs, type);
}

int space_alloc_chunk(struct fs *fs, u64 type)
{
	return chunk_alloc(fs, space_kind_of(type), space_chunk_count(fs->space, space_kind_of(type)));
}
