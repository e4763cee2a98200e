/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_dir.c - directories of a log: ranges for which it is complete, and entries.
 *
 * An entry of the subvolume inside of a range, and not in the log with the same index and name, was
 * removed. Entries of the log whose inode has the reference in the log, too, are left to that
 * reference (replay_ref.c), which also sees what else the inode was called.
 */
#include <errno.h>

#include "core/inode/dir_entry.h"
#include "core/inode/inode_ref.h"
#include "core/log/replay_internal.h"
#include "core/tree/search.h"

/* The first index of the directory from @from on: 0, -ENOENT. */
static int next_index(struct root *root, u64 dir, u64 from, u64 *ret)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(dir, BTRFS_DIR_INDEX_KEY, from);
	int r = tree_search_next(root, &key, &path);

	if (r < 0)
		return r;
	key = path_key(&path);
	*ret = key.offset;
	return key.objectid == dir && key.type == BTRFS_DIR_INDEX_KEY ? 0 : -ENOENT;
}

/* 1: the log has this entry, too. */
static int in_log(struct replay *rp, u64 dir, u64 index, struct name name)
{
	char buf[NAME_LEN_MAX];
	struct name_record logged;
	int r = replay_name_at(rp->log, dir, index, &logged, buf);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return name_equal(logged.name, name);
}

static int delete_index(struct replay *rp, u64 dir, u64 index, bool whatever)
{
	char name[NAME_LEN_MAX];
	struct name_record rec;
	int r = replay_name_at(rp->root, dir, index, &rec, name);

	if (r == 0 && !whatever)
		r = in_log(rp, dir, index, rec.name);
	if (r != 0)
		return MIN(r, 0);
	return replay_name_remove(rp, dir, &rec.location, rec.name);
}

/* Indexes from @first to @last; @whatever: even if they are in the log. */
static int delete_range(struct replay *rp, u64 dir, u64 first, u64 last, bool whatever)
{
	int r = 0;

	while (r == 0 && first <= last) {
		u64 index;

		r = next_index(rp->root, dir, first, &index);
		if (r == -ENOENT || (r == 0 && index > last))
			return 0;
		if (r == 0)
			r = delete_index(rp, dir, index, whatever);
		if (r == 0 && index == UINT64_MAX)
			return 0;
		first = index + 1;
	}
	return r;
}

/* The first range of the log that begins at @from or behind: 0, -ENOENT. */
static int next_range(struct replay *rp, u64 dir, u64 from, u64 *first, u64 *last)
{
	_cleanup_path_ struct path path = {};
	struct key key = log_range_key(dir, from);
	int r = tree_search_next(rp->log, &key, &path);

	if (r < 0)
		return r;
	key = path_key(&path);
	if (key.objectid != dir || key.type != BTRFS_DIR_LOG_INDEX_KEY)
		return -ENOENT;
	*first = key.offset;
	*last = log_range_last(path_data(&path));
	return 0;
}

int replay_dir_deletes(struct replay *rp, u64 dir)
{
	u64 first = 0, last = 0, from = 0;
	int r = replay_inode_exists(rp, dir);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while ((r = next_range(rp, dir, from, &first, &last)) == 0) {
		r = delete_range(rp, dir, first, last, false);
		if (r < 0 || first == UINT64_MAX)
			return r;
		from = first + 1;
	}
	return r == -ENOENT ? 0 : r;
}

int replay_dir_empty(struct replay *rp, u64 dir)
{
	return delete_range(rp, dir, 0, UINT64_MAX, true);
}

/* Is @name at @location already? Otherwise it goes, if the new one can come. 1: it is there. */
static int settle_conflict(struct replay *rp, u64 dir, const struct name_record *logged,
			   const struct key *location, u8 ftype, bool exists)
{
	if (key_equal(location, &logged->location) && ftype == logged->ftype)
		return 1;
	return exists ? replay_name_remove(rp, dir, location, logged->name) : 0;
}

/* 1: both entries are there as the log has them. 0: neither conflicts any more. */
static int settle_entries(struct replay *rp, const struct key *key,
			  const struct name_record *logged, bool exists)
{
	char name[NAME_LEN_MAX];
	struct dir_entry entry;
	struct name_record at;
	int by_name, by_index, r;

	by_name = dir_entry_find(rp->root, key->objectid, logged->name, &entry);
	if (by_name == 0)
		by_name = settle_conflict(rp, key->objectid, logged, &entry.location, entry.ftype,
					  exists);
	if (by_name < 0 && by_name != -ENOENT)
		return by_name;
	r = replay_name_at(rp->root, key->objectid, key->offset, &at, name);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!name_equal(at.name, logged->name))
		return 0;
	by_index = settle_conflict(rp, key->objectid, logged, &at.location, at.ftype, exists);
	return by_index < 0 ? by_index : by_name == 1 && by_index == 1;
}

/* A subvolume's entry comes and goes with a commit; old kernels logged those that they met. */
static int check_subvolume(struct replay *rp, const struct key *key,
			   const struct name_record *logged)
{
	int r = settle_entries(rp, key, logged, false);

	if (r != 0)
		return MIN(r, 0);
	return replay_refuse(rp, -EOPNOTSUPP, "it has a new name for subvolume %llu",
			     (unsigned long long)logged->location.objectid);
}

static int add_entry(struct replay *rp, const struct key *key, const struct name_record *logged)
{
	u64 ino = logged->location.objectid, index;
	int r = inode_ref_find(rp->log, ino, key->objectid, logged->name, &index);

	if (r != -ENOENT)
		return r;
	r = replay_name_add(rp, key->objectid, ino, logged->name, key->offset, true);
	return r == -EEXIST || r == -ENOENT ? 0 : r;
}

int replay_dir_entry(struct replay *rp, const struct key *key)
{
	struct name_record logged;
	int exists, r;

	if (!name_record_at(key->type, rp->item, rp->size, 0, &logged))
		return -EUCLEAN;
	if (logged.location.type != BTRFS_INODE_ITEM_KEY)
		return check_subvolume(rp, key, &logged);
	exists = replay_inode_exists(rp, logged.location.objectid);
	if (exists < 0 && exists != -ENOENT)
		return exists;
	r = settle_entries(rp, key, &logged, exists == 0);
	if (r != 0)
		return MIN(r, 0);
	return add_entry(rp, key, &logged);
}
