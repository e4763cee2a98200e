/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uuid_tree.c - see uuid_tree.h.
 *
 * An item's key holds the sixteen bytes of a uuid, half as objectid and half as offset, and its kind
 * as type; its data are the ids of the subvolumes that have it. Two passes: entries that are not true
 * go, those that are missing come. The superblock's uuid_tree_generation then says that it is done.
 */
#include "core/subvol/uuid_tree.h"

#include "core/fs.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/root.h"
#include "disk/base/log.h"
#include "disk/format/node.h"

#define JOIN_ITEMS 2u

struct uuid_entry {
	struct key key;
	u32 count;
	__le64 *ids; /* room for the largest item */
};

static u32 most_ids(const struct fs *fs)
{
	return LEAF_ITEM_MAX(fs->nodesize) / (u32)sizeof(__le64);
}

static struct key uuid_key(const u8 *uuid, u8 type)
{
	return KEY(get_le64(uuid), type, get_le64(uuid + sizeof(u64)));
}

static bool uuid_is_set(const u8 *uuid)
{
	return get_le64(uuid) || get_le64(uuid + sizeof(u64));
}

static int write_entry(struct fs *fs, const struct uuid_entry *e)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join(fs, JOIN_ITEMS, &trans);

	if (r < 0)
		return r;
	if (e->count)
		r = tree_put(&trans, fs->uuid_root, &e->key, e->ids,
			     e->count * (u32)sizeof(*e->ids));
	else
		r = tree_delete_key(&trans, fs->uuid_root, &e->key);
	if (r < 0)
		trans_abort(&trans, r, "uuid tree");
	return r;
}

/* The first entry at or after e->key. 0, -ENOENT. */
static int next_entry(struct fs *fs, struct uuid_entry *e)
{
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(fs->uuid_root, &e->key, &path);

	if (r < 0)
		return r;
	e->key = path_key(&path);
	e->count = MIN(path_size(&path) / (u32)sizeof(*e->ids), most_ids(fs));
	memcpy(e->ids, path_data(&path), e->count * sizeof(*e->ids));
	return 0;
}

/* Does subvolume @id have the uuid that @key speaks of? 1, 0. */
static int is_true(struct fs *fs, const struct key *key, u64 id)
{
	struct btrfs_root_item item;
	struct key has;
	int r = root_read_item(fs->tree_root, id, &item);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	has = uuid_key(key->type == BTRFS_UUID_KEY_SUBVOL ? item.uuid : item.received_uuid,
		       key->type);
	return get_le32(&item.refs) && key_equal(key, &has);
}

static int keep_true(struct fs *fs, struct uuid_entry *e)
{
	u32 kept = 0;

	for (u32 i = 0; i < e->count; i++) {
		int r = is_true(fs, &e->key, get_le64(&e->ids[i]));

		if (r < 0)
			return r;
		if (r)
			e->ids[kept++] = e->ids[i];
	}
	if (kept == e->count)
		return 0;
	e->count = kept;
	return write_entry(fs, e);
}

static int drop_untrue(struct fs *fs, struct uuid_entry *e)
{
	int r;

	for (e->key = KEY_MIN; (r = next_entry(fs, e)) == 0; e->key = key_next(e->key)) {
		if (e->key.type == BTRFS_UUID_KEY_SUBVOL ||
		    e->key.type == BTRFS_UUID_KEY_RECEIVED_SUBVOL)
			r = keep_true(fs, e);
		if (r < 0)
			break;
	}
	return r == -ENOENT ? 0 : r;
}

static int add_entry(struct fs *fs, const u8 *uuid, u8 type, u64 id, struct uuid_entry *e)
{
	struct key want = uuid_key(uuid, type);
	int r;

	if (!uuid_is_set(uuid))
		return 0;
	e->key = want;
	r = next_entry(fs, e);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT || !key_equal(&e->key, &want))
		e->count = 0;
	e->key = want;
	for (u32 i = 0; i < e->count; i++)
		if (get_le64(&e->ids[i]) == id)
			return 0;
	if (e->count == most_ids(fs))
		return -EOVERFLOW;
	put_le64(&e->ids[e->count++], id);
	return write_entry(fs, e);
}

/* The first subvolume from *@id on. 0, -ENOENT. */
static int next_subvolume(struct fs *fs, u64 *id)
{
	struct key key = KEY(*id, BTRFS_ROOT_ITEM_KEY, 0);
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(fs->tree_root, &key, &path);

	for (; r >= 0 && !path_at_end(&path); r = tree_next(&path)) {
		key = path_key(&path);
		if (key.objectid > BTRFS_LAST_FREE_OBJECTID)
			return -ENOENT;
		if (key.type != BTRFS_ROOT_ITEM_KEY ||
		    (key.objectid < BTRFS_FIRST_FREE_OBJECTID &&
		     key.objectid != BTRFS_FS_TREE_OBJECTID))
			continue;
		*id = key.objectid;
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

static int add_missing(struct fs *fs, struct uuid_entry *e)
{
	struct btrfs_root_item item;
	u64 id;
	int r;

	for (id = BTRFS_FS_TREE_OBJECTID; (r = next_subvolume(fs, &id)) == 0; id++) {
		r = root_read_item(fs->tree_root, id, &item);
		if (r == 0 && get_le32(&item.refs) == 0)
			continue;
		if (r == 0)
			r = add_entry(fs, item.uuid, BTRFS_UUID_KEY_SUBVOL, id, e);
		if (r == 0)
			r = add_entry(fs, item.received_uuid, BTRFS_UUID_KEY_RECEIVED_SUBVOL, id, e);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

static int update(struct fs *fs)
{
	_cleanup_free_ __le64 *ids = malloc(fs->nodesize);
	struct uuid_entry e = {.ids = ids};
	int r;

	if (!ids)
		return -ENOMEM;
	r = drop_untrue(fs, &e);
	return r < 0 ? r : add_missing(fs, &e);
}

int uuid_tree_update(struct fs *fs)
{
	int r;

	if (fs->readonly || fs->uuid_tree_follows || !fs->uuid_root)
		return 0;
	r = update(fs);
	if (r == 0)
		fs->uuid_tree_follows = true;
	else
		log_info("the uuid tree stays as it is: %s", strerror(-r));
	return fs_error(fs);
}
