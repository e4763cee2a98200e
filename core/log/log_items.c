/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_items.c - see log_items.h. */
#include "core/log/log_items.h"

#include "disk/codec/csum.h"

void log_items_free(struct log_items *items)
{
	free(items->v);
	free(items->bytes);
	*items = (struct log_items){};
}

static int make_room(struct log_items *items, u32 size)
{
	u32 bytes_room = items->bytes_room ? items->bytes_room : 512;
	u32 room = items->room ? items->room * 2 : 8;

	while (bytes_room - items->used < size && bytes_room < UINT32_MAX / 2)
		bytes_room *= 2;
	if (bytes_room - items->used < size)
		return -ENOMEM;
	if (bytes_room != items->bytes_room) {
		u8 *grown = realloc(items->bytes, bytes_room);

		if (!grown)
			return -ENOMEM;
		items->bytes = grown;
		items->bytes_room = bytes_room;
	}
	if (items->count == items->room) {
		struct log_item *grown = reallocarray(items->v, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		items->v = grown;
		items->room = room;
	}
	return 0;
}

int log_items_add(struct log_items *items, const struct key *key, const void *data, u32 size)
{
	int r = make_room(items, size);

	if (r < 0)
		return r;
	items->v[items->count++] = (struct log_item){ *key, items->used, size };
	memcpy(items->bytes + items->used, data, size);
	items->used += size;
	return 0;
}

u32 log_items_digest(const struct log_items *items)
{
	u32 state = ~0u;

	for (u32 i = 0; i < items->count; i++) {
		const struct log_item *it = &items->v[i];

		state = crc32c_raw(state, &it->key.objectid, sizeof(it->key.objectid));
		state = crc32c_raw(state, &it->key.type, sizeof(it->key.type));
		state = crc32c_raw(state, &it->key.offset, sizeof(it->key.offset));
		state = crc32c_raw(state, log_item_data(items, i), it->size);
	}
	return state;
}
