/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_attr.c - attributes, flags, xattrs and ACLs on a real image. */
#include "tests/unit/inode_fixture.h"

#include <linux/fs.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include "core/inode/inode_flags.h"
#include "core/inode/verity.h"
#include "core/tree/item.h"

static const char access_name[] = "system.posix_acl_access";
static const char default_name[] = "system.posix_acl_default";

struct acl {
	__le32 version;
	struct posix_acl_xattr_entry e[5];
} __attribute__((packed));

/* user:1000:rwx and a mask */
static struct acl extended_acl(u16 mask)
{
	struct acl acl = { .version = POSIX_ACL_XATTR_VERSION,
			   .e = { { 1, 7, -1 }, { 2, 7, 1000 }, { 4, 5, -1 }, { 0x10, mask, -1 },
				  { 0x20, 0, -1 } } };

	return acl;
}

static int set(struct inode *i, const char *name, const void *value, u32 size, int flags)
{
	return xattr_set(i, name_of(name), value, size, flags);
}

static void xattrs(void **state)
{
	struct image *img = image_of(state);
	struct inode *f = make(img->root, "f", S_IFREG | 0644);
	char buf[20000], big[16001];

	memset(big, 'b', sizeof(big));
	assert_int_equal(set(f, "user.a", "1", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(set(f, "user.a", "1", 1, XATTR_CREATE), 0);
	assert_int_equal(set(f, "user.a", "12", 2, XATTR_CREATE), -EEXIST);
	assert_int_equal(set(f, "user.a", "12", 2, 0), 0);
	assert_int_equal(set(f, "user.empty", NULL, 0, 0), 0);
	assert_int_equal(set(f, "user.big", big, 16000, 0), 0);
	assert_int_equal(set(f, "user.toobig", big, 16300, 0), -ENOSPC);
	assert_int_equal(set(f, "btrfs.compression", "lz4", 3, 0), -EINVAL);
	assert_int_equal(set(f, "user.", "x", 1, 0), -EINVAL);
	inode_put(f);
	image_reopen(img);
	f = look(img->root, "f");
	assert_int_equal(xattr_get(f, name_of("user.a"), buf, sizeof(buf)), 2);
	assert_memory_equal(buf, "12", 2);
	assert_int_equal(xattr_get(f, name_of("user.a"), buf, 1), -ERANGE);
	assert_int_equal(xattr_get(f, name_of("user.big"), NULL, 0), 16000);
	assert_int_equal(xattr_get(f, name_of("user.empty"), buf, sizeof(buf)), 0);
	assert_int_equal(xattr_list(f, NULL, 0), 7 + 11 + 9);
	assert_int_equal(xattr_list(f, buf, 5), -ERANGE);
	assert_int_equal(xattr_remove(f, name_of("user.big")), 0);
	assert_int_equal(xattr_remove(f, name_of("user.big")), -ENODATA);
	assert_int_equal(xattr_get(f, name_of("user.big"), NULL, 0), -ENODATA);
	assert_int_equal(namei_unlink(img->root, name_of("f"), NULL), 0);
	u64 ino = f->ino;
	inode_put(f);
	assert_int_equal(count_items(img, ino, 0), 0);
}

static void modes_owners_times(void **state)
{
	struct image *img = image_of(state);
	struct inode *f = make(img->root, "f", S_IFREG | 0644);
	struct attr_change c = { .mask = ATTR_MODE, .mode = 06755 };
	char buf[8];

	assert_int_equal(attr_set(f, &c), 0);
	assert_int_equal(attrs(f).mode, S_IFREG | 06755);
	assert_int_equal(set(f, "security.capability", "caps", 4, 0), 0);
	assert_int_equal(attr_kill_priv(f, false, false), 0);
	assert_int_equal(xattr_get(f, name_of("security.capability"), buf, 8), -ENODATA);
	assert_int_equal(attrs(f).mode, S_IFREG | 06755);
	assert_int_equal(attr_kill_priv(f, true, false), 1);
	assert_int_equal(attrs(f).mode, S_IFREG | 0755);
	assert_int_equal(attr_kill_priv(f, true, false), 0);
	assert_int_equal(attr_set(f, &c), 0);
	c = (struct attr_change){ .mask = ATTR_UID | ATTR_MTIME, .uid = 77,
				  .mtime = { 1000, 7 } };
	assert_int_equal(attr_set(f, &c), 0);
	inode_put(f);
	image_reopen(img);
	f = look(img->root, "f");
	assert_int_equal(attrs(f).mode, S_IFREG | 0755);
	assert_int_equal(attrs(f).uid, 77);
	assert_int_equal(attrs(f).mtime.tv_sec, 1000);
	assert_int_equal(attrs(f).mtime.tv_nsec, 7);
	inode_put(f);
}

static void flags_are_inherited(void **state)
{
	struct image *img = image_of(state);
	struct inode *d = make(img->root, "d", S_IFDIR | 0755), *f, *sub;
	struct attr_change sgid = { .mask = ATTR_MODE | ATTR_GID, .mode = 02755, .gid = 50 };

	assert_int_equal(attr_set_flags(d, FS_NOCOW_FL | FS_NODUMP_FL), 0);
	assert_int_equal(attr_get_flags(d), FS_NOCOW_FL | FS_NODUMP_FL);
	assert_int_equal(attr_set(d, &sgid), 0);
	f = make(d, "f", S_IFREG | 0644);
	sub = make(d, "sub", S_IFDIR | 0755);
	assert_int_equal(attrs(f).flags, BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM);
	assert_int_equal(attrs(f).gid, 50);
	assert_int_equal(attrs(f).mode, S_IFREG | 0644);
	assert_int_equal(attrs(sub).flags, BTRFS_INODE_NODATACOW);
	assert_int_equal(attrs(sub).mode, S_IFDIR | 02755);
	assert_int_equal(attr_set_flags(f, 0), 0);
	assert_int_equal(attrs(f).flags, 0);
	assert_int_equal(attr_set_flags(f, FS_COMPR_FL), 0);
	assert_int_equal(attr_get_flags(f), FS_COMPR_FL);
	assert_int_equal(attr_set_flags(f, FS_COMPR_FL | FS_NOCOMP_FL), -EINVAL);
	assert_int_equal(attr_set_flags(f, 0), 0);
	assert_int_equal(attr_set_xflags(f, FS_XFLAG_NOATIME), 0);
	assert_int_equal(attr_get_flags(f), FS_NOATIME_FL);
	assert_int_equal(attr_set_flags(d, FS_IMMUTABLE_FL), 0);
	assert_int_equal(namei_unlink(d, name_of("f"), NULL), -EPERM);
	assert_int_equal(attr_set_flags(d, 0), 0);
	assert_int_equal(attr_set_flags(f, FS_APPEND_FL), 0);
	assert_int_equal(namei_unlink(d, name_of("f"), NULL), -EPERM);
	assert_int_equal(attr_check_write(f, true), 0);
	assert_int_equal(attr_check_write(f, false), -EPERM);
	inode_put(sub);
	inode_put(f);
	inode_put(d);
}

static void acls(void **state)
{
	struct image *img = image_of(state);
	struct inode *d = make(img->root, "d", S_IFDIR | 0755), *f, *sub;
	struct acl acl = extended_acl(7), got;
	struct attr_change chmod = { .mask = ATTR_MODE, .mode = 0640 };

	assert_int_equal(set(d, default_name, &acl, sizeof(acl), 0), 0);
	f = make(d, "f", S_IFREG | 0666);
	assert_int_equal(attrs(f).mode, S_IFREG | 0660);
	assert_int_equal(xattr_get(f, name_of(access_name), &got, sizeof(got)), sizeof(got));
	assert_int_equal(got.e[3].e_perm, 6);
	assert_int_equal(attr_set(f, &chmod), 0);
	assert_int_equal(xattr_get(f, name_of(access_name), &got, sizeof(got)), sizeof(got));
	assert_int_equal(got.e[3].e_perm, 4);
	assert_int_equal(got.e[2].e_perm, 5);
	sub = make(d, "sub", S_IFDIR | 0777);
	assert_int_equal(xattr_get(sub, name_of(default_name), &got, sizeof(got)), sizeof(got));
	assert_memory_equal(&got, &acl, sizeof(got));
	assert_int_equal(attrs(sub).mode, S_IFDIR | 0770);
	/* an ACL that says no more than a mode becomes one */
	acl = extended_acl(7);
	acl.e[1] = acl.e[2];
	acl.e[2] = acl.e[4];
	assert_int_equal(set(f, access_name, &acl, 4 + 3 * 8, 0), 0);
	assert_int_equal(attrs(f).mode, S_IFREG | 0750);
	assert_int_equal(xattr_get(f, name_of(access_name), &got, sizeof(got)), -ENODATA);
	acl = extended_acl(3);
	assert_int_equal(set(f, access_name, &acl, sizeof(acl), 0), 0);
	assert_int_equal(attrs(f).mode, S_IFREG | 0730);
	assert_int_equal(set(f, default_name, &acl, sizeof(acl), 0), -EINVAL);
	assert_int_equal(set(f, access_name, &acl, sizeof(acl) - 8, 0), -EINVAL);
	inode_put(f);
	inode_put(sub);
	inode_put(d);
}

/* As fs-verity leaves a file of 5 bytes. */
static void seal(struct image *img, u64 ino)
{
	struct key size_key = KEY(ino, BTRFS_VERITY_DESC_ITEM_KEY, 0);
	struct key key = KEY(ino, BTRFS_VERITY_DESC_ITEM_KEY, 1);
	struct key merkle = KEY(ino, BTRFS_VERITY_MERKLE_ITEM_KEY, 0);
	u8 size_item[25] = { 0, 1 }, d[256] = { 1, 1, 12 };
	struct root *root = img->root->root;
	struct trans trans;

	d[8] = 5;
	for (u8 i = 0; i < 32; i++)
		d[16 + i] = i;
	assert_int_equal(trans_join(img->fs, 3, &trans), 0);
	assert_int_equal(tree_insert(&trans, root, &size_key, size_item, sizeof(size_item)), 0);
	assert_int_equal(tree_insert(&trans, root, &key, d, sizeof(d)), 0);
	assert_int_equal(tree_insert(&trans, root, &merkle, d, sizeof(d)), 0);
	trans_end(&trans);
	put_le64(&img->fs->super.compat_ro_flags, get_le64(&img->fs->super.compat_ro_flags) |
							  BTRFS_FEATURE_COMPAT_RO_VERITY);
}

static void sealed_by_verity(void **state)
{
	/* sha256 of the descriptor, computed elsewhere */
	static const u8 want[] = { 0x78, 0xd6, 0x34, 0xa7, 0x7b, 0xc9, 0xd3, 0x34, 0x39, 0xa9, 0xb3,
				   0xbe, 0x6d, 0x3d, 0xe4, 0xfb, 0xa6, 0x48, 0xdc, 0xd3, 0x11, 0x93,
				   0x4f, 0x0b, 0x31, 0x4d, 0x40, 0xce, 0x6a, 0x68, 0x89, 0xd8 };
	const struct attr_change shrink = { .mask = ATTR_SIZE, .size = 1 };
	const struct attr_change mode = { .mask = ATTR_MODE, .mode = S_IFREG | 0400 };
	struct image *img = image_of(state);
	struct inode *f = make(img->root, "f", S_IFREG | 0644);
	u8 digest[VERITY_DIGEST_BYTES];

	assert_int_equal(file_write(f, 0, "hello", 5, 0, NULL), 5);
	assert_int_equal(verity_measure(f, digest), -ENODATA);
	seal(img, f->ino);
	assert_int_equal(inode_change_begin(f, NULL), 0);
	f->a.flags |= BTRFS_INODE_RO_VERITY;
	inode_change_end(f, NULL);
	inode_put(f);
	image_reopen(img);
	f = look(img->root, "f");
	assert_true(attr_get_flags(f) & FS_VERITY_FL);
	assert_int_equal(attr_set_flags(f, 0), -EOPNOTSUPP);
	assert_int_equal(attr_check_write(f, true), -EPERM);
	assert_int_equal(attr_set(f, &shrink), -EPERM);
	assert_int_equal(attr_set(f, &mode), 0);
	assert_int_equal(verity_measure(f, digest), 0);
	assert_memory_equal(digest, want, sizeof(want));
	inode_put(f);
	/* its items go with it: the check at the end looks for them */
	assert_int_equal(namei_unlink(img->root, name_of("f"), &f), 0);
	inode_put(f);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, image_setup, image_teardown)
	const struct CMUnitTest tests[] = {
		T(xattrs),
		T(modes_owners_times),
		T(flags_are_inherited),
		T(acls),
		T(sealed_by_verity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
