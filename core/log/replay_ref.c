/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_ref.c - INODE_REF and INODE_EXTREF of a log: all names that the item's inode has there.
 *
 * Names of the subvolume's item that the log's has not are removed; names of the log's that no
 * directory has are added, and whatever stands in their way is removed: the log's inode had that
 * name, or that index, when it was synced. A parent that does not exist was never synced; its names
 * are left out, and the link count says so.
 */
#include <errno.h>

#include "core/inode/dir_entry.h"
#include "core/log/replay_internal.h"

static u64 parent_of(const struct key *key, const struct name_record *rec)
{
	return key->type == BTRFS_INODE_REF_KEY ? key->offset : rec->parent;
}

/* A name of the subvolume's item at @key that the log's lacks: 0 and its parent, -ENOENT. */
static int find_stale(struct replay *rp, const struct key *key, u64 *parent, struct name *ret,
		      char *buf)
{
	_cleanup_path_ struct path path = {};
	struct name_record rec, logged;
	int r = tree_search(rp->root, key, &path);

	if (r != 0)
		return r < 0 ? r : -ENOENT;
	for (u32 at = 0; name_record_at(key->type, path_data(&path), path_size(&path), at, &rec);
	     at += rec.bytes) {
		*parent = parent_of(key, &rec);
		if (name_record_find(key->type, rp->item, rp->size, rec.name, *parent, &logged))
			continue;
		memcpy(buf, rec.name.s, rec.name.len);
		*ret = (struct name){.s = buf, .len = rec.name.len};
		return 0;
	}
	return -ENOENT;
}

static int remove_stale(struct replay *rp, const struct key *key)
{
	struct key location = KEY(key->objectid, BTRFS_INODE_ITEM_KEY, 0);
	char buf[NAME_LEN_MAX];
	struct name name;
	u64 parent;
	int r;

	while ((r = find_stale(rp, key, &parent, &name, buf)) == 0) {
		r = replay_name_remove(rp, parent, &location, name);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

/* Takes away what has the index, then what has the name. 1: it is this very name. */
static int make_way(struct replay *rp, u64 dir, u64 ino, const struct name_record *rec)
{
	struct key self = KEY(ino, BTRFS_INODE_ITEM_KEY, 0);
	char buf[NAME_LEN_MAX];
	struct name_record at;
	struct dir_entry entry;
	int r = replay_name_at(rp->root, dir, rec->index, &at, buf);

	if (r == 0 && key_equal(&at.location, &self) && name_equal(at.name, rec->name)) {
		r = dir_entry_find(rp->root, dir, rec->name, &entry);
		if (r < 0)
			return r;
		return key_equal(&entry.location, &self) ? 1 : -EUCLEAN;
	}
	if (r == 0)
		r = replay_name_remove(rp, dir, &at.location, at.name);
	if (r < 0 && r != -ENOENT)
		return r;
	r = dir_entry_find(rp->root, dir, rec->name, &entry);
	if (r == 0)
		r = replay_name_remove(rp, dir, &entry.location, rec->name);
	return r == -ENOENT ? 0 : r;
}

static int place(struct replay *rp, u64 dir, u64 ino, const struct name_record *rec)
{
	int r = make_way(rp, dir, ino, rec);

	if (r != 0)
		return MIN(r, 0);
	return replay_name_add(rp, dir, ino, rec->name, rec->index, false);
}

/* Takes a record out of the item in hand. */
static void leave_out(struct replay *rp, const struct name_record *rec)
{
	u32 end = rec->at + rec->bytes;

	memmove(rp->item + rec->at, rp->item + end, rp->size - end);
	rp->size -= rec->bytes;
}

static int place_all(struct replay *rp, const struct key *key)
{
	struct name_record rec;
	u32 at = 0;

	while (name_record_at(key->type, rp->item, rp->size, at, &rec)) {
		u64 parent = parent_of(key, &rec);
		int r = replay_inode_exists(rp, parent);

		if (r == -ENOENT) {
			leave_out(rp, &rec);
			continue;
		}
		if (r == 0)
			r = place(rp, parent, key->objectid, &rec);
		if (r < 0)
			return r;
		at += rec.bytes;
	}
	return 0;
}

int replay_ref(struct replay *rp, const struct key *key)
{
	int r;

	if (key->objectid == key->offset && key->type == BTRFS_INODE_REF_KEY)
		return 0; /* the top directory's reference to itself */
	r = replay_inode_exists(rp, key->objectid);
	if (r == -ENOENT)
		return replay_refuse(rp, -EUCLEAN, "inode %llu of tree %llu has a name and no item",
				     (unsigned long long)key->objectid,
				     (unsigned long long)rp->root->id);
	if (r == 0)
		r = remove_stale(rp, key);
	if (r == 0)
		r = place_all(rp, key);
	if (r < 0 || rp->size == 0)
		return r;
	return tree_put(rp->trans, rp->root, key, rp->item, rp->size);
}
