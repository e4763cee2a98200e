/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_item.c - encoding, finding, adding and dropping inline references. Pure; no locks.
 *
 * An item is edited in memory and written back once for all queued changes of an extent. Loading
 * walks all references once, so that everything after it may trust their sizes.
 */
#include "core/extent/extent_item.h"

#include "disk/format/hash.h"

#define HEAD_SIZE ((u32)sizeof(struct btrfs_extent_item))
#define BLOCK_INFO_SIZE ((u32)sizeof(struct btrfs_tree_block_info))
#define SEQ_SIZE ((u32)sizeof(struct btrfs_extent_inline_ref))

u32 inline_ref_size(u8 type)
{
	switch (type) {
	case BTRFS_TREE_BLOCK_REF_KEY:
	case BTRFS_SHARED_BLOCK_REF_KEY:
		return SEQ_SIZE;
	case BTRFS_SHARED_DATA_REF_KEY:
		return SEQ_SIZE + (u32)sizeof(struct btrfs_shared_data_ref);
	case BTRFS_EXTENT_DATA_REF_KEY:
		return 1 + (u32)sizeof(struct btrfs_extent_data_ref);
	default:
		return 0;
	}
}

static bool owner_at(const struct extent_edit *e, u32 pos)
{
	return e->size >= pos + SEQ_SIZE && e->data[pos] == BTRFS_EXTENT_OWNER_REF_KEY;
}

u64 extent_edit_owner(const struct extent_edit *e)
{
	if (e->refs_at < HEAD_SIZE + SEQ_SIZE || !owner_at(e, e->refs_at - SEQ_SIZE))
		return 0;
	return extent_edit_is_data(e) ? get_le64(e->data + e->refs_at - SEQ_SIZE + 1) : 0;
}

u8 extent_edit_level(const struct extent_edit *e)
{
	if (e->key.type == BTRFS_METADATA_ITEM_KEY)
		return (u8)e->key.offset;
	if (extent_edit_is_data(e))
		return 0;
	return e->data[HEAD_SIZE + offsetof(struct btrfs_tree_block_info, level)];
}

int extent_edit_load(struct extent_edit *e, const struct key *key, const void *data, u32 size)
{
	u32 pos;

	if (size < HEAD_SIZE || size > sizeof(e->data))
		return -EUCLEAN;
	e->key = *key;
	e->size = size;
	e->refs_at = HEAD_SIZE;
	memcpy(e->data, data, size);
	if (key->type == BTRFS_EXTENT_ITEM_KEY && !extent_edit_is_data(e))
		e->refs_at += BLOCK_INFO_SIZE;
	if (e->refs_at <= size && owner_at(e, e->refs_at))
		e->refs_at += SEQ_SIZE;
	for (pos = e->refs_at; pos < size; pos += inline_ref_size(e->data[pos]))
		if (!inline_ref_size(e->data[pos]))
			return -EUCLEAN;
	return pos == size ? 0 : -EUCLEAN;
}

void extent_edit_init(struct extent_edit *e, const struct key *key, u64 generation, u64 flags,
		      const struct key *first_key, u8 level)
{
	e->key = *key;
	e->size = e->refs_at = HEAD_SIZE;
	memset(e->data, 0, HEAD_SIZE + BLOCK_INFO_SIZE);
	put_le64(e->data + offsetof(struct btrfs_extent_item, generation), generation);
	extent_edit_set_flags(e, flags);
	if (!first_key)
		return;
	key_to_disk(e->data + HEAD_SIZE, first_key);
	e->data[HEAD_SIZE + offsetof(struct btrfs_tree_block_info, level)] = level;
	e->size = e->refs_at = HEAD_SIZE + BLOCK_INFO_SIZE;
}

void extent_edit_set_owner(struct extent_edit *e, u64 owner)
{
	e->data[e->size] = BTRFS_EXTENT_OWNER_REF_KEY;
	put_le64(e->data + e->size + 1, owner);
	e->size += SEQ_SIZE;
	e->refs_at = e->size;
}

static void decode_data_ref(const u8 *p, struct ref_count *ret)
{
	ret->ref.root = get_le64(p + offsetof(struct btrfs_extent_data_ref, root));
	ret->ref.ino = get_le64(p + offsetof(struct btrfs_extent_data_ref, objectid));
	ret->ref.offset = get_le64(p + offsetof(struct btrfs_extent_data_ref, offset));
	ret->count = get_le32(p + offsetof(struct btrfs_extent_data_ref, count));
}

