/* SPDX-License-Identifier: GPL-2.0-or-later */
/* orphan.c - see orphan.h; and the deletion of what has no name any more. */
#include "core/inode/orphan.h"

#include "core/file/file.h"
#include "core/fs.h"
#include "core/inode/inode_item.h"
#include "core/inode/inode_table.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define ITEMS_PER_STEP 16u

static struct key orphan_key(u64 ino)
{
	return KEY(BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, ino);
}

int orphan_insert(struct trans *trans, struct root *root, u64 ino)
{
	struct key key = orphan_key(ino);
	int r = tree_insert(trans, root, &key, "", 0);

	return r == -EEXIST ? 0 : r;
}

int orphan_delete(struct trans *trans, struct root *root, u64 ino)
{
	struct key key = orphan_key(ino);
	int r = tree_delete_key(trans, root, &key);

	return r == -ENOENT ? 0 : r;
}

/* File extents that own space are the file layer's to remove; here that would leak them. */
static int refuse_extent(const struct path *path, const struct key *key)
{
	const struct btrfs_file_extent_item *fi = path_data(path);

	if (key->type != BTRFS_EXTENT_DATA_KEY || fi->type == BTRFS_FILE_EXTENT_INLINE ||
	    get_le64(&fi->disk_bytenr) == 0)
		return 0;
	log_fault("tree %llu inode %llu: extent at %llu left when its inode goes",
		  (unsigned long long)path->root->id, (unsigned long long)key->objectid,
		  (unsigned long long)key->offset);
	return -EUCLEAN;
}

/* Deletes the inode's last item: 1 more may follow, 0 there was none. The inode item is first in
 * order, so it goes last. */
static int delete_last_item(struct trans *trans, struct root *root, u64 ino)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(ino, UINT8_MAX, UINT64_MAX);
	int r = tree_search_cow_prev(trans, root, &key, -1, &path);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	key = path_key(&path);
	if (key.objectid != ino)
		return 0;
	r = refuse_extent(&path, &key);
	if (r == 0)
		r = tree_delete(trans, &path);
	return r < 0 ? r : 1;
}

/* 1: more to do. */
static int delete_step(struct inode *inode)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join_release(inode->fs, ITEMS_PER_STEP + 1, &trans);

	if (r < 0)
		return r;
	log_inode_renamed(&trans, inode->root->id, inode->ino); /* the number may be used again */
	r = 1;
	for (unsigned i = 0; r == 1 && i < ITEMS_PER_STEP; i++)
		r = delete_last_item(&trans, inode->root, inode->ino);
	if (r == 0)
		r = orphan_delete(&trans, inode->root, inode->ino);
	if (r == 0)
		inode_forget_dirty(inode);
	if (r < 0)
		trans_abort(&trans, r, "inode deletion");
	return r;
}

int inode_delete(struct inode *inode)
{
	int r = inode_number_learn(inode->root);

	SP("in.delete", .ino = inode->ino, .root = inode->root->id);
	if (r == 0 && inode_is_reg(inode)) {
		file_discard(inode);
		r = file_truncate_items(inode, 0);
	}
	if (r < 0)
		return r;
	do
		r = delete_step(inode);
	while (r == 1);
	return r;
}

/* The next orphan item from *ino on. 0, -ENOENT. */
static int orphan_next(struct root *root, u64 *ino)
{
	_cleanup_path_ struct path path = {};
	struct key key = orphan_key(*ino);
	int r = tree_search_next(root, &key, &path);

	if (r < 0)
		return r;
	key = path_key(&path);
	if (key.objectid != BTRFS_ORPHAN_OBJECTID || key.type != BTRFS_ORPHAN_ITEM_KEY)
		return -ENOENT;
	*ino = key.offset;
	return 0;
}

/* The item alone: its inode is gone, or has a name. */
static int drop_item(struct root *root, u64 ino)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join_release(root->fs, 1, &trans);

	if (r < 0)
		return r;
	r = orphan_delete(&trans, root, ino);
	if (r < 0)
		trans_abort(&trans, r, "orphan item");
	return r;
}

static int cleanup_one(struct root *root, u64 ino)
{
	_cleanup_inode_ struct inode *inode = NULL;
	struct inode_attr a = {};
	int r = inode_get(root->fs, root->id, ino, &inode);

	if (r == -ENOENT)
		return drop_item(root, ino);
	if (r == -ESTALE) /* on its way out at this moment */
		return 0;
	if (r < 0)
		return r;
	inode_attr_copy(inode, &a);
	if (a.nlink == 0)
		return 0; /* the last put deletes it */
	if (inode_is_reg(inode)) { /* an old kernel's unfinished truncate */
		r = file_truncate_items(inode, a.size);
		if (r < 0)
			return r;
	}
	return drop_item(root, ino);
}

int orphan_cleanup(struct fs *fs, u64 root_id)
{
	_cleanup_root_ struct root *root = NULL;
	u64 ino = 0;
	int r = root_get(fs, root_id, &root);

	if (r < 0)
		return r;
	if (!fs->mount_root_id) /* a mount that is still looking for its subvolume changes nothing */
		return 0;
	if (fs->readonly || atomic_load(&fs->shut) ||
	    (get_le64(&root->item.flags) & BTRFS_ROOT_SUBVOL_RDONLY))
		return 0;
	if (atomic_exchange(&root->orphans_done, true))
		return 0;
	while ((r = orphan_next(root, &ino)) == 0) {
		r = cleanup_one(root, ino);
		if (r < 0 || ++ino == 0)
			break;
	}
	return r == -ENOENT ? 0 : r;
}
