/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chunk_layout.c - see chunk_layout.h. Pure functions over values.
 *
 * All stripes of one device come from one hole if it is long enough for the full size, and otherwise
 * from the longest hole, as the kernel does it; where that would be less than two holes give, each
 * stripe gets a hole of its own.
 */
#include "core/space/chunk_layout.h"

#include <errno.h>

#include "disk/format/ondisk.h"

#define STRIPE_MIN MIB(1)
#define CHUNK_ROUND MIB(16)
#define BIG_FS GIB(50)

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

static u64 chunk_max(u64 type, u64 fs_bytes)
{
	if (type & BTRFS_BLOCK_GROUP_SYSTEM)
		return MIB(32);
	if (type & BTRFS_BLOCK_GROUP_METADATA)
		return fs_bytes > BIG_FS ? GIB(1) : MIB(256);
	return GIB(1);
}

u64 chunk_stripe_max(u64 type, const struct raid_profile *p, u64 fs_bytes)
{
	u64 whole = chunk_max(type, fs_bytes);
	u64 tenth = ALIGN_UP(fs_bytes / 10, CHUNK_ROUND);
	unsigned data_stripes = raid_data_stripes(p, p->dev_stripes * p->devs_min);

	return ALIGN_UP(MIN(whole, tenth) / MAX(data_stripes, 1u), STRIPE_LEN);
}

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

/* All stripes side by side in one hole; the stripe's length. */
static u64 place_in_one(const struct device_holes *dev, unsigned stripes, u64 max,
			struct chunk_layout *l)
{
	const struct device_hole *hole = pick_hole(dev, max * stripes);
	u64 len = hole ? ALIGN_DOWN(MIN(max, hole->len / stripes), STRIPE_LEN) : 0;

	for (unsigned i = 0; hole && i < stripes; i++) {
		l->at[i].devid = dev->devid;
		l->at[i].physical = hole->start + i * len;
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

int chunk_layout(u64 type, u64 fs_bytes, const struct device_holes *dev, struct chunk_layout *ret)
{
	const struct raid_profile *p = raid_profile_of(type);
	struct chunk_layout one = {0}, two = {0};
	u64 max, len, apart;

	if (!p || p->devs_min > 1 || p->dev_stripes > CHUNK_LAYOUT_STRIPES)
		return -EOPNOTSUPP;
	max = chunk_stripe_max(type, p, fs_bytes);
	len = place_in_one(dev, p->dev_stripes, max, &one);
	apart = p->dev_stripes == 2 && len < max ? place_in_two(dev, max, &two) : 0;
	*ret = apart > len ? two : one;
	len = MAX(len, apart);
	if (len < STRIPE_MIN)
		return -ENOSPC;
	ret->stripe_len = len;
	ret->stripes = p->dev_stripes;
	ret->length = len * raid_data_stripes(p, p->dev_stripes);
	return 0;
}
