/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node_ops.c - moving pointers about in raw interior nodes. Pure; nothing checks for room.
 */
#include "core/tree/tree_internal.h"

#define PTR_SIZE ((u32)sizeof(struct btrfs_key_ptr))

static u8 *ptr_at(void *node, u32 slot)
{
	return (u8 *)node + NODE_HEADER_SIZE + slot * PTR_SIZE;
}

static void interior_open_gap(void *node, u32 slot, u32 count)
{
	u32 n = node_nritems(node);

	memmove(ptr_at(node, slot + count), ptr_at(node, slot), (n - slot) * PTR_SIZE);
	node_set_nritems(node, n + count);
}

void interior_insert_ptr(void *node, u32 slot, const struct key *key, u64 logical, u64 generation)
{
	interior_open_gap(node, slot, 1);
	node_set_ptr(node, slot, key, logical, generation);
}

void interior_remove_ptrs(void *node, u32 slot, u32 count)
{
	u32 n = node_nritems(node);

	memmove(ptr_at(node, slot), ptr_at(node, slot + count), (n - slot - count) * PTR_SIZE);
	node_set_nritems(node, n - count);
}

void interior_copy_ptrs(void *dst, u32 dst_slot, const void *src, u32 src_slot, u32 count)
{
	interior_open_gap(dst, dst_slot, count);
	memcpy(ptr_at(dst, dst_slot), node_ptr_at(src, src_slot), count * PTR_SIZE);
}
