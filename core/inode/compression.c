/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compression.c - see compression.h. */
#include "core/inode/compression.h"

#include <sys/xattr.h>

#include "core/fs.h"
#include "core/inode/inode_flags.h"
#include "core/trans/transaction.h"
#include "disk/codec/compress.h"

#define BOTH_FLAGS (BTRFS_INODE_COMPRESS | BTRFS_INODE_NOCOMPRESS)
#define UNCOMPRESSIBLE (BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM)
#define VALUE_MAX 64

static u64 flags_of(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	return inode->a.flags;
}

/* The kernel looks at the first letters only. */
static u8 type_of_value(const char *value, u32 len)
{
	for (u8 type = COMPRESS_ZLIB; type < COMPRESS_TYPES; type++) {
		size_t n = strlen(compress_name(type));

		if (len >= n && !memcmp(value, compress_name(type), n))
			return type;
	}
	return COMPRESS_NONE;
}

static bool says_no(const char *value, u32 len)
{
	return (len == 2 && !memcmp(value, "no", 2)) || (len == 4 && !memcmp(value, "none", 4));
}

static u8 property_read(struct inode *inode)
{
	char value[VALUE_MAX];
	int n = xattr_item_get(inode->root, inode->ino, name_of(COMPRESSION_NAME), value,
			       sizeof(value));

	return n > 0 ? type_of_value(value, (u32)n) : COMPRESS_NONE;
}

/* Without the flag there is no property that says yes. */
u8 compression_property(struct inode *inode)
{
	u8 known = atomic_load(&inode->compression_known);

	if (!(flags_of(inode) & BTRFS_INODE_COMPRESS))
		return COMPRESS_NONE;
	if (!known) {
		known = property_read(inode) + 1;
		atomic_store(&inode->compression_known, known);
	}
	return known - 1;
}

void compression_change_free(struct compression_change *c)
{
	xattr_put_free(&c->put);
}

static int decide(const char *value, u32 len, struct compression_change *ret)
{
	*ret = (struct compression_change){.clear = BOTH_FLAGS};
	if (!value)
		return 0;
	ret->type = type_of_value(value, len);
	if (ret->type)
		ret->set = BTRFS_INODE_COMPRESS;
	else if (says_no(value, len))
		ret->set = BTRFS_INODE_NOCOMPRESS;
	else
		return -EINVAL;
	return 0;
}

int compression_prepare(struct inode *inode, const char *value, u32 len, int flags,
			struct compression_change *ret)
{
	int r = decide(value, len, ret);

	if (r < 0)
		return r;
	return xattr_put_prepare(inode->root, inode->ino, name_of(COMPRESSION_NAME), value, len,
				 flags, &ret->put);
}

int compression_apply(struct trans *trans, struct inode *inode, const struct compression_change *c)
{
	if (c->type)
		compression_announce(inode->fs, c->type);
	atomic_store(&inode->compression_known, (u8)(c->type + 1));
	return xattr_put_apply(trans, inode->root, &c->put);
}

u64 compression_flags(u64 flags, const struct compression_change *c)
{
	return (flags & ~c->clear) | c->set;
}

int compression_set(struct inode *inode, const char *value, u32 len, int flags)
{
	_cleanup_compression_ struct compression_change c = {};
	_cleanup_trans_ struct trans trans = {};
	int r = value && (flags_of(inode) & UNCOMPRESSIBLE) ? -EINVAL : 0;

	if (r == 0)
		r = compression_prepare(inode, value, len, flags, &c);
	if (r == -ENODATA && !(flags & XATTR_REPLACE))
		r = 0; /* nothing to remove, but flags to reset */
	/* asked of anything else: nothing happens, as in the kernel */
	if (r < 0 || (value && !inode_is_reg(inode) && !inode_is_dir(inode)))
		return r;
	r = trans_join(inode->fs, 3, &trans);
	if (r < 0)
		return r;
	r = compression_apply(&trans, inode, &c);
	if (r < 0) {
		trans_abort(&trans, r, "the compression property");
		return r;
	}
	mutex_lock(&inode->attr_lock);
	inode->a.flags = compression_flags(inode->a.flags, &c);
	inode->a.ctime = inode_now();
	inode->a.sequence++;
	mutex_unlock(&inode->attr_lock);
	return inode_update(&trans, inode);
}

const char *compression_default(const struct fs *fs)
{
	return compress_name(fs->opt.compress_type ? fs->opt.compress_type : COMPRESS_ZLIB);
}

int compression_inherit(struct inode *dir, u64 ino, u32 mode, u64 flags,
			struct compression_change *ret)
{
	u8 type = compression_property(dir);
	const char *value = compress_name(type);

	*ret = (struct compression_change){};
	if (!type || (flags & UNCOMPRESSIBLE) || !(S_ISREG(mode) || S_ISDIR(mode)))
		return 0;
	ret->type = type;
	ret->set = BTRFS_INODE_COMPRESS;
	ret->clear = BTRFS_INODE_NOCOMPRESS;
	return xattr_put_prepare(dir->root, ino, name_of(COMPRESSION_NAME), value,
				 (u32)strlen(value), 0, &ret->put);
}

bool compression_choose(struct inode *inode, struct compression_choice *ret)
{
	const struct fs_options *opt = &inode->fs->opt;
	u64 flags = flags_of(inode);
	u8 property;

	if (flags & UNCOMPRESSIBLE)
		return false;
	if (!opt->compress_force &&
	    ((flags & BTRFS_INODE_NOCOMPRESS) || !(opt->compress || flags & BTRFS_INODE_COMPRESS)))
		return false;
	property = compression_property(inode);
	ret->type = property ? property : opt->compress_type ? opt->compress_type : COMPRESS_ZLIB;
	ret->level = opt->compress_level;
	ret->force = opt->compress_force;
	ret->forgive = opt->compress_force || property;
	return true;
}

/* Only a hint: without space for the item it is tried again next time. */
void compression_give_up(struct inode *inode)
{
	if (inode_change_begin(inode, NULL) < 0)
		return;
	inode->a.flags |= BTRFS_INODE_NOCOMPRESS;
	inode_change_end(inode, NULL);
}

void compression_announce(struct fs *fs, u8 type)
{
	if (type == COMPRESS_LZO)
		atomic_fetch_or(&fs->incompat_used, BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO);
	else if (type == COMPRESS_ZSTD)
		atomic_fetch_or(&fs->incompat_used, BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD);
}
