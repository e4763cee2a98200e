/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namei_create.c - new inodes: what they inherit, and their first items. */
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/inode/acl_store.h"
#include "core/inode/dir.h"
#include "core/inode/inode_flags.h"
#include "core/inode/inode_item.h"
#include "core/inode/inode_table.h"
#include "core/inode/namei_internal.h"
#include "core/inode/orphan.h"
#include "core/quota/qgroup.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/sync_point.h"

#define CREATE_ITEMS 9u

static u32 inline_symlink_bytes(u32 len)
{
	return (u32)offsetof(struct btrfs_file_extent_item, disk_bytenr) + len;
}

int symlink_check(const struct fs *fs, const char *target, u32 *ret_len)
{
	size_t len = strlen(target);
	u32 room = LEAF_DATA(fs->nodesize) - (u32)sizeof(struct btrfs_item);

	if (len == 0)
		return -ENOENT;
	/* one page with its terminator, as the kernel's own buffers */
	if (len >= 4096 || inline_symlink_bytes((u32)len) > room)
		return -ENAMETOOLONG;
	*ret_len = (u32)len;
	return 0;
}

int symlink_insert(struct trans *trans, struct inode *inode, const char *target, u32 len)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(inode->ino, BTRFS_EXTENT_DATA_KEY, 0);
	struct btrfs_file_extent_item *fi;
	int r = tree_insert_empty(trans, inode->root, &key, inline_symlink_bytes(len), &path);

	if (r < 0)
		return r;
	fi = path_data(&path);
	put_le64(&fi->generation, trans->transid);
	put_le64(&fi->ram_bytes, len);
	fi->type = BTRFS_FILE_EXTENT_INLINE;
	memcpy((u8 *)fi + offsetof(struct btrfs_file_extent_item, disk_bytenr), target, len);
	return 0;
}

int namei_readlink(struct inode *inode, char *buf, u32 *len)
{
	int r;

	if (!S_ISLNK(inode->type))
		return -EINVAL;
	r = file_extent_read_inline(inode->root, inode->ino, buf, *len);
	if (r < 0)
		return r == -ENOENT ? -EUCLEAN : r;
	*len = (u32)r;
	return 0;
}

/* NODATACOW goes with NODATASUM on files. */
static u64 inherited_flags(const struct fs *fs, u64 dir_flags, u32 mode)
{
	u64 flags = dir_flags & (BTRFS_INODE_NODATACOW | BTRFS_INODE_NOCOMPRESS);

	if (!(flags & (BTRFS_INODE_NODATACOW | BTRFS_INODE_NOCOMPRESS)))
		flags |= dir_flags & BTRFS_INODE_COMPRESS;
	if (!S_ISREG(mode))
		return flags;
	if (fs->opt.nodatacow)
		flags |= BTRFS_INODE_NODATACOW;
	if (fs->opt.nodatasum || (flags & BTRFS_INODE_NODATACOW))
		flags |= BTRFS_INODE_NODATASUM;
	return flags;
}

static struct inode_attr new_attr(struct inode *dir, u32 mode, dev_t rdev, const struct cred *cred)
{
	struct timespec now = inode_now();
	struct inode_attr d, a = {
		.mode = mode, .uid = cred->uid, .gid = cred->gid, .nlink = 1,
		.atime = now, .mtime = now, .ctime = now, .otime = now,
	};

	if (S_ISCHR(mode) || S_ISBLK(mode))
		a.rdev = rdev;
	inode_attr_copy(dir, &d);
	a.flags = inherited_flags(dir->fs, d.flags, mode);
	if (d.mode & S_ISGID) {
		a.gid = d.gid;
		if (S_ISDIR(mode))
			a.mode |= S_ISGID;
	}
	return a;
}

static void inode_dropp(struct inode **inode)
{
	inode_free(*inode);
}

int creation_prepare(struct inode *dir, u32 mode, dev_t rdev, const struct cred *cred,
		     struct creation *c)
{
	_cleanup_(inode_dropp) struct inode *inode = NULL;
	struct root *root;
	u64 ino;
	int r = inode_number_new(dir->root, &ino);

