/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mount_root.c - see mount_root.h. */
#include "core/subvol/mount_root.h"

#include <errno.h>
#include <string.h>

#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/inode/namei.h"
#include "core/subvol/root_table.h"
#include "core/tree/root.h"
#include "core/tree/search.h"
#include "disk/format/hash.h"

/* The root tree's own directory names the default subvolume: an entry "default". */
static int default_subvol(struct fs *fs, u64 *ret)
{
	static const char name[] = "default";
	struct key key = { get_le64(&fs->super.root_dir_objectid), BTRFS_DIR_ITEM_KEY,
			   name_hash(name, strlen(name)) };
	struct btrfs_dir_item item;
	int r = tree_lookup(fs->tree_root, &key, &item, sizeof(item));

	*ret = BTRFS_FS_TREE_OBJECTID;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	key = key_from_disk(&item.location);
	if (key.type == BTRFS_ROOT_ITEM_KEY)
		*ret = key.objectid;
	return 0;
}

/* One component of the path further down. */
static int step(struct inode **dir, const char *s, size_t len)
{
	struct name name = { s, (u16)len };
	struct inode *child;
	int r = namei_lookup(*dir, name, &child);

	if (r < 0)
		return r;
	inode_put(*dir);
	*dir = child;
	return 0;
}

static int subvol_by_path(struct fs *fs, const char *path, u64 *ret)
{
	_cleanup_inode_ struct inode *dir = NULL;
	int r = inode_get(fs, BTRFS_FS_TREE_OBJECTID, BTRFS_FIRST_FREE_OBJECTID, &dir);

	while (r == 0) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0)
			break;
		if (len > NAME_LEN_MAX)
			return -ENAMETOOLONG;
		r = step(&dir, path, len);
		path += len;
	}
	if (r < 0)
		return r;
	if (dir->ino != BTRFS_FIRST_FREE_OBJECTID)
		return -EINVAL;
	*ret = dir->root->id;
	return 0;
}

static int choose_by_path(struct fs *fs, struct reason *why)
{
	int r = subvol_by_path(fs, fs->opt.subvol, &fs->mount_root_id);

	if (r == -ENOENT || r == -ENOTDIR)
		reason_set(why, "subvol=%s: no such subvolume", fs->opt.subvol);
	else if (r == -EINVAL)
		reason_set(why, "subvol=%s: not a subvolume", fs->opt.subvol);
	else if (r < 0)
		reason_set(why, "subvol=%s: %s", fs->opt.subvol, strerror(-r));
	return r;
}

/* What cannot show even its top directory is not worth a mountpoint. */
static int check_top_directory(struct fs *fs, struct reason *why)
{
	_cleanup_inode_ struct inode *top = NULL;
	int r = inode_get(fs, fs->mount_root_id, BTRFS_FIRST_FREE_OBJECTID, &top);

	if (r < 0)
		reason_set(why, "subvolume %llu: its top directory cannot be read: %s",
			   (unsigned long long)fs->mount_root_id, strerror(-r));
	return r;
}

int mount_root_choose(struct fs *fs, struct reason *why)
{
	_cleanup_root_ struct root *root = NULL;
	u64 by_path = 0;
	int r = 0;

	if (fs->opt.subvol) {
		r = choose_by_path(fs, why);
		by_path = fs->mount_root_id;
	} else if (!fs->opt.subvolid) {
		r = default_subvol(fs, &fs->mount_root_id);
	}
	if (r < 0)
		return r;
	if (fs->opt.subvolid && by_path && by_path != fs->opt.subvolid) {
		reason_set(why, "subvol=%s has the id %llu, not subvolid=%llu", fs->opt.subvol,
			   (unsigned long long)by_path, (unsigned long long)fs->opt.subvolid);
		return -EINVAL;
	}
	if (fs->opt.subvolid)
		fs->mount_root_id = fs->opt.subvolid;
	r = root_get(fs, fs->mount_root_id, &root);
	if (r < 0)
		reason_set(why, "subvolume %llu: %s", (unsigned long long)fs->mount_root_id,
			   r == -ENOENT ? "no such subvolume" : strerror(-r));
	return r < 0 ? r : check_top_directory(fs, why);
}
