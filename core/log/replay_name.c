/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_name.c - adding and removing one name: both entries, the reference, the directory's size.
 *
 * Times stay: the log has those that the inodes had when they were synced. Link counts are set at
 * the end (replay_link.c).
 */
#include <errno.h>
#include <sys/stat.h>

#include "core/inode/dir.h"
#include "core/inode/dir_entry.h"
#include "core/inode/inode_ref.h"
#include "core/log/replay_internal.h"

int replay_name_at(struct root *root, u64 dir, u64 index, struct name_record *ret, char *name)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(dir, BTRFS_DIR_INDEX_KEY, index);
	int r = tree_search(root, &key, &path);

	if (r < 0)
		return r;
	if (r || !name_record_at(key.type, path_data(&path), path_size(&path), 0, ret))
		return -ENOENT;
	memcpy(name, ret->name.s, ret->name.len);
	ret->name.s = name;
	ret->value = NULL;
	return 0;
}

/* Is there room for the entries (and the reference)? 0, -EEXIST, <0. */
static int check_room(struct replay *rp, u64 dir, u64 ino, struct name name, u64 index,
		      bool with_ref)
{
	char other[NAME_LEN_MAX];
	struct name_record rec;
	int r = replay_name_at(rp->root, dir, index, &rec, other);

	if (r == 0)
		return -EEXIST;
	if (r != -ENOENT)
		return r;
	r = dir_entry_room(rp->root, dir, name);
	if (r == 0 && with_ref)
		r = inode_ref_room(rp->root, ino, dir, name);
	return r;
}

static int check_dir(struct replay *rp, u64 dir)
{
	struct btrfs_inode_item item;
	int r = replay_inode_read(rp, dir, &item);

	if (r < 0 ? r == -ENOENT : !S_ISDIR(get_le32(&item.mode)))
		return replay_refuse(rp, -EUCLEAN, "inode %llu of tree %llu is no directory",
				     (unsigned long long)dir, (unsigned long long)rp->root->id);
	return r;
}

int replay_name_add(struct replay *rp, u64 dir, u64 ino, struct name name, u64 index, bool with_ref)
{
	struct dir_entry entry = {.location = KEY(ino, BTRFS_INODE_ITEM_KEY, 0)};
	struct btrfs_inode_item item;
	int r = replay_inode_read(rp, ino, &item);

	if (r == 0)
		r = check_dir(rp, dir);
	if (r == 0)
		r = check_room(rp, dir, ino, name, index, with_ref);
	if (r < 0)
		return r;
	entry.ftype = dir_ftype_of_mode(get_le32(&item.mode));
	r = dir_entry_insert(rp->trans, rp->root, dir, name, &entry, index);
	if (r == 0 && with_ref)
		r = inode_ref_insert(rp->trans, rp->root, ino, dir, name, index);
	if (r == 0)
		r = replay_inode_grow(rp, dir, 2 * (s64)name.len, 0);
	return r < 0 ? r : replay_link_note(rp, ino);
}

static int bad_name(struct replay *rp, u64 dir, struct name name, const char *what)
{
	return replay_refuse(rp, -EUCLEAN, "tree %llu directory %llu, '%.*s': %s",
			     (unsigned long long)rp->root->id, (unsigned long long)dir,
			     MIN(name.len, 64), name.s, what);
}

int replay_name_remove(struct replay *rp, u64 dir, const struct key *location, struct name name)
{
	struct dir_entry entry;
	u64 ino = location->objectid, index;
	int r;

	if (location->type != BTRFS_INODE_ITEM_KEY)
		return bad_name(rp, dir, name, "is a subvolume, which a log cannot remove");
	r = dir_entry_find(rp->root, dir, name, &entry);
	if (r == 0 && !key_equal(&entry.location, location))
		return bad_name(rp, dir, name, "its two entries differ");
	if (r == 0)
		r = inode_ref_find(rp->root, ino, dir, name, &index);
	if (r == -ENOENT)
		return bad_name(rp, dir, name, "has no second entry or no reference");
	if (r == 0)
		r = dir_entry_delete(rp->trans, rp->root, dir, name, index);
	if (r == 0)
		r = inode_ref_delete(rp->trans, rp->root, ino, dir, name);
	if (r == 0)
		r = replay_inode_grow(rp, dir, -2 * (s64)name.len, 0);
	return r < 0 ? r : replay_link_note(rp, ino);
}
