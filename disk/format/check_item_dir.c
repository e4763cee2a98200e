/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item_dir.c - names: DIR_ITEM and XATTR_ITEM (hashed, several may share a hash) and
 * DIR_INDEX. Pure; see check_item.h.
 */
#include "disk/format/check_item.h"
#include "disk/format/hash.h"

#define FT_ENCRYPTED 0x80

static int check_location(const struct item *it, const struct key *to)
{
	if (it->key.type == BTRFS_XATTR_ITEM_KEY) {
		if (to->objectid || to->type || to->offset)
			return item_bad(it,
					"bad location of an xattr: got " KEY_FMT ", wanted zeros",
					KEY_ARG(*to));
		return 0;
	}
	if (to->type == BTRFS_ROOT_ITEM_KEY) {
		if (!is_subvolume_id(to->objectid))
			return item_bad(it, "bad location: got tree %llu, wanted a subvolume",
					(unsigned long long)to->objectid);
		return 0;
	}
	if (to->type != BTRFS_INODE_ITEM_KEY)
		return item_bad(it, "bad location type: got %u, wanted 1 or 132", to->type);
	if (!is_inode_id(to->objectid) || to->offset)
		return item_bad(it, "bad location: got " KEY_FMT ", wanted an inode", KEY_ARG(*to));
	return 0;
}

static int check_entry_type(const struct item *it, u8 type)
{
	bool is_xattr = it->key.type == BTRFS_XATTR_ITEM_KEY;

	if (type >= BTRFS_FT_MAX)
		return item_bad(it, "bad entry type: got %u, wanted below %u", type, BTRFS_FT_MAX);
	if (is_xattr != (type == BTRFS_FT_XATTR))
		return item_bad(it, "bad entry type: got %u in an item of type %u", type,
				it->key.type);
	return 0;
}

static int check_entry_sizes(const struct item *it, u32 at, u32 name_len, u32 data_len)
{
	u32 head = sizeof(struct btrfs_dir_item);

	if (name_len == 0 || name_len > NAME_LEN_MAX)
		return item_bad(it, "bad name length: got %u, wanted 1 to %u", name_len,
				NAME_LEN_MAX);
	if (data_len && it->key.type != BTRFS_XATTR_ITEM_KEY)
		return item_bad(it, "bad data length of a name: got %u, wanted 0", data_len);
	if (name_len + data_len > LEAF_ITEM_MAX(it->env->nodesize) - head)
		return item_bad(it, "name and data too long: %u and %u bytes", name_len, data_len);
	if (name_len + data_len > it->size - at - head)
		return item_bad(it, "entry at %u of %u and %u bytes runs past the item's end %u",
				at, name_len, data_len, it->size);
	return 0;
}

static int check_entry(const struct item *it, u32 at, u32 *next)
{
	const struct btrfs_dir_item *di = (const void *)(it->data + at);
	struct key to = key_from_disk(&di->location);
	u32 name_len = get_le16(&di->name_len), data_len = get_le16(&di->data_len);
	int err = check_location(it, &to);

	if (!err)
		err = check_entry_type(it, di->type & (u8)~FT_ENCRYPTED);
	if (!err)
		err = check_entry_sizes(it, at, name_len, data_len);
	if (err)
		return err;
	if (it->key.type != BTRFS_DIR_INDEX_KEY && name_hash(di + 1, name_len) != it->key.offset)
		return item_bad(it, "bad name hash: got %llu, wanted the key's",
				(unsigned long long)name_hash(di + 1, name_len));
	*next = at + (u32)sizeof(*di) + name_len + data_len;
	return 0;
}

int check_dir_item(const struct item *it)
{
	int err = check_prev_inode(it);
	u32 at = 0;

	while (!err && at < it->size) {
		if (it->size - at < sizeof(struct btrfs_dir_item))
			return item_bad(it, "entry at %u runs past the item's end %u", at,
					it->size);
		err = check_entry(it, at, &at);
	}
	return err;
}
