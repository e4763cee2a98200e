/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attr_flags.c - chattr: FS_*_FL and FS_XFLAG_* to and from the flags of the inode item. */
#include <linux/fs.h>

#include "core/inode/attr.h"
#include "core/inode/compression.h"
#include "core/inode/inode_flags.h"
#include "core/inode/inode_item.h"
#include "core/trans/transaction.h"

static const struct {
	u32 fs;
	u32 xflag;
	u64 disk;
} table[] = {
	{ FS_SYNC_FL, FS_XFLAG_SYNC, BTRFS_INODE_SYNC },
	{ FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE, BTRFS_INODE_IMMUTABLE },
	{ FS_APPEND_FL, FS_XFLAG_APPEND, BTRFS_INODE_APPEND },
	{ FS_NODUMP_FL, FS_XFLAG_NODUMP, BTRFS_INODE_NODUMP },
	{ FS_NOATIME_FL, FS_XFLAG_NOATIME, BTRFS_INODE_NOATIME },
	{ FS_DIRSYNC_FL, 0, BTRFS_INODE_DIRSYNC },
	{ FS_NOCOW_FL, 0, BTRFS_INODE_NODATACOW },
	{ FS_NOCOMP_FL, 0, BTRFS_INODE_NOCOMPRESS },
	{ FS_COMPR_FL, 0, BTRFS_INODE_COMPRESS },
};

#define BOTH_COMPR (FS_COMPR_FL | FS_NOCOMP_FL)

static u64 flags_of(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	return inode->a.flags;
}

bool attr_is_synchronous(struct inode *inode)
{
	u64 flags = BTRFS_INODE_SYNC | (inode_is_dir(inode) ? BTRFS_INODE_DIRSYNC : 0u);

	return flags_of(inode) & flags;
}

bool attr_is_append_only(struct inode *inode)
{
	return flags_of(inode) & BTRFS_INODE_APPEND;
}

u32 attr_get_flags(struct inode *inode)
{
	u64 disk = flags_of(inode);
	u32 fs = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (disk & table[i].disk)
			fs |= table[i].fs;
	if (disk & BTRFS_INODE_RO_VERITY)
		fs |= FS_VERITY_FL;
	return fs;
}

u32 attr_get_xflags(struct inode *inode)
{
	u64 disk = flags_of(inode);
	u32 xflags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (disk & table[i].disk)
			xflags |= table[i].xflag;
	return xflags;
}

static int refuse_flags(u32 fs, u32 before)
{
	u32 known = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		known |= table[i].fs;
	if ((fs ^ before) & FS_VERITY_FL || fs & ~(known | FS_VERITY_FL))
		return -EOPNOTSUPP;
	if ((fs & FS_COMPR_FL) && (fs & (FS_NOCOW_FL | FS_NOCOMP_FL)))
		return -EINVAL;
	if ((before & FS_NOCOW_FL) && (fs & BOTH_COMPR))
		return -EINVAL;
	return (fs & FS_NOCOW_FL) && (before & BOTH_COMPR) ? -EINVAL : 0;
}

/* NOCOW: for directories as asked; for files only while they are empty, since written data would
 * not fit it; nothing else ever has the flag changed. */
static u64 nocow_flags(const struct inode *inode, const struct inode_attr *a, u64 asked)
{
	const u64 both = BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM;

	if (S_ISREG(inode->type))
		return a->size ? a->flags & both : (asked & BTRFS_INODE_NODATACOW ? both : 0);
	return (asked & BTRFS_INODE_NODATACOW) | (a->flags & BTRFS_INODE_NODATASUM);
}

static u64 mask_for_type(const struct inode *inode, u64 disk)
{
	if (inode_is_dir(inode))
		return disk;
	if (inode_is_reg(inode))
		return disk & ~(u64)BTRFS_INODE_DIRSYNC;
	return disk & (BTRFS_INODE_NODUMP | BTRFS_INODE_NOATIME);
}

static u64 new_flags(const struct inode *inode, const struct inode_attr *a, u32 fs)
{
	u64 ours = BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM, asked = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		ours |= table[i].disk;
		if (fs & table[i].fs)
			asked |= table[i].disk;
	}
	asked = mask_for_type(inode, asked);
	return (a->flags & ~ours) | (asked & ~(u64)BTRFS_INODE_NODATACOW) |
	       nocow_flags(inode, a, asked);
}

/* chattr's c is the property with a default value; without c there is none. */
static int prepare_property(struct inode *inode, u32 fs, struct compression_change *ret)
{
	const char *value = fs & FS_COMPR_FL ? compression_default(inode->fs) : NULL;
	int r = compression_prepare(inode, value, value ? (u32)strlen(value) : 0, 0, ret);

	return r == -ENODATA ? 0 : r;
}

/* inode->lock held for writing. */
static int set_locked(struct inode *inode, u32 fs, bool with_property)
{
	_cleanup_compression_ struct compression_change c = {};
	_cleanup_trans_ struct trans trans = {};
	struct inode_attr a;
	int r = with_property ? prepare_property(inode, fs, &c) : 0;

	if (r == 0)
		r = trans_join(inode->fs, 3, &trans);
	if (r < 0)
		return r;
	if (with_property)
		r = compression_apply(&trans, inode, &c);
	if (r < 0) {
		trans_abort(&trans, r, "the compression property");
		return r;
	}
	inode_attr_copy(inode, &a);
	mutex_lock(&inode->attr_lock);
	inode->a.flags = new_flags(inode, &a, fs);
	inode->a.ctime = inode_now();
	inode->a.sequence++;
	mutex_unlock(&inode->attr_lock);
	return inode_update(&trans, inode);
}

static int set_flags(struct inode *inode, u32 fs_flags, bool with_property)
{
	int r = inode_check_rw(inode);

	if (inode->ino & INODE_STUB_BIT)
		return -EPERM;
	WRLOCK_SCOPE(&inode->lock);
	if (r == 0)
		r = refuse_flags(fs_flags, attr_get_flags(inode));
	with_property = with_property && (inode_is_reg(inode) || inode_is_dir(inode));
	return r < 0 ? r : set_locked(inode, fs_flags, with_property);
}

int attr_set_flags(struct inode *inode, u32 fs_flags)
{
	return set_flags(inode, fs_flags, true);
}

int attr_set_xflags(struct inode *inode, u32 xflags)
{
	u32 fs = attr_get_flags(inode);

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (!table[i].xflag)
			continue;
		fs &= ~table[i].fs;
		if (xflags & table[i].xflag)
			fs |= table[i].fs;
		xflags &= ~table[i].xflag;
	}
	return xflags ? -EOPNOTSUPP : set_flags(inode, fs, false);
}
