/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_item.h - an extent item's bytes: head and inline references. Pure.
 *
 * Layout: refs, generation, flags; for a node under an EXTENT_ITEM key also its first key and
 * level; then inline references by ascending type, within a type by descending sequence (the hash
 * of a data reference, otherwise root or parent). The kernel stops searching where that order says
 * so, and its checker refuses another one.
 * An owner reference (simple quotas: who pays for a data extent) comes before them all. It is no
 * holder and belongs to the head here.
 */
#ifndef CORE_EXTENT_EXTENT_ITEM_H
#define CORE_EXTENT_EXTENT_ITEM_H

#include "core/extent/delayed_ref.h"
#include "disk/format/node.h"

#define EXTENT_ITEM_ROOM 8192u

/* An extent item taken out of the tree to be looked at or changed. */
struct extent_edit {
	struct key key;
	u32 size;
	u32 refs_at; /* where the inline references begin */
	u8 data[EXTENT_ITEM_ROOM];
};

/* References are kept inline while the item stays below this many bytes (a kernel rule). */
static inline u32 extent_item_limit(u32 nodesize)
{
	return (LEAF_DATA(nodesize) >> 4) - (u32)sizeof(struct btrfs_item);
}

static inline u64 extent_edit_refs(const struct extent_edit *e)
{
	return get_le64(e->data + offsetof(struct btrfs_extent_item, refs));
}

static inline void extent_edit_set_refs(struct extent_edit *e, u64 refs)
{
	put_le64(e->data + offsetof(struct btrfs_extent_item, refs), refs);
}

static inline u64 extent_edit_generation(const struct extent_edit *e)
{
	return get_le64(e->data + offsetof(struct btrfs_extent_item, generation));
}

static inline u64 extent_edit_flags(const struct extent_edit *e)
{
	return get_le64(e->data + offsetof(struct btrfs_extent_item, flags));
}

static inline void extent_edit_set_flags(struct extent_edit *e, u64 flags)
{
	put_le64(e->data + offsetof(struct btrfs_extent_item, flags), flags);
}

static inline bool extent_edit_is_data(const struct extent_edit *e)
{
	return (extent_edit_flags(e) & BTRFS_EXTENT_FLAG_DATA) != 0;
}

/* The subvolume that an owner reference names, 0 without one. */
u64 extent_edit_owner(const struct extent_edit *e);

/* A node's level, 0 for data. */
u8 extent_edit_level(const struct extent_edit *e);

/* Bytes of an inline reference of that type, its type byte included; 0: unknown type. */
u32 inline_ref_size(u8 type);

/* Takes over an item's bytes. -EUCLEAN if head or references do not fit into @size. */
_must_check_ int extent_edit_load(struct extent_edit *e, const struct key *key, const void *data,
				  u32 size);

/* A new item without references. @first_key only for a node under an EXTENT_ITEM key. */
void extent_edit_init(struct extent_edit *e, const struct key *key, u64 generation, u64 flags,
		      const struct key *first_key, u8 level);

/* Gives an item without references an owner reference. */
void extent_edit_set_owner(struct extent_edit *e, u64 owner);

/* Steps through the inline references: *pos begins at e->refs_at. 1 and *ret, or 0 at the end. */
int inline_ref_next(const struct extent_edit *e, u32 *pos, struct ref_count *ret);

/* 1: found at *pos, *count times. 0: not there, *pos is where it belongs. */
int inline_ref_find(const struct extent_edit *e, const struct ref *ref, u32 *pos, u32 *count);

/* @count more of @ref. -ENOENT: it is not there yet and @may_insert is false or the item would
 * reach @limit: use a keyed item. -EUCLEAN: overflow, or a node referenced twice by one holder. */
_must_check_ int inline_ref_add(struct extent_edit *e, const struct ref *ref, u32 count,
				bool may_insert, u32 limit);

/* @count less. -ENOENT: not inline. -EUCLEAN: fewer are there. */
_must_check_ int inline_ref_drop(struct extent_edit *e, const struct ref *ref, u32 count);

#endif
