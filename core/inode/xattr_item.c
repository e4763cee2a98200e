/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xattr_item.c - see xattr_item.h. Names with one hash share an item; a change writes the whole
 * item anew. */
#include "core/inode/xattr_item.h"

#include <sys/xattr.h>

#include "core/fs.h"
#include "core/inode/name_item.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/format/hash.h"

static struct key item_key(u64 ino, struct name name)
{
	return KEY(ino, BTRFS_XATTR_ITEM_KEY, name_hash(name.s, name.len));
}

void xattr_put_free(struct xattr_put *put)
{
	free(put->item);
	put->item = NULL;
}

int xattr_item_get(struct root *root, u64 ino, struct name name, void *buf, u32 size)
{
	_cleanup_path_ struct path path = {};
	struct key key = item_key(ino, name);
	struct name_record rec;
	int r = tree_search(root, &key, &path);

	if (r < 0)
		return r;
	if (r || !name_record_find(key.type, path_data(&path), path_size(&path), name, 0, &rec))
		return -ENODATA;
	if (size && rec.value_len > size)
		return -ERANGE;
	if (size)
		memcpy(buf, rec.value, rec.value_len);
	return rec.value_len;
}

/* The largest name and value: the kernel's limit. */
static u32 xattr_bytes_max(const struct root *root)
{
	return LEAF_DATA(root->fs->nodesize) -
	       (u32)(sizeof(struct btrfs_item) + sizeof(struct btrfs_dir_item));
}

/* Takes the old record out of put->item. */
static void cut_record(struct xattr_put *put, const struct name_record *rec)
{
	u32 end = rec->at + rec->bytes;

	memmove(put->item + rec->at, put->item + end, put->size - end);
	put->size -= rec->bytes;
}

/* Appends the new one; -ENOSPC if the item is full. */
static int append_record(struct root *root, struct name name, const void *value, u32 size,
			 struct xattr_put *put)
{
	static const struct key none = {};
	u32 bytes = dir_record_bytes(name.len, size);

	if (put->size + bytes > LEAF_DATA(root->fs->nodesize) - sizeof(struct btrfs_item))
		return -ENOSPC;
	/* the transaction is not known yet: apply fills it in */
	put->size += dir_record_encode(put->item + put->size, &none, 0, BTRFS_FT_XATTR, name,
				       value, (u16)size);
	return 0;
}

static int prepare_item(struct root *root, struct name name, const void *value, u32 size,
			int flags, struct xattr_put *put)
{
	struct name_record rec;
	bool exists;
	int r = tree_lookup(root, &put->key, put->item, root->fs->nodesize);

	if (r < 0 && r != -ENOENT)
		return r;
	put->size = r < 0 ? 0 : (u32)r;
	exists = name_record_find(put->key.type, put->item, put->size, name, 0, &rec);
	if (exists && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!exists && ((flags & XATTR_REPLACE) || !value))
		return -ENODATA;
	if (exists)
		cut_record(put, &rec);
	return value ? append_record(root, name, value, size, put) : 0;
}

int xattr_put_prepare(struct root *root, u64 ino, struct name name, const void *value, u32 size,
		      int flags, struct xattr_put *ret)
{
	_cleanup_xattr_put_ struct xattr_put put = { .set = true, .key = item_key(ino, name) };
	int r;

	if (size > xattr_bytes_max(root) || name.len + size > xattr_bytes_max(root))
		return -ENOSPC;
	put.item = malloc(root->fs->nodesize);
	if (!put.item)
		return -ENOMEM;
	r = prepare_item(root, name, value, size, flags, &put);
	if (r < 0)
		return r;
	*ret = TAKE(put);
	return 0;
}

/* The record that was appended is the last one. */
static void stamp_last(const struct xattr_put *put, u64 transid)
{
	struct name_record rec;
	u32 last = 0;

	for (u32 at = 0; name_record_at(put->key.type, put->item, put->size, at, &rec);
	     at += rec.bytes)
		last = at;
	put_le64(put->item + last + offsetof(struct btrfs_dir_item, transid), transid);
}

int xattr_put_apply(struct trans *trans, struct root *root, const struct xattr_put *put)
{
	if (!put->set)
		return 0;
	if (!put->size)
		return tree_delete_key(trans, root, &put->key);
	stamp_last(put, trans->transid);
	return tree_put(trans, root, &put->key, put->item, put->size);
}

/* Adds the names of one item; the length so far or -ERANGE. */
static int list_item(const struct path *path, char *buf, u32 size, u32 used)
{
	struct name_record rec;

	for (u32 at = 0; name_record_at(BTRFS_XATTR_ITEM_KEY, path_data(path), path_size(path), at,
					&rec);
	     at += rec.bytes) {
		u32 bytes = rec.name.len + 1u;

		if (size && bytes > size - used)
			return -ERANGE;
		if (size) {
			memcpy(buf + used, rec.name.s, rec.name.len);
			buf[used + rec.name.len] = 0;
		}
		used += bytes;
	}
	return (int)used;
}

int xattr_item_list(struct root *root, u64 ino, char *buf, u32 size)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(ino, BTRFS_XATTR_ITEM_KEY, 0);
	int used = 0;
	int r = tree_search_next(root, &key, &path);

	for (; r >= 0 && !path_at_end(&path); r = tree_next(&path)) {
		key = path_key(&path);
		if (key.objectid != ino || key.type != BTRFS_XATTR_ITEM_KEY)
			break;
		used = list_item(&path, buf, size, (u32)used);
		if (used < 0)
			return used;
	}
	return r < 0 && r != -ENOENT ? r : used;
}