	if (r == 0)
		r = root_get(dir->fs, dir->root->id, &root);
	if (r == 0)
		r = inode_alloc(dir->fs, root, ino, &inode);
	if (r == 0)
		r = acl_inherit_prepare(dir, ino, mode, cred->umask, &c->acl);
	if (r < 0)
		return r;
	inode->a = new_attr(dir, c->acl.mode, rdev, cred);
	r = compression_inherit(dir, ino, mode, inode->a.flags, &c->compression);
	if (r < 0)
		return r;
	inode->a.flags = compression_flags(inode->a.flags, &c->compression);
	inode->type = mode & S_IFMT;
	inode->a.size = inode->a.nbytes = c->target_len;
	inode->dir_index_next = S_ISDIR(mode) ? 2 : 0;
	atomic_store(&inode->no_caps, true);
	atomic_store(&inode->no_access_acl, !c->acl.access.set);
	atomic_store(&inode->no_default_acl, !c->acl.deflt.set);
	c->inode = TAKE(inode);
	return 0;
}

int creation_insert(struct trans *trans, struct creation *c)
{
	struct inode *inode = c->inode;
	int r;

	inode->a.generation = trans->transid;
	r = inode_item_insert(trans, inode);
	if (r == 0)
		r = xattr_put_apply(trans, inode->root, &c->acl.access);
	if (r == 0)
		r = xattr_put_apply(trans, inode->root, &c->acl.deflt);
	if (r == 0 && c->compression.put.set)
		r = compression_apply(trans, inode, &c->compression);
	if (r == 0 && c->target)
		r = symlink_insert(trans, inode, c->target, c->target_len);
	return r;
}

struct inode *creation_publish(struct creation *c)
{
	inode_table_add(c->inode);
	return TAKE(c->inode);
}

void creation_free(struct creation *c)
{
	inode_free(c->inode);
	acl_inherited_free(&c->acl);
	compression_change_free(&c->compression);
}

static int create_joined(struct trans *trans, struct inode *dir, struct name name,
			 struct creation *c)
{
	int r = creation_insert(trans, c);

	if (r == 0)
		r = namei_add_name(trans, dir, name, c->inode, c->index);
	return r < 0 ? r : inode_item_write(trans, dir);
}

/* @name.len 0: without a name, an orphan from the start. */
static int create_commit(struct inode *dir, struct name name, struct creation *c,
			 struct inode **ret)
{
	_cleanup_trans_ struct trans trans = {};
	int r = quota_check_nodes(dir->fs, dir->root->id, CREATE_ITEMS);

	r = r < 0 ? r : trans_join(dir->fs, CREATE_ITEMS, &trans);
	if (r < 0)
		return r;
	if (name.len) {
		r = create_joined(&trans, dir, name, c);
	} else {
		r = creation_insert(&trans, c);
		if (r == 0)
			r = orphan_insert(&trans, dir->root, c->inode->ino);
	}
	if (r < 0)
		trans_abort(&trans, r, "create");
	else
		*ret = creation_publish(c);
	return r;
}

static int create_locked(struct inode *dir, struct name name, u32 mode, dev_t rdev,
			 const struct cred *cred, const char *target, struct inode **ret)
{
	_cleanup_(creation_free) struct creation c = { .target = target };
	int r = namei_check_dir(dir, name);

	if (r == 0)
		r = dir_entry_room(dir->root, dir->ino, name);
	if (r == 0 && target)
		r = symlink_check(dir->fs, target, &c.target_len);
	if (r == 0)
		r = namei_index_new(dir, &c.index);
	if (r == 0)
		r = creation_prepare(dir, mode, rdev, cred, &c);
	return r < 0 ? r : create_commit(dir, name, &c, ret);
}

int namei_tmpfile(struct inode *dir, u32 mode, const struct cred *cred, struct inode **ret)
{
	_cleanup_(creation_free) struct creation c = {};
	struct name none = {};
	int r;

	WRLOCK_SCOPE(&dir->lock);
	r = namei_check_dir(dir, (struct name){ "tmpfile", 7 });
	if (r == 0)
		r = creation_prepare(dir, S_IFREG | (mode & 07777), 0, cred, &c);
	if (r < 0)
		return r;
	c.inode->a.nlink = 0;
	c.inode->linkable = true;
	return create_commit(dir, none, &c, ret);
}

int namei_create(struct inode *dir, struct name name, u32 mode, dev_t rdev,
		 const struct cred *cred, const char *target, struct inode **ret)
{
	if ((target != NULL) != S_ISLNK(mode) ||
	    dir_ftype_of_mode(mode) == BTRFS_FT_UNKNOWN)
		return -EINVAL;
	WRLOCK_SCOPE(&dir->lock);
	return create_locked(dir, name, mode, rdev, cred, target, ret);
}
