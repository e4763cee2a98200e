/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_item.c - see inode_item.h. attr_lock is taken under the tree's write lock, so an item is
 * always a consistent set of attributes. */
#include "core/inode/inode_item.h"

#include <sys/sysmacros.h>

#include "core/file/file.h"
#include "core/fs.h"
#include "core/inode/inode_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define RDEV_MINOR_BITS 20

static struct timespec time_decode(const struct btrfs_timespec *t)
{
	return (struct timespec){ .tv_sec = (time_t)get_le64(&t->sec),
				  .tv_nsec = (long)get_le32(&t->nsec) };
}

static void time_encode(const struct timespec *ts, struct btrfs_timespec *t)
{
	put_le64(&t->sec, (u64)ts->tv_sec);
	put_le32(&t->nsec, (u32)ts->tv_nsec);
}

void inode_item_decode(const struct btrfs_inode_item *item, struct inode_attr *ret)
{
	u64 rdev = get_le64(&item->rdev);

	*ret = (struct inode_attr){
		.mode = get_le32(&item->mode),
		.uid = get_le32(&item->uid),
		.gid = get_le32(&item->gid),
		.nlink = get_le32(&item->nlink),
		.rdev = makedev((unsigned)(rdev >> RDEV_MINOR_BITS),
				(unsigned)(rdev & ((1u << RDEV_MINOR_BITS) - 1))),
		.size = get_le64(&item->size),
		.nbytes = get_le64(&item->nbytes),
		.flags = get_le64(&item->flags),
		.generation = get_le64(&item->generation),
		.sequence = get_le64(&item->sequence),
		.transid = get_le64(&item->transid),
		.atime = time_decode(&item->atime),
		.mtime = time_decode(&item->mtime),
		.ctime = time_decode(&item->ctime),
		.otime = time_decode(&item->otime),
	};
}

void inode_item_encode(const struct inode_attr *attr, struct btrfs_inode_item *item)
{
	put_le64(&item->generation, attr->generation);
	put_le64(&item->transid, attr->transid);
	put_le64(&item->size, attr->size);
	put_le64(&item->nbytes, attr->nbytes);
	put_le32(&item->nlink, attr->nlink);
	put_le32(&item->uid, attr->uid);
	put_le32(&item->gid, attr->gid);
	put_le32(&item->mode, attr->mode);
	put_le64(&item->rdev, ((u64)major(attr->rdev) << RDEV_MINOR_BITS) | minor(attr->rdev));
	put_le64(&item->flags, attr->flags);
	put_le64(&item->sequence, attr->sequence);
	time_encode(&attr->atime, &item->atime);
	time_encode(&attr->mtime, &item->mtime);
	time_encode(&attr->ctime, &item->ctime);
	time_encode(&attr->otime, &item->otime);
}

static struct key item_key(u64 ino)
{
	return KEY(ino, BTRFS_INODE_ITEM_KEY, 0);
}

int inode_item_read(struct root *root, u64 ino, struct inode_attr *ret)
{
	struct btrfs_inode_item item = {};
	struct key key = item_key(ino);
	int r = tree_lookup(root, &key, &item, sizeof(item));

	if (r < 0)
		return r;
	inode_item_decode(&item, ret);
	return 0;
}

/* Fills the item at the write-locked path. What readers see may be more than what is on disk:
 * the size is the part whose data is there. */
static void fill_locked(struct trans *trans, struct inode *inode, struct path *path)
{
	struct btrfs_inode_item *item = path_data(path);
	struct inode_attr a;
	struct meta_rsv rsv;

	SP("in.item", .ino = inode->ino, .root = inode->root->id);
	mutex_lock(&inode->attr_lock);
	inode->a.transid = trans->transid;
	a = inode->a;
	/* under the lock: a size that is not in the item finds it clean, and lists it again */
	if (inode_is_reg(inode))
		a.size = file_disk_size_of(inode, a.size);
	inode->item_dirty = false;
	rsv = TAKE(inode->item_rsv);
	mutex_unlock(&inode->attr_lock);
	inode_item_encode(&a, item);
	if (rsv.bytes)
		space_release_meta(trans->fs, &rsv);
}

int inode_item_insert(struct trans *trans, struct inode *inode)
{
	_cleanup_path_ struct path path = {};
	struct key key = item_key(inode->ino);
	int r = tree_insert_empty(trans, inode->root, &key, sizeof(struct btrfs_inode_item),
				  &path);

	if (r < 0)
		return r;
	fill_locked(trans, inode, &path);
	return 0;
}

int inode_item_write(struct trans *trans, struct inode *inode)
{
	_cleanup_path_ struct path path = {};
	struct key key = item_key(inode->ino);
	int r = tree_search_cow(trans, inode->root, &key, 0, &path);

	if (r < 0)
		return r;
	if (r) {
		log_fault("tree %llu inode %llu: no inode item",
			  (unsigned long long)inode->root->id, (unsigned long long)inode->ino);
		return -EUCLEAN;
	}
	fill_locked(trans, inode, &path);
	return 0;
}
