/* SPDX-License-Identifier: GPL-2.0-or-later */
/* name_item.c - see name_item.h. The caller's inode lock keeps an item's records as they are
 * between looking and changing; the tree lock keeps the bytes. */
#include "core/inode/name_item.h"

#include "core/fs.h"
#include "core/tree/item.h"

static bool dir_record_at(const u8 *p, u32 left, struct name_record *ret)
{
	const struct btrfs_dir_item *d = (const void *)p;

	if (left < sizeof(*d))
		return false;
	ret->name.len = get_le16(&d->name_len);
	ret->value_len = get_le16(&d->data_len);
	ret->bytes = dir_record_bytes(ret->name.len, ret->value_len);
	if (ret->bytes > left)
		return false;
	ret->name.s = (const char *)(d + 1);
	ret->value = ret->name.s + ret->name.len;
	ret->location = key_from_disk(&d->location);
	ret->transid = get_le64(&d->transid);
	ret->ftype = d->type;
	return true;
}

static bool ref_record_at(const u8 *p, u32 left, struct name_record *ret)
{
	const struct btrfs_inode_ref *r = (const void *)p;

	if (left < sizeof(*r))
		return false;
	ret->name.len = get_le16(&r->name_len);
	ret->name.s = (const char *)(r + 1);
	ret->index = get_le64(&r->index);
	ret->bytes = (u32)sizeof(*r) + ret->name.len;
	return ret->bytes <= left;
}

static bool extref_record_at(const u8 *p, u32 left, struct name_record *ret)
{
	const struct btrfs_inode_extref *r = (const void *)p;
	const u32 header = (u32)offsetof(struct btrfs_inode_extref, name);

	if (left < header)
		return false;
	ret->name.len = get_le16(&r->name_len);
	ret->name.s = (const char *)p + header;
	ret->index = get_le64(&r->index);
	ret->parent = get_le64(&r->parent_objectid);
	ret->bytes = header + ret->name.len;
	return ret->bytes <= left;
}

bool name_record_at(u8 type, const void *item, u32 size, u32 at, struct name_record *ret)
{
	const u8 *p = (const u8 *)item + at;

	if (at >= size)
		return false;
	ret->at = at;
	if (type == BTRFS_INODE_REF_KEY)
		return ref_record_at(p, size - at, ret);
	if (type == BTRFS_INODE_EXTREF_KEY)
		return extref_record_at(p, size - at, ret);
	return dir_record_at(p, size - at, ret);
}

bool name_record_find(u8 type, const void *item, u32 size, struct name want, u64 parent,
		      struct name_record *ret)
{
	for (u32 at = 0; name_record_at(type, item, size, at, ret); at += ret->bytes) {
		if (type == BTRFS_INODE_EXTREF_KEY && ret->parent != parent)
			continue;
		if (name_equal(ret->name, want))
			return true;
	}
	return false;
}

u32 dir_record_bytes(u32 name_len, u32 value_len)
{
	return (u32)sizeof(struct btrfs_dir_item) + name_len + value_len;
}

u32 dir_record_encode(void *buf, const struct key *location, u64 transid, u8 ftype,
		      struct name name, const void *value, u16 value_len)
{
	struct btrfs_dir_item *d = buf;
	u8 *p = (u8 *)(d + 1);

	key_to_disk(&d->location, location);
	put_le64(&d->transid, transid);
	put_le16(&d->data_len, value_len);
	put_le16(&d->name_len, name.len);
	d->type = ftype;
	memcpy(p, name.s, name.len);
	if (value_len)
		memcpy(p + name.len, value, value_len);
	return dir_record_bytes(name.len, value_len);
}

u32 ref_record_encode(void *buf, u64 index, struct name name)
{
	struct btrfs_inode_ref *r = buf;

	put_le64(&r->index, index);
	put_le16(&r->name_len, name.len);
	memcpy(r + 1, name.s, name.len);
	return (u32)sizeof(*r) + name.len;
}

u32 extref_record_encode(void *buf, u64 parent, u64 index, struct name name)
{
	struct btrfs_inode_extref *r = buf;

	put_le64(&r->parent_objectid, parent);
	put_le64(&r->index, index);
	put_le16(&r->name_len, name.len);
	memcpy((u8 *)buf + offsetof(struct btrfs_inode_extref, name), name.s, name.len);
	return (u32)offsetof(struct btrfs_inode_extref, name) + name.len;
}

u32 name_item_max(const struct root *root)
{
	return LEAF_DATA(root->fs->nodesize) - 2 * (u32)sizeof(struct btrfs_item);
}

int name_item_find(struct root *root, const struct key *key, struct name want, u64 parent,
		   struct name_record *ret)
{
	_cleanup_path_ struct path path = {};
	int r = tree_search(root, key, &path);

	if (r < 0)
		return r;
	if (r || !name_record_find(key->type, path_data(&path), path_size(&path), want, parent,
				   ret))
		return -ENOENT;
	ret->name.s = NULL;
	ret->value = NULL;
	return 0;
}

int name_item_room(struct root *root, const struct key *key, struct name want, u64 parent,
		   u32 bytes)
{
	_cleanup_path_ struct path path = {};
	struct name_record rec;
	int r = tree_search(root, key, &path);

	if (r < 0)
		return r;
	if (r)
		return 0;
	if (name_record_find(key->type, path_data(&path), path_size(&path), want, parent, &rec))
		return -EEXIST;
	return path_size(&path) + bytes > name_item_max(root) ? -EOVERFLOW : 0;
}

int name_item_add(struct trans *trans, struct root *root, const struct key *key,
		  const void *record, u32 bytes)
{
	_cleanup_path_ struct path path = {};
	u32 old = 0;
	int r = tree_search_cow(trans, root, key, (int)bytes, &path);

	if (r < 0)
		return r;
	if (r) {
		r = tree_insert_here(trans, &path, key, bytes);
	} else {
		old = path_size(&path);
		r = tree_extend_item(trans, &path, bytes);
	}
	if (r < 0)
		return r;
	memcpy((u8 *)path_data(&path) + old, record, bytes);
	return 0;
}

int name_item_cut(struct trans *trans, struct root *root, const struct key *key, struct name want,
		  u64 parent)
{
	_cleanup_path_ struct path path = {};
	struct name_record rec;
	u32 size, end;
	u8 *data;
	int r = tree_search_cow(trans, root, key, -1, &path);

	if (r < 0)
		return r;
	if (r || !name_record_find(key->type, path_data(&path), path_size(&path), want, parent,
				   &rec))
		return -ENOENT;
	size = path_size(&path);
	if (rec.bytes == size)
		return tree_delete(trans, &path);
	data = path_data(&path);
	end = rec.at + rec.bytes;
	memmove(data + rec.at, data + end, size - end);
	tree_truncate_item(trans, &path, size - rec.bytes, false);
	return 0;
}
