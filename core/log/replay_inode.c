/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_inode.c - INODE_ITEMs of a log.
 *
 * The log's item replaces the subvolume's, but what follows from other items is kept and changes
 * with them: nbytes, and a directory's size. Generation 0 in a log means: only that the inode
 * exists.
 */
#include <errno.h>
#include <sys/stat.h>

#include "core/log/replay_internal.h"

static struct key inode_key(u64 ino)
{
	return KEY(ino, BTRFS_INODE_ITEM_KEY, 0);
}

int replay_inode_read(struct replay *rp, u64 ino, struct btrfs_inode_item *ret)
{
	struct key key = inode_key(ino);
	int r = tree_lookup(rp->root, &key, ret, sizeof(*ret));

	return MIN(r, 0);
}

int replay_inode_exists(struct replay *rp, u64 ino)
{
	struct btrfs_inode_item item;

	return replay_inode_read(rp, ino, &item);
}

int replay_inode_write(struct replay *rp, u64 ino, const struct btrfs_inode_item *item)
{
	struct key key = inode_key(ino);

	return tree_put(rp->trans, rp->root, &key, item, sizeof(*item));
}

int replay_inode_grow(struct replay *rp, u64 ino, s64 size, s64 nbytes)
{
	struct btrfs_inode_item item;
	int r;

	if (!size && !nbytes)
		return 0;
	r = replay_inode_read(rp, ino, &item);
	if (r == -ENOENT)
		return replay_refuse(rp, -EUCLEAN, "inode %llu of tree %llu is missing",
				     (unsigned long long)ino, (unsigned long long)rp->root->id);
	if (r < 0)
		return r;
	put_le64(&item.size, get_le64(&item.size) + (u64)size);
	put_le64(&item.nbytes, get_le64(&item.nbytes) + (u64)nbytes);
	return replay_inode_write(rp, ino, &item);
}

static bool is_type(const struct btrfs_inode_item *item, u32 type)
{
	return (get_le32(&item->mode) & S_IFMT) == type;
}

/* The inode is there. @logged becomes what it is to be; false: it stays as it is. */
static bool merge(const struct btrfs_inode_item *old, struct btrfs_inode_item *logged)
{
	if (get_le64(&logged->generation) == 0) {
		u64 size = get_le64(&logged->size);

		if (!is_type(old, S_IFREG) || size == 0)
			return false;
		*logged = *old;
		put_le64(&logged->size, size);
		return true;
	}
	logged->nbytes = old->nbytes;
	if (is_type(old, S_IFDIR))
		logged->size = old->size;
	return true;
}

static void begin_new(struct btrfs_inode_item *logged, u64 transid)
{
	put_le64(&logged->nbytes, 0);
	if (is_type(logged, S_IFDIR))
		put_le64(&logged->size, 0);
	if (get_le64(&logged->generation) == 0)
		put_le64(&logged->generation, transid);
}

static int write_item(struct replay *rp, u64 ino, struct btrfs_inode_item *logged)
{
	struct btrfs_inode_item old;
	int r = replay_inode_read(rp, ino, &old);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT)
		begin_new(logged, rp->trans->transid);
	else if (!is_type(&old, get_le32(&logged->mode) & S_IFMT))
		return replay_refuse(rp, -EUCLEAN, "inode %llu of tree %llu is of another type",
				     (unsigned long long)ino, (unsigned long long)rp->root->id);
	else if (!merge(&old, logged)) {
		*logged = old;
		return 0;
	}
	return replay_inode_write(rp, ino, logged);
}

/* Extents behind the end go now: preallocated ones that the log has there come afterwards. */
int replay_inode(struct replay *rp, const struct key *key)
{
	struct btrfs_inode_item item;
	int r = replay_xattr_deletes(rp, key->objectid);
	u64 size;

	memcpy(&item, rp->item, sizeof(item));
	size = get_le64(&item.size);
	if (r == 0 && is_type(&item, S_IFDIR))
		r = replay_dir_deletes(rp, key->objectid);
	if (r == 0)
		r = write_item(rp, key->objectid, &item);
	if (r == 0 && is_type(&item, S_IFREG))
		r = replay_extent_drop(rp, key->objectid, ALIGN_UP(size, (u64)rp->fs->sectorsize),
				       UINT64_MAX);
	return r < 0 ? r : replay_link_note(rp, key->objectid);
}
