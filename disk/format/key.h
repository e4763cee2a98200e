/* SPDX-License-Identifier: GPL-2.0-or-later */
/* key.h - the address of an item: (objectid, type, offset), ordered in that order. Pure. */
#ifndef DISK_FORMAT_KEY_H
#define DISK_FORMAT_KEY_H

#include "disk/format/ondisk.h"

struct key {
	u64 objectid;
	u8 type;
	u64 offset;
};

#define KEY(o, t, f) ((struct key){.objectid = (o), .type = (t), .offset = (f)})
#define KEY_MIN ((struct key){0, 0, 0})
#define KEY_MAX ((struct key){UINT64_MAX, UINT8_MAX, UINT64_MAX})

/* For printf: "(%llu %u %llu)". */
#define KEY_FMT "(%llu %u %llu)"
#define KEY_ARG(k)                                                                                 \
	(unsigned long long)(k).objectid, (unsigned)(k).type, (unsigned long long)(k).offset

static inline int key_cmp(const struct key *a, const struct key *b)
{
	if (a->objectid != b->objectid)
		return a->objectid < b->objectid ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

static inline bool key_equal(const struct key *a, const struct key *b)
{
	return a->offset == b->offset && a->objectid == b->objectid && a->type == b->type;
}

/* The next key in the order; KEY_MAX stays KEY_MAX. */
static inline struct key key_next(struct key k)
{
	if (k.offset != UINT64_MAX)
		k.offset++;
	else if (k.type != UINT8_MAX)
		k.type++, k.offset = 0;
	else if (k.objectid != UINT64_MAX)
		k.objectid++, k.type = 0, k.offset = 0;
	return k;
}

/* The key before in the order; KEY_MIN stays KEY_MIN. */
static inline struct key key_prev(struct key k)
{
	if (k.offset)
		k.offset--;
	else if (k.type)
		k.type--, k.offset = UINT64_MAX;
	else if (k.objectid)
		k.objectid--, k.type = UINT8_MAX, k.offset = UINT64_MAX;
	return k;
}

/* @disk may be any 17 bytes, aligned or not. */
static inline struct key key_from_disk(const void *disk)
{
	const u8 *p = disk;

	return (struct key){.objectid = get_le64(p), .type = p[8], .offset = get_le64(p + 9)};
}

static inline void key_to_disk(void *disk, const struct key *k)
{
	u8 *p = disk;

	put_le64(p, k->objectid);
	p[8] = k->type;
	put_le64(p + 9, k->offset);
}

#endif