static void decode(const u8 *p, struct ref_count *ret)
{
	*ret = (struct ref_count){.ref.kind = (enum ref_kind)p[0], .count = 1};
	if (p[0] == REF_DATA)
		decode_data_ref(p + 1, ret);
	else if (p[0] == REF_TREE_BLOCK)
		ret->ref.root = get_le64(p + 1);
	else
		ret->ref.parent = get_le64(p + 1);
	if (p[0] == REF_SHARED_DATA)
		ret->count = get_le32(p + SEQ_SIZE);
}

static void encode(u8 *p, const struct ref *ref, u32 count)
{
	p[0] = (u8)ref->kind;
	if (ref->kind == REF_DATA) {
		put_le64(p + 1 + offsetof(struct btrfs_extent_data_ref, root), ref->root);
		put_le64(p + 1 + offsetof(struct btrfs_extent_data_ref, objectid), ref->ino);
		put_le64(p + 1 + offsetof(struct btrfs_extent_data_ref, offset), ref->offset);
		put_le32(p + 1 + offsetof(struct btrfs_extent_data_ref, count), count);
		return;
	}
	put_le64(p + 1, ref->kind == REF_TREE_BLOCK ? ref->root : ref->parent);
	if (ref->kind == REF_SHARED_DATA)
		put_le32(p + SEQ_SIZE, count);
}

/* Descending within a type. */
static u64 sequence(const struct ref *ref)
{
	if (ref->kind == REF_DATA)
		return extent_data_ref_hash(ref->root, ref->ino, ref->offset);
	return ref->kind == REF_TREE_BLOCK ? ref->root : ref->parent;
}

int inline_ref_next(const struct extent_edit *e, u32 *pos, struct ref_count *ret)
{
	if (*pos >= e->size)
		return 0;
	decode(e->data + *pos, ret);
	*pos += inline_ref_size(e->data[*pos]);
	return 1;
}

static bool belongs_before(const struct ref *ref, u64 seq, const struct ref *other)
{
	if (ref->kind != other->kind)
		return ref->kind < other->kind;
	return seq > sequence(other);
}

/* Looks at all of them: an item in the wrong order must not hide a reference from us. */
int inline_ref_find(const struct extent_edit *e, const struct ref *ref, u32 *pos, u32 *count)
{
	u64 seq = sequence(ref);
	u32 insert_at = 0, at = e->refs_at, next = at;
	struct ref_count here;

	for (; inline_ref_next(e, &next, &here); at = next) {
		if (!ref_cmp(&here.ref, ref)) {
			*pos = at;
			*count = (u32)here.count;
			return 1;
		}
		if (!insert_at && belongs_before(ref, seq, &here.ref))
			insert_at = at;
	}
	*pos = insert_at ? insert_at : e->size;
	*count = 0;
	return 0;
}

static bool has_count(const struct ref *ref)
{
	return ref->kind == REF_DATA || ref->kind == REF_SHARED_DATA;
}

static int inline_ref_insert(struct extent_edit *e, const struct ref *ref, u32 count, u32 pos,
			     u32 limit)
{
	u32 add = inline_ref_size((u8)ref->kind);

	if (e->size + add >= limit || e->size + add > sizeof(e->data))
		return -ENOENT;
	memmove(e->data + pos + add, e->data + pos, e->size - pos);
	encode(e->data + pos, ref, count);
	e->size += add;
	return 0;
}

int inline_ref_add(struct extent_edit *e, const struct ref *ref, u32 count, bool may_insert,
		   u32 limit)
{
	u32 pos, have;
	int found = inline_ref_find(e, ref, &pos, &have);

	if ((found || count != 1) && !has_count(ref))
		return -EUCLEAN;
	if (found && have > UINT32_MAX - count)
		return -EUCLEAN;
	if (!found)
		return may_insert ? inline_ref_insert(e, ref, count, pos, limit) : -ENOENT;
	encode(e->data + pos, ref, have + count);
	return 0;
}

int inline_ref_drop(struct extent_edit *e, const struct ref *ref, u32 count)
{
	u32 gone = inline_ref_size((u8)ref->kind);
	u32 pos, have;

	if (!inline_ref_find(e, ref, &pos, &have))
		return -ENOENT;
	if (have < count)
		return -EUCLEAN;
	if (have > count) {
		encode(e->data + pos, ref, have - count);
		return 0;
	}
	memmove(e->data + pos, e->data + pos + gone, e->size - pos - gone);
	e->size -= gone;
	return 0;
}
