/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode.c - attributes of an inode in memory and the way back to its item, see inode.h.
 *
 * A dirty item always has its reservation in inode->item_rsv, so writing it cannot fail for space.
 */
#include "core/inode/inode.h"

#include "core/fs.h"
#include "core/inode/inode_item.h"
#include "core/inode/inode_table.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"
#include "core/tree/search.h"

struct timespec inode_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

int inode_check_rw(struct inode *inode)
{
	if (inode->fs->readonly ||
	    (get_le64(&inode->root->item.flags) & BTRFS_ROOT_SUBVOL_RDONLY))
		return -EROFS;
	return fs_error(inode->fs);
}

/* Without a join: the promise comes first, the lock second. */
static int change_begin_reserving(struct inode *inode)
{
	struct meta_rsv rsv = {};
	int r = inode_check_rw(inode);

	if (r == 0)
		r = space_reserve_meta(inode->fs, 1, false, &rsv);
	if (r < 0)
		return r;
	mutex_lock(&inode->attr_lock);
	if (!inode->item_rsv.bytes)
		inode->item_rsv = TAKE(rsv);
	if (rsv.bytes)
		space_release_meta(inode->fs, &rsv);
	return 0;
}

int inode_change_begin(struct inode *inode, struct trans *trans)
{
	bool promised;

	mutex_lock(&inode->attr_lock);
	promised = inode->item_dirty && inode->item_rsv.bytes;
	if (trans || promised)
		return 0;
	mutex_unlock(&inode->attr_lock);
	return change_begin_reserving(inode);
}

void inode_change_end(struct inode *inode, struct trans *trans)
{
	bool first = !inode->item_dirty;

	if (first && trans && !inode->item_rsv.bytes)
		trans_take_rsv(trans, 1, &inode->item_rsv);
	inode->a.sequence++;
	inode->item_dirty = true;
	if (first)
		inode_table_list_dirty(inode);
	mutex_unlock(&inode->attr_lock);
	if (first && !trans)
		trans_note_dirty(inode->fs);
}

int inode_mark_dirty(struct inode *inode, struct trans *trans)
{
	int r = inode_change_begin(inode, trans);

	if (r == 0)
		inode_change_end(inode, trans);
	return r;
}

void inode_attr_copy(struct inode *inode, struct inode_attr *ret)
{
	MUTEX_SCOPE(&inode->attr_lock);
	*ret = inode->a;
}

u64 inode_size(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	return inode->a.size;
}

int inode_update(struct trans *trans, struct inode *inode)
{
	int r = inode_item_write(trans, inode);

	if (r < 0)
		trans_abort(trans, r, "inode item");
	return r;
}

/* The highest number in use; special objects above the last free id do not count. */
static int highest_number(struct root *root, u64 *ret)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(BTRFS_LAST_FREE_OBJECTID, UINT8_MAX, UINT64_MAX);
	int r = tree_search_prev(root, &key, &path);

	*ret = BTRFS_FIRST_FREE_OBJECTID;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret = MAX(path_key(&path).objectid, (u64)BTRFS_FIRST_FREE_OBJECTID);
	return 0;
}

int inode_number_learn(struct root *root)
{
	u64 unset = 0, highest;
	int r;

	if (atomic_load(&root->next_ino))
		return 0;
	r = highest_number(root, &highest);
	/* whoever comes first is right: nothing was created or deleted before */
	if (r == 0)
		atomic_compare_exchange_strong(&root->next_ino, &unset, highest + 1);
	return r;
}

int inode_number_new(struct root *root, u64 *ret)
{
	int r = inode_number_learn(root);

	if (r < 0)
		return r;
	*ret = atomic_fetch_add(&root->next_ino, 1);
	return *ret >= INODE_STUB_BIT ? -ENOSPC : 0;
}
