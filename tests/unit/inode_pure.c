/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_pure.c - records in items, inode item bytes, ACL rules: no device, no tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/sysmacros.h>

#include <cmocka.h>
#include <linux/posix_acl_xattr.h>

#include "core/inode/acl.h"
#include "core/inode/inode_item.h"
#include "core/inode/name_item.h"
#include "disk/format/hash.h"

static void records_of_one_hash_stand_in_one_item(void **state)
{
	u8 item[512];
	struct key first = KEY(300, BTRFS_INODE_ITEM_KEY, 0), second = KEY(301, 1, 0);
	u32 size = dir_record_encode(item, &first, 7, BTRFS_FT_REG_FILE, name_of("one"), NULL, 0);
	struct name_record rec;

	size += dir_record_encode(item + size, &second, 8, BTRFS_FT_DIR, name_of("second"), NULL, 0);
	assert_true(name_record_find(BTRFS_DIR_ITEM_KEY, item, size, name_of("second"), 0, &rec));
	assert_int_equal(rec.location.objectid, 301);
	assert_int_equal(rec.at, dir_record_bytes(3, 0));
	assert_int_equal(rec.at + rec.bytes, size);
	assert_int_equal(rec.transid, 8);
	assert_false(name_record_find(BTRFS_DIR_ITEM_KEY, item, size, name_of("secon"), 0, &rec));
	/* a record that is cut off is no record */
	assert_false(name_record_find(BTRFS_DIR_ITEM_KEY, item, size - 1, name_of("second"), 0,
				      &rec));
}

static void extended_references_tell_parents_apart(void **state)
{
	u8 item[512];
	u32 size = extref_record_encode(item, 256, 5, name_of("n"));
	struct name_record rec;

	size += extref_record_encode(item + size, 257, 9, name_of("n"));
	assert_true(name_record_find(BTRFS_INODE_EXTREF_KEY, item, size, name_of("n"), 257, &rec));
	assert_int_equal(rec.index, 9);
	assert_false(name_record_find(BTRFS_INODE_EXTREF_KEY, item, size, name_of("n"), 258, &rec));
}

static void inode_items_survive_the_way_there_and_back(void **state)
{
	struct inode_attr a = {
		.mode = S_IFCHR | 04751, .uid = 1, .gid = 2, .nlink = 3, .rdev = makedev(259, 70000),
		.size = 1ULL << 40, .nbytes = 4096, .flags = 3, .generation = 9, .sequence = 5,
		.transid = 10, .atime = { -1, 999999999 }, .mtime = { 2, 3 }, .ctime = { 4, 5 },
		.otime = { 6, 7 },
	}, b;
	struct btrfs_inode_item item;

	memset(&item, 0xee, sizeof(item));
	inode_item_encode(&a, &item);
	inode_item_decode(&item, &b);
	assert_int_equal(b.rdev, a.rdev);
	assert_int_equal(get_le64(&item.rdev), 259ULL << 20 | 70000);
	assert_int_equal(b.atime.tv_sec, -1);
	assert_int_equal(b.atime.tv_nsec, 999999999);
	assert_int_equal(b.mode, a.mode);
	assert_int_equal(b.size, a.size);
	assert_int_equal(b.sequence, 5);
	assert_int_equal(((u8 *)&item.block_group)[0], 0xee); /* not ours */
}

struct acl {
	__le32 version;
	struct posix_acl_xattr_entry e[8];
} __attribute__((packed));

static u32 acl_build(struct acl *acl, const u16 (*entries)[3], u32 n)
{
	put_le32(&acl->version, POSIX_ACL_XATTR_VERSION);
	for (u32 i = 0; i < n; i++) {
		put_le16(&acl->e[i].e_tag, entries[i][0]);
		put_le16(&acl->e[i].e_perm, entries[i][1]);
		put_le32(&acl->e[i].e_id, entries[i][2]);
	}
	return 4 + n * 8;
}

static const u16 minimal[][3] = { { 1, 7, 0 }, { 4, 5, 0 }, { 0x20, 1, 0 } };
static const u16 extended[][3] = { { 1, 7, 0 }, { 2, 6, 1000 }, { 4, 5, 0 }, { 0x10, 7, 0 },
				   { 0x20, 0, 0 } };
static const u16 no_mask[][3] = { { 1, 7, 0 }, { 2, 6, 1000 }, { 4, 5, 0 }, { 0x20, 0, 0 } };
static const u16 no_other[][3] = { { 1, 7, 0 }, { 4, 5, 0 } };
static const u16 bad_order[][3] = { { 4, 5, 0 }, { 1, 7, 0 }, { 0x20, 0, 0 } };

static void acls_are_checked(void **state)
{
	struct acl acl;

	assert_int_equal(acl_check(&acl, acl_build(&acl, minimal, 3)), 0);
	assert_int_equal(get_le32(&acl.e[0].e_id), (u32)ACL_UNDEFINED_ID);
	assert_int_equal(acl_check(&acl, acl_build(&acl, extended, 5)), 0);
	assert_int_equal(get_le32(&acl.e[1].e_id), 1000);
	assert_int_equal(acl_check(&acl, acl_build(&acl, no_mask, 4)), -EINVAL);
	assert_int_equal(acl_check(&acl, acl_build(&acl, no_other, 2)), -EINVAL);
	assert_int_equal(acl_check(&acl, acl_build(&acl, bad_order, 3)), -EINVAL);
	assert_int_equal(acl_check(&acl, acl_build(&acl, minimal, 3) - 1), -EINVAL);
	put_le32(&acl.version, 1);
	assert_int_equal(acl_check(&acl, 4 + 3 * 8), -EINVAL);
}

static void modes_and_acls_follow_each_other(void **state)
{
	struct acl acl;
	bool ext;
	u32 size = acl_build(&acl, minimal, 3);

	assert_int_equal(acl_mode(&acl, size, S_IFREG | 04000, &ext), S_IFREG | 04751);
	assert_false(ext);
	size = acl_build(&acl, extended, 5);
	assert_int_equal(acl_mode(&acl, size, S_IFREG, &ext), S_IFREG | 0770);
	assert_true(ext);
	acl_chmod(&acl, size, 0641);
	assert_int_equal(get_le16(&acl.e[0].e_perm), 6);
	assert_int_equal(get_le16(&acl.e[2].e_perm), 5); /* the mask takes the group bits */
	assert_int_equal(get_le16(&acl.e[3].e_perm), 4);
	assert_int_equal(get_le16(&acl.e[4].e_perm), 1);
}

static void creation_meets_the_default_acl(void **state)
{
	struct acl acl;
	bool ext;
	u32 size = acl_build(&acl, extended, 5);

	assert_int_equal(acl_create(&acl, size, S_IFREG | 0666, &ext), S_IFREG | 0660);
	assert_true(ext);
	assert_int_equal(get_le16(&acl.e[0].e_perm), 6);
	assert_int_equal(get_le16(&acl.e[2].e_perm), 5);
	assert_int_equal(get_le16(&acl.e[3].e_perm), 6);
	size = acl_build(&acl, minimal, 3);
	assert_int_equal(acl_create(&acl, size, S_IFDIR | 0777, &ext), S_IFDIR | 0751);
	assert_false(ext);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_of_one_hash_stand_in_one_item),
		cmocka_unit_test(extended_references_tell_parents_apart),
		cmocka_unit_test(inode_items_survive_the_way_there_and_back),
		cmocka_unit_test(acls_are_checked),
		cmocka_unit_test(modes_and_acls_follow_each_other),
		cmocka_unit_test(creation_meets_the_default_acl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
