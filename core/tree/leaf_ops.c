/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * leaf_ops.c - moving items about in raw leaves. Pure: bytes in, bytes out.
 *
 * Invariant kept by all: item data is dense and in slot order from the end of the node downwards,
 * so data of items [slot, n) is the block from the last item's offset to the offset that item
 * slot - 1 starts at. Offsets count from the end of the header.
 */
#include "core/tree/tree_internal.h"

#define ITEM_SIZE ((u32)sizeof(struct btrfs_item))

/* Where the data of the item before @slot starts = where that of @slot ends. */
static u32 leaf_data_top(const void *leaf, u32 nodesize, u32 slot)
{
	return slot ? leaf_item_offset(leaf, slot - 1) : LEAF_DATA(nodesize);
}

static u8 *leaf_bytes(void *leaf, u32 offset)
{
	return (u8 *)leaf + NODE_HEADER_SIZE + offset;
}

static u8 *leaf_header_at(void *leaf, u32 slot)
{
	return leaf_bytes(leaf, slot * ITEM_SIZE);
}

/* Data of all items from @slot on moves by @down bytes towards the headers (or up, if negative). */
static void leaf_slide_data(void *leaf, u32 slot, u32 top, s64 down)
{
	u32 n = node_nritems(leaf);
	u32 bottom;

	if (slot >= n || !down)
		return;
	bottom = leaf_item_offset(leaf, n - 1);
	memmove(leaf_bytes(leaf, (u32)(bottom - down)), leaf_bytes(leaf, bottom), top - bottom);
	for (u32 i = slot; i < n; i++)
		leaf_set_item_offset(leaf, i, (u32)(leaf_item_offset(leaf, i) - down));
}

/* Headers and data make way for @count items of @bytes data in all at @slot. */
static void leaf_open_gap(void *leaf, u32 nodesize, u32 slot, u32 count, u32 bytes)
{
	u32 n = node_nritems(leaf);

	leaf_slide_data(leaf, slot, leaf_data_top(leaf, nodesize, slot), bytes);
	memmove(leaf_header_at(leaf, slot + count), leaf_header_at(leaf, slot),
		(n - slot) * ITEM_SIZE);
	node_set_nritems(leaf, n + count);
}

u32 leaf_items_bytes(const void *leaf, u32 from, u32 to)
{
	u32 bytes = (to - from) * ITEM_SIZE;

	if (from >= to)
		return 0;
	return bytes + leaf_item_offset(leaf, from) + leaf_item_size(leaf, from) -
	       leaf_item_offset(leaf, to - 1);
}

u32 leaf_used(const void *leaf, u32 nodesize)
{
	return LEAF_DATA(nodesize) - leaf_free_space(leaf, nodesize);
}

void leaf_insert_item(void *leaf, u32 nodesize, u32 slot, const struct key *key, u32 size)
{
	u32 top = leaf_data_top(leaf, nodesize, slot);

	leaf_open_gap(leaf, nodesize, slot, 1, size);
	leaf_set_item(leaf, slot, key, top - size, size);
	memset(leaf_bytes(leaf, top - size), 0, size);
}

void leaf_remove_items(void *leaf, u32 nodesize, u32 slot, u32 count)
{
	u32 n = node_nritems(leaf);
	u32 top = leaf_data_top(leaf, nodesize, slot);
	u32 gone = top - leaf_item_offset(leaf, slot + count - 1);

	leaf_slide_data(leaf, slot + count, top - gone, -(s64)gone);
	memmove(leaf_header_at(leaf, slot), leaf_header_at(leaf, slot + count),
		(n - slot - count) * ITEM_SIZE);
	node_set_nritems(leaf, n - count);
}

void leaf_copy_items(void *dst, u32 nodesize, u32 dst_slot, const void *src, u32 src_slot,
		     u32 count)
{
	u32 bytes, top, bottom;

	if (!count)
		return;
	bytes = leaf_items_bytes(src, src_slot, src_slot + count) - count * ITEM_SIZE;
	bottom = leaf_item_offset(src, src_slot + count - 1);
	top = leaf_data_top(dst, nodesize, dst_slot);
	leaf_open_gap(dst, nodesize, dst_slot, count, bytes);
	memcpy(leaf_header_at(dst, dst_slot), leaf_item_at(src, src_slot), count * ITEM_SIZE);
	memcpy(leaf_bytes(dst, top - bytes), (const u8 *)src + NODE_HEADER_SIZE + bottom, bytes);
	for (u32 i = 0; i < count; i++)
		leaf_set_item_offset(dst, dst_slot + i,
				     leaf_item_offset(src, src_slot + i) - bottom + top - bytes);
}

void leaf_grow_item(void *leaf, u32 slot, u32 delta)
{
	u32 offset = leaf_item_offset(leaf, slot);
	u32 size = leaf_item_size(leaf, slot);

	leaf_slide_data(leaf, slot, offset + size, delta);
	leaf_set_item_size(leaf, slot, size + delta);
	memset(leaf_bytes(leaf, offset - delta + size), 0, delta);
}

void leaf_shrink_item(void *leaf, u32 slot, u32 new_size, bool from_front)
{
	u32 offset = leaf_item_offset(leaf, slot);
	u32 cut = leaf_item_size(leaf, slot) - new_size;

	if (from_front)
		memmove(leaf_bytes(leaf, offset), leaf_bytes(leaf, offset + cut), new_size);
	leaf_slide_data(leaf, slot, offset + new_size, -(s64)cut);
	leaf_set_item_size(leaf, slot, new_size);
}
