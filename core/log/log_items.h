/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_items.h - items copied out of a tree, in the order in which they were added. Pure. */
#ifndef CORE_LOG_LOG_ITEMS_H
#define CORE_LOG_LOG_ITEMS_H

#include "disk/format/key.h"

struct log_item {
	struct key key;
	u32 at; /* in log_items.bytes */
	u32 size;
};

struct log_items {
	struct log_item *v;
	u32 count, room;
	u8 *bytes;
	u32 used, bytes_room;
};

/* Copies @size bytes. -ENOMEM: unchanged. */
_must_check_ int log_items_add(struct log_items *items, const struct key *key, const void *data,
			       u32 size);
void log_items_free(struct log_items *items);
#define _cleanup_log_items_ _cleanup_(log_items_free)

static inline const void *log_item_data(const struct log_items *items, u32 i)
{
	return items->bytes + items->v[i].at;
}

/* A number that differs if keys or contents do (in all likelihood). */
u32 log_items_digest(const struct log_items *items);

#endif
