/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chunk_layout.c - see chunk_layout.h. Pure functions over values.
 *
 * All stripes of one device come from one hole if it is long enough for the full size, and otherwise
 * from the longest hole, as the kernel does it; where that would be less than two holes give, DUP's
 * stripes get a hole each.
 */
#include "core/space/chunk_layout.h"

#include <errno.h>

#include "disk/format/ondisk.h"

#define STRIPE_MIN MIB(1)
#define CHUNK_ROUND MIB(16)
#define BIG_FS GIB(50)
#define DEVICES_MAX 256
#define ROOM_ROUNDS 64

static int by_start(const void *a, const void *b)
{
	const struct device_taken *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Notes [from, to) if anything aligned is left of it. */
static size_t add_hole(struct device_hole *holes, size_t n, u64 from, u64 to)
{
	from = ALIGN_UP(from, STRIPE_LEN);
	to = ALIGN_DOWN(to, STRIPE_LEN);
	if (from >= to)
		return n;
	holes[n] = (struct device_hole){from, to - from};
	return n + 1;
}

size_t device_holes_find(struct device_taken *taken, size_t count, u64 total,
			 struct device_hole *holes)
{
	u64 at = DEVICE_RESERVED;
	size_t n = 0;

	if (count)
		qsort(taken, count, sizeof(*taken), by_start);
	for (size_t i = 0; i < count; i++) {
		n = add_hole(holes, n, at, MIN(taken[i].start, total));
		at = MAX(at, taken[i].start + taken[i].len);
	}
	return add_hole(holes, n, at, total);
}

u64 device_holes_room(const struct device_hole *holes, size_t count)
{
	u64 room = 0;

	for (size_t i = 0; i < count; i++)
		room += holes[i].len >= 2 * STRIPE_MIN ? holes[i].len : 0;
	return room;
}

static int by_room(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* How many of the devices with room a chunk takes; 0: too few. */
static unsigned devices_taken(const struct raid_profile *p, size_t count)
{
	unsigned n = (unsigned)MIN(count, (size_t)CHUNK_LAYOUT_STRIPES);

	n = p->devs_max ? MIN(n, p->devs_max) : n - n % p->devs_step;
	return n < p->devs_min ? 0 : n;
}

u64 chunk_room(const struct raid_profile *p, u64 *room, size_t count)
{
	u64 bytes = 0;

	for (unsigned round = 0; round < ROOM_ROUNDS; round++) {
		unsigned n;
		u64 take;

		qsort(room, count, sizeof(*room), by_room);
		while (count && room[count - 1] < STRIPE_MIN * p->dev_stripes)
			count--;
		n = devices_taken(p, count);
		if (!n)
			break;
		/* in steps, so that pairs of unequal devices come out even */
		take = n == count || n == 1 ? room[n - 1] :
					      MIN(room[n - 1], MAX(room[0] / 8, STRIPE_MIN * 16));
		bytes += take / p->dev_stripes * raid_data_stripes(p, n * p->dev_stripes);
		for (unsigned i = 0; i < n; i++)
			room[i] -= take;
	}
	return bytes;
}

/* ---- sizes ---- */

static u64 chunk_max(u64 type, u64 fs_bytes)
{
	if (type & BTRFS_BLOCK_GROUP_SYSTEM)
		return MIB(32);
	if (type & BTRFS_BLOCK_GROUP_METADATA && !(type & BTRFS_BLOCK_GROUP_DATA))
		return fs_bytes > BIG_FS ? GIB(1) : MIB(256);
	return GIB(10);
}

u64 chunk_stripe_max(u64 type, const struct raid_profile *p, unsigned stripes, u64 fs_bytes)
{
	u64 whole = chunk_max(type, fs_bytes);
	u64 chunk = MIN(whole, fs_bytes / 10);
	u64 data = MAX(raid_data_stripes(p, stripes), 1u);
	u64 stripe = ALIGN_UP(DIV_ROUND_UP(chunk, data), CHUNK_ROUND), limit = MIN(whole, GIB(1));

	return ALIGN_DOWN(MIN(stripe, limit), STRIPE_LEN);
}

/* ---- places ---- */

/* The first hole of @want bytes, or the longest. */
static const struct device_hole *pick_hole(const struct device_holes *dev, u64 want)
{
	const struct device_hole *best = NULL;

	for (size_t i = 0; i < dev->count; i++) {
		if (dev->holes[i].len >= want)
			return &dev->holes[i];
		if (!best || dev->holes[i].len > best->len)
			best = &dev->holes[i];
	}
	return best;
}

/* @stripes side by side in the hole for @want, from l->at[first] on; the stripe's length. */
static u64 place_in_one(const struct device_holes *dev, unsigned stripes, u64 want, u64 max,
			unsigned first, struct chunk_layout *l)
{
	const struct device_hole *hole = pick_hole(dev, want);
	u64 len = hole ? ALIGN_DOWN(MIN(max, hole->len / stripes), STRIPE_LEN) : 0;

	for (unsigned i = 0; hole && i < stripes; i++) {
		l->at[first + i].devid = dev->devid;
		l->at[first + i].physical = hole->start + i * len;
	}
	return len;
}

/* Two stripes in the two longest holes; the stripe's length. */
static u64 place_in_two(const struct device_holes *dev, u64 max, struct chunk_layout *l)
{
	const struct device_hole *a = NULL, *b = NULL;

	for (size_t i = 0; i < dev->count; i++) {
		const struct device_hole *h = &dev->holes[i];

		if (!a || h->len > a->len) {
			b = a;
			a = h;
		} else if (!b || h->len > b->len) {
			b = h;
		}
	}
	if (!b)
		return 0;
	l->at[0].devid = l->at[1].devid = dev->devid;
	l->at[0].physical = a->start;
	l->at[1].physical = b->start;
	return MIN(max, b->len);
}

static u64 place_dup(const struct device_holes *dev, u64 want, u64 max, struct chunk_layout *ret)
{
	struct chunk_layout two = {0};
	u64 len = place_in_one(dev, 2, want, max, 0, ret);
	u64 apart = len < max ? place_in_two(dev, max, &two) : 0;

	if (apart > len)
		*ret = two;
	return MAX(len, apart);
}

/* One stripe on each of the devices, all as long as the shortest hole allows. */
static u64 place_spread(const struct device_holes *devs, unsigned n, u64 want, u64 max,
			struct chunk_layout *ret)
{
	u64 len = max;

	for (unsigned i = 0; i < n; i++) {
		u64 one = place_in_one(&devs[i], 1, want, max, i, ret);

		len = MIN(len, one);
	}
	return len;
}

/* ---- which devices ---- */

/* Candidate: a device, and the hole that it would give. */
struct candidate {
	struct device_holes dev;
	u64 avail;
};

static int by_avail(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->avail != y->avail)
		return x->avail < y->avail ? 1 : -1;
	if (x->dev.free != y->dev.free)
		return x->dev.free < y->dev.free ? 1 : -1;
	return x->dev.devid < y->dev.devid ? -1 : 1;
}

static u64 hole_for(const struct device_holes *dev, u64 want)
{
	const struct device_hole *hole = pick_hole(dev, want);

	return hole ? MIN(hole->len, want) : 0;
}

/* Puts the devices into the order in which they are taken; how many have room. */
static size_t rank_devices(struct device_holes *devs, size_t count, u64 want)
{
	struct candidate c[DEVICES_MAX];
	size_t n = 0;

	count = MIN(count, (size_t)DEVICES_MAX);
	for (size_t i = 0; i < count; i++)
		c[i] = (struct candidate){devs[i], hole_for(&devs[i], want)};
	qsort(c, count, sizeof(*c), by_avail);
	for (size_t i = 0; i < count; i++) {
		devs[i] = c[i].dev;
		n += c[i].avail >= STRIPE_MIN;
	}
	return n;
}

int chunk_layout(u64 type, u64 fs_bytes, struct device_holes *devs, size_t count,
		 struct chunk_layout *ret)
{
	const struct raid_profile *p = raid_profile_of(type);
	u64 whole = chunk_max(type, fs_bytes), want, max, len;
	struct chunk_layout l = {0};
	unsigned n;

	if (!p)
		return -EOPNOTSUPP;
	want = MIN(whole, GIB(1)) * p->dev_stripes;
	n = devices_taken(p, rank_devices(devs, count, want));
	if (!n)
		return -ENOSPC;
	l.stripes = n * p->dev_stripes;
	max = chunk_stripe_max(type, p, l.stripes, fs_bytes);
	len = p->dev_stripes == 2 ? place_dup(devs, want, max, &l) :
				       place_spread(devs, n, want, max, &l);
	if (len < STRIPE_MIN)
		return -ENOSPC;
	l.stripes = n * p->dev_stripes;
	l.stripe_len = len;
	l.length = len * raid_data_stripes(p, l.stripes);
	*ret = l;
	return 0;
}
