/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node.h - accessors over the raw bytes of a tree node. Pure, no bounds checks: a node read from a
 * device has passed check_node() before any of these touches it, and slots are below
 * node_nritems(). A leaf's item offsets count from the end of the header (as on disk); item data
 * grows down from the end.
 */
#ifndef DISK_FORMAT_NODE_H
#define DISK_FORMAT_NODE_H

#include "disk/format/key.h"

#define NODE_HEADER_SIZE ((u32)sizeof(struct btrfs_header))
#define LEAF_DATA(nodesize) ((u32)(nodesize)-NODE_HEADER_SIZE)
#define NODE_PTRS_MAX(nodesize) (LEAF_DATA(nodesize) / (u32)sizeof(struct btrfs_key_ptr))
/* Largest data that one item can have. */
#define LEAF_ITEM_MAX(nodesize) (LEAF_DATA(nodesize) - (u32)sizeof(struct btrfs_item))

#define NODE_FIELD64(name, member)                                                                 \
	static inline u64 node_##name(const void *node)                                            \
	{                                                                                          \
		return get_le64((const u8 *)node + offsetof(struct btrfs_header, member));         \
	}                                                                                          \
	static inline void node_set_##name(void *node, u64 v)                                      \
	{                                                                                          \
		put_le64((u8 *)node + offsetof(struct btrfs_header, member), v);                   \
	}
NODE_FIELD64(bytenr, bytenr)
NODE_FIELD64(generation, generation)
NODE_FIELD64(owner, owner)
NODE_FIELD64(raw_flags, flags) /* flags and backref revision as one word */
#undef NODE_FIELD64

/* BTRFS_HEADER_FLAG_*, without the backref revision. */
static inline u64 node_flags(const void *node)
{
	return node_raw_flags(node) & NODE_FLAGS_MASK;
}

static inline void node_set_flags(void *node, u64 flags)
{
	node_set_raw_flags(node,
			   (node_raw_flags(node) & ~NODE_FLAGS_MASK) | (flags & NODE_FLAGS_MASK));
}

static inline unsigned node_backref_rev(const void *node)
{
	return (unsigned)(node_raw_flags(node) >> NODE_BACKREF_REV_SHIFT);
}

static inline void node_set_backref_rev(void *node, u64 rev)
{
	node_set_raw_flags(node, node_flags(node) | rev << NODE_BACKREF_REV_SHIFT);
}

static inline u8 node_level(const void *node)
{
	return ((const struct btrfs_header *)node)->level;
}

static inline void node_set_level(void *node, u8 level)
{
	((struct btrfs_header *)node)->level = level;
}

static inline u32 node_nritems(const void *node)
{
	return get_le32((const u8 *)node + offsetof(struct btrfs_header, nritems));
}

static inline void node_set_nritems(void *node, u32 n)
{
	put_le32((u8 *)node + offsetof(struct btrfs_header, nritems), n);
}

static inline u8 *node_fsid(void *node)
{
	return ((struct btrfs_header *)node)->fsid;
}

static inline u8 *node_chunk_tree_uuid(void *node)
{
	return ((struct btrfs_header *)node)->chunk_tree_uuid;
}

/* Interior nodes */

static inline const u8 *node_ptr_at(const void *node, u32 slot)
{
	return (const u8 *)node + NODE_HEADER_SIZE + slot * sizeof(struct btrfs_key_ptr);
}

static inline u64 node_blockptr(const void *node, u32 slot)
{
	return get_le64(node_ptr_at(node, slot) + offsetof(struct btrfs_key_ptr, blockptr));
}

static inline u64 node_ptr_generation(const void *node, u32 slot)
{
	return get_le64(node_ptr_at(node, slot) + offsetof(struct btrfs_key_ptr, generation));
}

static inline void node_set_ptr(void *node, u32 slot, const struct key *k, u64 blockptr,
				u64 generation)
{
	u8 *p = (u8 *)node + NODE_HEADER_SIZE + slot * sizeof(struct btrfs_key_ptr);

	key_to_disk(p, k);
	put_le64(p + offsetof(struct btrfs_key_ptr, blockptr), blockptr);
	put_le64(p + offsetof(struct btrfs_key_ptr, generation), generation);
}

/* Leaves */

static inline const u8 *leaf_item_at(const void *node, u32 slot)
{
	return (const u8 *)node + NODE_HEADER_SIZE + slot * sizeof(struct btrfs_item);
}

/* From the end of the header. */
static inline u32 leaf_item_offset(const void *node, u32 slot)
{
	return get_le32(leaf_item_at(node, slot) + offsetof(struct btrfs_item, offset));
}

static inline u32 leaf_item_size(const void *node, u32 slot)
{
	return get_le32(leaf_item_at(node, slot) + offsetof(struct btrfs_item, size));
}

static inline const u8 *leaf_data(const void *node, u32 slot)
{
	return (const u8 *)node + NODE_HEADER_SIZE + leaf_item_offset(node, slot);
}

static inline u8 *leaf_data_mut(void *node, u32 slot)
{
	return (u8 *)node + NODE_HEADER_SIZE + leaf_item_offset(node, slot);
}

static inline void leaf_set_item(void *node, u32 slot, const struct key *k, u32 offset, u32 size)
{
	u8 *p = (u8 *)node + NODE_HEADER_SIZE + slot * sizeof(struct btrfs_item);

	key_to_disk(p, k);
	put_le32(p + offsetof(struct btrfs_item, offset), offset);
	put_le32(p + offsetof(struct btrfs_item, size), size);
}

static inline void leaf_set_item_offset(void *node, u32 slot, u32 offset)
{
	put_le32((u8 *)node + NODE_HEADER_SIZE + slot * sizeof(struct btrfs_item) +
			 offsetof(struct btrfs_item, offset),
		 offset);
}

static inline void leaf_set_item_size(void *node, u32 slot, u32 size)
{
	put_le32((u8 *)node + NODE_HEADER_SIZE + slot * sizeof(struct btrfs_item) +
			 offsetof(struct btrfs_item, size),
		 size);
}

/* Bytes between the item headers and the item data. */
static inline u32 leaf_free_space(const void *node, u32 nodesize)
{
	u32 n = node_nritems(node);
	u32 data_start = n ? leaf_item_offset(node, n - 1) : LEAF_DATA(nodesize);

	return data_start - n * (u32)sizeof(struct btrfs_item);
}

/* Either kind */

static inline struct key node_key(const void *node, u32 slot)
{
	return key_from_disk(node_level(node) ? node_ptr_at(node, slot) : leaf_item_at(node, slot));
}

static inline void node_set_key(void *node, u32 slot, const struct key *k)
{
	u32 stride = node_level(node) ? sizeof(struct btrfs_key_ptr) : sizeof(struct btrfs_item);

	key_to_disk((u8 *)node + NODE_HEADER_SIZE + slot * stride, k);
}

/* First slot whose key is >= @k (node_nritems() if none); *@exact tells whether it is equal. */
u32 node_bsearch(const void *node, const struct key *k, bool *exact);

#endif
