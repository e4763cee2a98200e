/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_link.c - link counts after a replay: those of every inode that a log or a changed name
 * touched become the number of its references.
 *
 * What has no reference left is made an orphan, which the mount deletes like any other; a
 * directory's names go first, and so on down.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/inode/orphan.h"
#include "core/log/replay_internal.h"
#include "core/tree/search.h"

/* Where @ino is or belongs. */
static size_t place_of(const struct replay *rp, u64 ino)
{
	size_t low = 0, high = rp->fixup_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (rp->fixups[mid] < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int replay_link_note(struct replay *rp, u64 ino)
{
	size_t at = place_of(rp, ino);

	if (at < rp->fixup_count && rp->fixups[at] == ino)
		return 0;
	if (rp->fixup_count == rp->fixup_room) {
		size_t room = rp->fixup_room ? rp->fixup_room * 2 : 256;
		void *grown = reallocarray(rp->fixups, room, sizeof(*rp->fixups));

		if (!grown)
			return -ENOMEM;
		rp->fixups = grown;
		rp->fixup_room = room;
	}
	memmove(rp->fixups + at + 1, rp->fixups + at, (rp->fixup_count - at) * sizeof(*rp->fixups));
	rp->fixups[at] = ino;
	rp->fixup_count++;
	return 0;
}

static u32 count_records(const struct path *path, u8 type)
{
	struct name_record rec;
	u32 count = 0;

	for (u32 at = 0; name_record_at(type, path_data(path), path_size(path), at, &rec);
	     at += rec.bytes)
		count++;
	return count;
}

static int count_links(struct replay *rp, u64 ino, u32 *ret)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(ino, BTRFS_INODE_REF_KEY, 0);
	int r = tree_search_next(rp->root, &key, &path);

	*ret = 0;
	for (; r >= 0 && !path_at_end(&path); r = tree_next(&path)) {
		key = path_key(&path);
		if (key.objectid != ino || key.type > BTRFS_INODE_EXTREF_KEY)
			return 0;
		*ret += count_records(&path, key.type);
	}
	return r == -ENOENT ? 0 : MIN(r, 0);
}

/* An inode has an orphan item if and only if it has no name. */
static int fix_orphan(struct replay *rp, u64 ino, u32 links)
{
	struct key key = KEY(BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, ino);
	u8 none;
	int r;

	if (links == 0)
		return orphan_insert(rp->trans, rp->root, ino);
	r = tree_lookup(rp->root, &key, &none, 0);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return orphan_delete(rp->trans, rp->root, ino);
}

static int fix_inode(struct replay *rp, u64 ino)
{
	struct btrfs_inode_item item;
	u32 links = 0;
	int r = replay_inode_read(rp, ino, &item);

	if (r == -ENOENT)
		return replay_refuse(rp, -EUCLEAN,
				     "tree %llu has a name for inode %llu, and no item",
				     (unsigned long long)rp->root->id, (unsigned long long)ino);
	if (r == 0)
		r = count_links(rp, ino, &links);
	if (r == 0 && get_le32(&item.nlink) != links) {
		put_le32(&item.nlink, links);
		r = replay_inode_write(rp, ino, &item);
	}
	if (r == 0 && links == 0 && S_ISDIR(get_le32(&item.mode)))
		r = replay_dir_empty(rp, ino);
	return r < 0 ? r : fix_orphan(rp, ino, links);
}

int replay_link_fix(struct replay *rp)
{
	int r = 0;

	/* emptying a directory adds what was in it */
	while (r == 0 && rp->fixup_count)
		r = fix_inode(rp, rp->fixups[--rp->fixup_count]);
	return r;
}
