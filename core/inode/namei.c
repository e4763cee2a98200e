/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namei.c - looking up, linking and unlinking names; what the other name operations share.
 *
 * Each operation: lock the directory, then the inode; check everything that can be wrong by
 * reading; join; change. Once joined, any failure aborts, so no half of an operation is ever
 * committed.
 */
#include "core/fs.h"
#include "core/inode/dir.h"
#include "core/inode/inode_flags.h"
#include "core/inode/inode_item.h"
#include "core/inode/inode_ref.h"
#include "core/inode/namei_internal.h"
#include "core/inode/orphan.h"
#include "core/quota/qgroup.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"

#define LINK_ITEMS 6u
#define UNLINK_ITEMS 7u

int namei_check_dir(struct inode *dir, struct name name)
{
	struct inode_attr a;
	int r;

	if (!inode_is_dir(dir))
		return -ENOTDIR;
	if (name.len == 0 || (name.len == 1 && name.s[0] == '.') ||
	    (name.len == 2 && name.s[0] == '.' && name.s[1] == '.'))
		return -EINVAL;
	if (name.len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	if (dir->ino & INODE_STUB_BIT)
		return -EACCES;
	r = inode_check_rw(dir);
	if (r < 0)
		return r;
	inode_attr_copy(dir, &a);
	if (a.nlink == 0)
		return -ENOENT;
	return a.flags & BTRFS_INODE_IMMUTABLE ? -EPERM : 0;
}

int namei_check_victim(struct inode *dir, struct inode *inode)
{
	struct inode_attr a, d;

	inode_attr_copy(dir, &d);
	inode_attr_copy(inode, &a);
	if (d.flags & BTRFS_INODE_APPEND)
		return -EPERM;
	return a.flags & (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND) ? -EPERM : 0;
}

int namei_index_learn(struct inode *dir)
{
	u64 next;
	int r;

	if (dir->dir_index_next)
		return 0;
	r = dir_entry_next_index(dir->root, dir->ino, &next);
	if (r == 0)
		dir->dir_index_next = next;
	return r;
}

int namei_index_new(struct inode *dir, u64 *ret)
{
	int r = namei_index_learn(dir);

	if (r == 0)
		*ret = dir->dir_index_next++;
	return r;
}

void namei_touch_dir(struct inode *dir, s64 delta)
{
	MUTEX_SCOPE(&dir->attr_lock);
	if (delta < 0 && dir->a.size < (u64)-delta)
		dir->a.size = 0;
	else
		dir->a.size += (u64)delta;
	dir->a.mtime = dir->a.ctime = inode_now();
	dir->a.sequence++;
}

void namei_touch(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	inode->a.ctime = inode_now();
	inode->a.sequence++;
}

int namei_add_name(struct trans *trans, struct inode *dir, struct name name, struct inode *inode,
		   u64 index)
{
	struct dir_entry entry = { .location = KEY(inode->ino, BTRFS_INODE_ITEM_KEY, 0),
				   .ftype = dir_ftype_of_mode(inode->type) };
	int r = inode_ref_insert(trans, dir->root, inode->ino, dir->ino, name, index);

	if (r == 0)
		r = dir_entry_insert(trans, dir->root, dir->ino, name, &entry, index);
	if (r == 0)
		namei_touch_dir(dir, 2 * (s64)name.len);
	return r;
}

int namei_drop_name(struct trans *trans, struct inode *dir, struct name name,
		    struct inode *inode, u64 index)
{
	int r = inode_ref_delete(trans, dir->root, inode->ino, dir->ino, name);

	if (r == 0)
		r = dir_entry_delete(trans, dir->root, dir->ino, name, index);
	if (r == 0)
		namei_touch_dir(dir, -2 * (s64)name.len);
	return r;
}

static u32 drop_link(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	inode->a.ctime = inode_now();
	inode->a.sequence++;
	return inode->a.nlink ? --inode->a.nlink : 0;
}

int namei_unlink_inode(struct trans *trans, struct inode *inode)
{
	if (drop_link(inode))
		return 0;
	return orphan_insert(trans, inode->root, inode->ino);
}

int namei_check_empty(struct inode *dir)
{
	MUTEX_SCOPE(&dir->attr_lock);
	return dir->a.size ? -ENOTEMPTY : 0;
}

static struct dir_record record_of(struct name name, const struct dir_entry *e)
{
	return (struct dir_record){ .name = name, .objectid = e->location.objectid,
				    .key_type = e->location.type, .ftype = e->ftype };
}

int namei_lookup(struct inode *dir, struct name name, struct inode **ret)
{
	struct dir_record rec;
	struct dir_entry entry;
	int r;

	if (!inode_is_dir(dir))
		return -ENOTDIR;
	if (name.len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	RDLOCK_SCOPE(&dir->lock);
	r = dir_entry_find(dir->root, dir->ino, name, &entry);
	if (r < 0)
		return r;
	rec = record_of(name, &entry);
	return dir_child(dir, &rec, ret);
}

static int check_link(struct inode *inode, struct inode *dir, struct name name)
{
	struct inode_attr a;
	int r = namei_check_dir(dir, name);

	if (r < 0)
		return r;
	if (inode->root != dir->root)
		return -EXDEV;
	if (inode_is_dir(inode))
		return -EPERM;
	inode_attr_copy(inode, &a);
	if (a.nlink == 0 && !inode->linkable)
		return -ENOENT;
	if (a.flags & (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND))
		return -EPERM;
	r = dir_entry_room(dir->root, dir->ino, name);
	if (r == 0 && a.nlink >= INODE_LINK_MAX)
		r = -EMLINK;
	return r < 0 ? r : inode_ref_room(dir->root, inode->ino, dir->ino, name);
}

static u32 add_link(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	return ++inode->a.nlink;
}

static int link_joined(struct trans *trans, struct inode *inode, struct inode *dir,
		       struct name name, u64 index)
{
	int r = namei_add_name(trans, dir, name, inode, index);

	if (r < 0)
		return r;
	namei_touch(inode);
	if (add_link(inode) == 1) {
		log_inode_renamed(trans, dir->root->id, inode->ino); /* it may be an orphan there */
		r = orphan_delete(trans, dir->root, inode->ino);
	}
	inode->linkable = false;
	if (r == 0)
		r = inode_item_write(trans, inode);
	return r < 0 ? r : inode_item_write(trans, dir);
}

int namei_link(struct inode *inode, struct inode *dir, struct name name)
{
	_cleanup_trans_ struct trans trans = {};
	u64 index;
	int r;

	WRLOCK_SCOPE(&dir->lock);
	if (inode_is_dir(inode))
		return -EPERM;
	WRLOCK_SCOPE(&inode->lock);
	r = check_link(inode, dir, name);
	if (r == 0)
		r = namei_index_new(dir, &index);
	if (r == 0)
		r = quota_check_nodes(dir->fs, dir->root->id, LINK_ITEMS);
	if (r == 0)
		r = trans_join(dir->fs, LINK_ITEMS, &trans);
	if (r < 0)
		return r;
	r = link_joined(&trans, inode, dir, name, index);
	if (r < 0)
		trans_abort(&trans, r, "link");
	trans_end(&trans);
	return r;
}

/* A subvolume is not removed by taking its name away; a stub has nothing behind it. */
static int unlink_stub(struct inode *dir, struct name name, const struct dir_entry *entry)
{
	_cleanup_trans_ struct trans trans = {};
	struct dir_record rec = record_of(name, entry);
	u64 root_id, ino, index;
	int r = dir_child_id(dir, &rec, &root_id, &ino);

	if (r == 0 && !(ino & INODE_STUB_BIT))
		return -EPERM;
	if (r == 0)
		r = dir_entry_index(dir->root, dir->ino, name, &index);
	if (r == 0)
		r = namei_index_learn(dir);
	if (r == 0)
		r = trans_join_release(dir->fs, UNLINK_ITEMS, &trans);
	if (r < 0)
		return r;
	r = dir_entry_delete(&trans, dir->root, dir->ino, name, index);
	if (r == 0) {
		namei_touch_dir(dir, -2 * (s64)name.len);
		r = inode_item_write(&trans, dir);
	}
	if (r < 0)
		trans_abort(&trans, r, "rmdir");
	trans_end(&trans);
	return r;
}

static int check_unlink(struct inode *dir, struct inode *inode, bool want_dir)
{
	int r;

	if (want_dir != inode_is_dir(inode))
		return want_dir ? -ENOTDIR : -EISDIR;
	r = namei_check_victim(dir, inode);
	return r == 0 && want_dir ? namei_check_empty(inode) : r;
}

static int unlink_joined(struct trans *trans, struct inode *dir, struct name name,
			 struct inode *inode, u64 index)
{
	int r = namei_drop_name(trans, dir, name, inode, index);

	if (r == 0)
		r = namei_unlink_inode(trans, inode);
	if (r == 0)
		r = inode_item_write(trans, inode);
	return r < 0 ? r : inode_item_write(trans, dir);
}

/* dir->lock held for writing. */
static int unlink_inode(struct inode *dir, struct name name, struct inode *inode, bool want_dir)
{
	_cleanup_trans_ struct trans trans = {};
	u64 index;
	int r;

	WRLOCK_SCOPE(&inode->lock);
	r = check_unlink(dir, inode, want_dir);
	if (r == 0)
		r = inode_ref_find(dir->root, inode->ino, dir->ino, name, &index);
	if (r == -ENOENT)
		r = -EUCLEAN;
	if (r == 0)
		r = namei_index_learn(dir);
	if (r == 0)
		r = trans_join_release(dir->fs, UNLINK_ITEMS, &trans);
	if (r < 0)
		return r;
	r = unlink_joined(&trans, dir, name, inode, index);
	if (r < 0)
		trans_abort(&trans, r, "unlink");
	trans_end(&trans);
	return r;
}

static int unlink_locked(struct inode *dir, struct name name, bool want_dir, struct inode **gone)
{
	struct dir_entry entry;
	struct dir_record rec;
	int r = namei_check_dir(dir, name);

	if (r == 0)
		r = dir_entry_find(dir->root, dir->ino, name, &entry);
	if (r < 0)
		return r;
	if (entry.location.type == BTRFS_ROOT_ITEM_KEY)
		return want_dir ? unlink_stub(dir, name, &entry) : -EISDIR;
	rec = record_of(name, &entry);
	r = dir_child(dir, &rec, gone);
	return r < 0 ? r : unlink_inode(dir, name, *gone, want_dir);
}

static int unlink_name(struct inode *dir, struct name name, bool want_dir, struct inode **gone)
{
	/* put after the locks are dropped: the last reference deletes the items */
	_cleanup_inode_ struct inode *inode = NULL;
	int r;

	if (gone)
		*gone = NULL;
	rwlock_wrlock(&dir->lock);
	r = unlink_locked(dir, name, want_dir, &inode);
	rwlock_unlock(&dir->lock);
	if (r == 0 && gone)
		*gone = TAKE(inode);
	return r;
}

int namei_unlink(struct inode *dir, struct name name, struct inode **gone)
{
	return unlink_name(dir, name, false, gone);
}

int namei_rmdir(struct inode *dir, struct name name, struct inode **gone)
{
	return unlink_name(dir, name, true, gone);
}
