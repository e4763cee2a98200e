/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dir_entry.c - see dir_entry.h. */
#include "core/inode/dir_entry.h"

#include "core/inode/name_item.h"
#include "core/log/log_write.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"
#include "disk/format/hash.h"

#define DIR_INDEX_FIRST 2u

static struct key hash_key(u64 dir, struct name name)
{
	return KEY(dir, BTRFS_DIR_ITEM_KEY, name_hash(name.s, name.len));
}

int dir_entry_find(struct root *root, u64 dir, struct name name, struct dir_entry *ret)
{
	struct key key = hash_key(dir, name);
	struct name_record rec;
	int r = name_item_find(root, &key, name, 0, &rec);

	if (r < 0)
		return r;
	*ret = (struct dir_entry){ .location = rec.location, .ftype = rec.ftype };
	return 0;
}

int dir_entry_room(struct root *root, u64 dir, struct name name)
{
	struct key key = hash_key(dir, name);

	return name_item_room(root, &key, name, 0, dir_record_bytes(name.len, 0));
}

int dir_entry_insert(struct trans *trans, struct root *root, u64 dir, struct name name,
		     const struct dir_entry *entry, u64 index)
{
	u8 record[sizeof(struct btrfs_dir_item) + NAME_LEN_MAX];
	struct key key = hash_key(dir, name);
	u32 bytes = dir_record_encode(record, &entry->location, trans->transid, entry->ftype,
				      name, NULL, 0);
	int r = name_item_add(trans, root, &key, record, bytes);

	if (r < 0)
		return r;
	key = KEY(dir, BTRFS_DIR_INDEX_KEY, index);
	return tree_insert(trans, root, &key, record, bytes);
}

int dir_entry_delete(struct trans *trans, struct root *root, u64 dir, struct name name, u64 index)
{
	struct key key = hash_key(dir, name);
	int r = name_item_cut(trans, root, &key, name, 0);

	if (r < 0)
		return r;
	log_name_dropped(trans, root->id, dir, name, index);
	key = KEY(dir, BTRFS_DIR_INDEX_KEY, index);
	r = tree_delete_key(trans, root, &key);
	if (r == -ENOENT)
		log_fault("tree %llu directory %llu: no index item %llu for a name",
			  (unsigned long long)root->id, (unsigned long long)dir,
			  (unsigned long long)index);
	return r == -ENOENT ? -EUCLEAN : r;
}

int dir_entry_index(struct root *root, u64 dir, struct name name, u64 *ret)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(dir, BTRFS_DIR_INDEX_KEY, 0);
	struct name_record rec;
	int r;

	for (r = tree_search_next(root, &key, &path); r >= 0; r = tree_next(&path)) {
		if (path.lock == PATH_UNLOCKED || path_at_end(&path))
			return -ENOENT;
		key = path_key(&path);
		if (key.objectid != dir || key.type != BTRFS_DIR_INDEX_KEY)
			return -ENOENT;
		if (name_record_find(key.type, path_data(&path), path_size(&path), name, 0,
				     &rec)) {
			*ret = key.offset;
			return 0;
		}
	}
	return r;
}

int dir_entry_next_index(struct root *root, u64 dir, u64 *ret)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(dir, BTRFS_DIR_INDEX_KEY, UINT64_MAX);
	int r = tree_search_prev(root, &key, &path);

	*ret = DIR_INDEX_FIRST;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	key = path_key(&path);
	if (key.objectid == dir && key.type == BTRFS_DIR_INDEX_KEY)
		*ret = MAX(key.offset + 1, (u64)DIR_INDEX_FIRST);
	return 0;
}
