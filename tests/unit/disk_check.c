/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_check.c - the checkers: every node that mkfs.btrfs writes passes; a list of single lies
 * about one does not, each with the word that the message must hold; and no single byte flip makes
 * a checker read outside (the sanitizers watch).
 */
#include "tests/unit/disk_fixture.h"

#include "disk/codec/csum.h"
#include "disk/format/check.h"
#include "disk/format/hash.h"

#define NODE 16384u

static struct device *pristine; /* made once */

static struct volume *open_copy(void)
{
	struct device *dev;
	struct volume *vol;
	struct reason why = {0};

	assert_int_equal(device_memory_new(FIXTURE_BYTES, &dev), 0);
	memcpy(device_memory_data(dev), device_memory_data(pristine), FIXTURE_BYTES);
	if (volume_open_device(dev, false, &vol, &why))
		fail_msg("%s", why.text);
	return vol;
}

static struct check_env env = {
	.nodesize = NODE, .sectorsize = 4096, .csum_size = 4, .generation = 100};

/* ---- real nodes ---- */

static void test_real_image_passes(void **state)
{
	struct volume *vol = open_copy();
	struct walk w = {.vol = vol};

	walk_volume(&w);
	assert_int_equal(w.failed, 0);
	assert_true(w.leaves >= 8);
	volume_close(vol);
}

struct flips {
	u8 *scratch;
	unsigned caught, tried;
};

/* Every byte of the leaf's headers and a sample of its data, one at a time. */
static void flip_leaf(struct walk *w, const void *node)
{
	struct flips *f = w->ctx;
	struct check_env e = env;

	e.incompat_flags = get_le64(&volume_super(w->vol)->incompat_flags);
	for (u32 at = 0; at < NODE; at += at < 101 + 25 * node_nritems(node) ? 1 : 37) {
		memcpy(f->scratch, node, NODE);
		f->scratch[at] ^= 0xff;
		f->tried++;
		f->caught += check_node(&e, f->scratch, NULL) != 0;
	}
}

static void test_flips_are_survived(void **state)
{
	struct volume *vol = open_copy();
	struct flips f = {.scratch = malloc(NODE)}; /* its own allocation: overruns are seen */
	struct walk w = {.vol = vol, .leaf = flip_leaf, .ctx = &f};

	walk_volume(&w);
	assert_true(f.tried > 1000);
	assert_true(f.caught > f.tried / 10);
	free(f.scratch);
	volume_close(vol);
}

/* ---- made leaves ---- */

struct leaf {
	u8 bytes[NODE];
};

static void leaf_start(struct leaf *l, u64 owner)
{
	memset(l, 0, sizeof(*l));
	node_set_bytenr(l->bytes, 30408704);
	node_set_owner(l->bytes, owner);
	node_set_generation(l->bytes, 7);
	node_set_raw_flags(l->bytes, NODE_BACKREF_MIXED << NODE_BACKREF_REV_SHIFT |
					     BTRFS_HEADER_FLAG_WRITTEN);
}

static void *leaf_add(struct leaf *l, struct key k, const void *data, u32 size)
{
	u32 n = node_nritems(l->bytes),
	    end = n ? leaf_item_offset(l->bytes, n - 1) : LEAF_DATA(NODE);

	leaf_set_item(l->bytes, n, &k, end - size, size);
	node_set_nritems(l->bytes, n + 1);
	if (data)
		memcpy(leaf_data_mut(l->bytes, n), data, size);
	return leaf_data_mut(l->bytes, n);
}

static void expect_good(const struct leaf *l)
{
	struct reason why = {0};

	if (check_node(&env, l->bytes, &why))
		fail_msg("%s", why.text);
}

static void expect_bad(const struct leaf *l, const char *word)
{
	struct reason why = {0};

	assert_int_equal(check_node(&env, l->bytes, &why), -EUCLEAN);
	if (!strstr(why.text, word))
		fail_msg("wanted \"%s\" in: %s", word, why.text);
	assert_int_equal(check_node(&env, l->bytes, NULL), -EUCLEAN);
}

static struct btrfs_inode_item make_inode(u32 mode)
{
	struct btrfs_inode_item i = {0};

	put_le64(&i.generation, 7);
	put_le64(&i.transid, 7);
	put_le32(&i.nlink, 1);
	put_le32(&i.mode, mode);
	return i;
}

static void leaf_with_inode(struct leaf *l, u64 ino)
{
	struct btrfs_inode_item i = make_inode(S_IFREG | 0644);

	leaf_start(l, 5);
	leaf_add(l, KEY(ino, BTRFS_INODE_ITEM_KEY, 0), &i, sizeof(i));
}

static void test_header(void **state)
{
	static struct leaf l;

	leaf_with_inode(&l, 257);
	expect_good(&l);
	node_set_level(l.bytes, 8);
	expect_bad(&l, "level");
	node_set_level(l.bytes, 0);
	node_set_flags(l.bytes, 0);
	expect_bad(&l, "WRITTEN");
	leaf_with_inode(&l, 257);
	node_set_owner(l.bytes, 0);
	expect_bad(&l, "owner");
	leaf_start(&l, 5);
	expect_bad(&l, "never empty");
	leaf_start(&l, BTRFS_CSUM_TREE_OBJECTID);
	expect_good(&l);
	node_set_nritems(l.bytes, 100000);
	expect_bad(&l, "number of items");
}

static void test_layout(void **state)
{
	static struct leaf l;

	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(258, 200 + 50, 0), NULL, 10);
	expect_good(&l);
	leaf_set_item_offset(l.bytes, 1, leaf_item_offset(l.bytes, 1) - 1);
	expect_bad(&l, "item end");
	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_INODE_ITEM_KEY, 0), NULL, 0);
	expect_bad(&l, "key order");
	leaf_start(&l, BTRFS_CSUM_TREE_OBJECTID);
	leaf_add(&l, KEY(1, 250, 0), NULL, LEAF_DATA(NODE) - 24);
	expect_bad(&l, "overlaps the item headers");
	leaf_set_item(l.bytes, 0, &KEY(1, 250, 0), UINT32_MAX - 4, 8);
	expect_bad(&l, "item end");
}

static void test_interior(void **state)
{
	static struct leaf l;

	leaf_start(&l, 5);
	node_set_level(l.bytes, 1);
	expect_bad(&l, "number of pointers");
	node_set_nritems(l.bytes, 2);
	node_set_ptr(l.bytes, 0, &KEY(1, 1, 1), 65536, 7);
	node_set_ptr(l.bytes, 1, &KEY(1, 1, 2), 131072, 7);
	expect_good(&l);
	node_set_ptr(l.bytes, 1, &KEY(1, 1, 1), 131072, 7);
	expect_bad(&l, "key order");
	node_set_ptr(l.bytes, 1, &KEY(1, 1, 2), 131073, 7);
	expect_bad(&l, "pointer");
	node_set_ptr(l.bytes, 1, &KEY(1, 1, 2), 0, 7);
	expect_bad(&l, "pointer");
}

static void test_inode(void **state)
{
	static struct leaf l;
	struct btrfs_inode_item *i;

	leaf_with_inode(&l, 257);
	i = (void *)leaf_data_mut(l.bytes, 0);
	put_le32(&i->mode, 0644);
	expect_bad(&l, "one file type");
	put_le32(&i->mode, S_IFDIR | 0755);
	put_le32(&i->nlink, 2);
	expect_bad(&l, "link count");
	put_le32(&i->nlink, 1);
	put_le64(&i->generation, 101);
	expect_bad(&l, "inode generation");
	put_le64(&i->generation, 7);
	put_le64(&i->flags, 1 << 20);
	expect_bad(&l, "inode flags");
	put_le64(&i->flags, 0);
	expect_good(&l);
	leaf_with_inode(&l, 255);
	expect_bad(&l, "inode number");
}

static void add_dir_item(struct leaf *l, u8 type, const char *name, u64 hash, u8 ftype)
{
	u8 buf[sizeof(struct btrfs_dir_item) + 64] = {0};
	struct btrfs_dir_item *di = (void *)buf;
	u16 len = (u16)strlen(name);

	if (type != BTRFS_XATTR_ITEM_KEY)
		key_to_disk(&di->location, &KEY(300, BTRFS_INODE_ITEM_KEY, 0));
	put_le16(&di->name_len, len);
	di->type = ftype;
	memcpy(di + 1, name, len);
	leaf_add(l, KEY(257, type, hash), buf, sizeof(*di) + len);
}

static void test_dir_items(void **state)
{
	static struct leaf l;

	leaf_with_inode(&l, 257);
	add_dir_item(&l, BTRFS_XATTR_ITEM_KEY, "user.a", name_hash("user.a", 6), BTRFS_FT_XATTR);
	add_dir_item(&l, BTRFS_DIR_ITEM_KEY, "name", name_hash("name", 4), BTRFS_FT_REG_FILE);
	add_dir_item(&l, BTRFS_DIR_INDEX_KEY, "name", 2, BTRFS_FT_REG_FILE);
	expect_good(&l);
	leaf_with_inode(&l, 257);
	add_dir_item(&l, BTRFS_DIR_ITEM_KEY, "name", 12345, BTRFS_FT_REG_FILE);
	expect_bad(&l, "name hash");
	leaf_with_inode(&l, 257);
	add_dir_item(&l, BTRFS_DIR_INDEX_KEY, "name", 2, BTRFS_FT_XATTR);
	expect_bad(&l, "entry type");
	leaf_with_inode(&l, 256);
	add_dir_item(&l, BTRFS_DIR_INDEX_KEY, "name", 2, BTRFS_FT_REG_FILE);
	expect_bad(&l, "no inode item");
	leaf_with_inode(&l, 257);
	add_dir_item(&l, BTRFS_DIR_INDEX_KEY, "name", 2, BTRFS_FT_REG_FILE);
	put_le16(leaf_data_mut(l.bytes, 1) + offsetof(struct btrfs_dir_item, name_len), 200);
	expect_bad(&l, "runs past");
}

static struct btrfs_file_extent_item make_extent(u8 type, u64 disk, u64 len)
{
	struct btrfs_file_extent_item fi = {.type = type};

	put_le64(&fi.ram_bytes, len);
	put_le64(&fi.disk_bytenr, disk);
	put_le64(&fi.disk_num_bytes, len);
	put_le64(&fi.num_bytes, len);
	return fi;
}

static void test_file_extents(void **state)
{
	static struct leaf l;
	struct btrfs_file_extent_item fi = make_extent(BTRFS_FILE_EXTENT_REG, 65536, 8192);

	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_EXTENT_DATA_KEY, 0), &fi, sizeof(fi));
	expect_good(&l);
	leaf_add(&l, KEY(257, BTRFS_EXTENT_DATA_KEY, 4096), &fi, sizeof(fi));
	expect_bad(&l, "overlaps");
	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_EXTENT_DATA_KEY, 100), &fi, sizeof(fi));
	expect_bad(&l, "file offset");
	fi.type = 3;
	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_EXTENT_DATA_KEY, 0), &fi, sizeof(fi));
	expect_bad(&l, "bad type");
	fi = make_extent(BTRFS_FILE_EXTENT_INLINE, 0, 5);
	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_EXTENT_DATA_KEY, 0), &fi, 21 + 5);
	expect_good(&l);
	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_EXTENT_DATA_KEY, 0), &fi, 21 + 6);
	expect_bad(&l, "inline size");
	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_EXTENT_DATA_KEY, 0), &fi, 21);
	expect_bad(&l, "item size");
}

static void test_logs(void **state)
{
	static struct leaf l;
	u8 last[8];

	put_le64(last, 9);
	leaf_start(&l, (u64)BTRFS_TREE_LOG_OBJECTID);
	leaf_add(&l, KEY(257, BTRFS_DIR_LOG_INDEX_KEY, 9), last, 8);
	add_dir_item(&l, BTRFS_DIR_INDEX_KEY, "name", 10, BTRFS_FT_REG_FILE);
	leaf_add(&l, KEY((u64)BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, 65536), NULL, 8);
	expect_good(&l);
	leaf_start(&l, (u64)BTRFS_TREE_LOG_OBJECTID);
	leaf_add(&l, KEY(257, BTRFS_DIR_LOG_INDEX_KEY, 10), last, 8);
	expect_bad(&l, "end of a range");
	leaf_start(&l, (u64)BTRFS_TREE_LOG_OBJECTID);
	leaf_add(&l, KEY(257, BTRFS_DIR_LOG_INDEX_KEY, 9), last, 7);
	expect_bad(&l, "item size");
	leaf_start(&l, (u64)BTRFS_TREE_LOG_OBJECTID);
	leaf_add(&l, KEY(BTRFS_FREE_SPACE_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, 257), NULL, 0);
	expect_bad(&l, "no items of this type");
	leaf_with_inode(&l, 257);
	leaf_add(&l, KEY(257, BTRFS_DIR_LOG_INDEX_KEY, 9), last, 8);
	expect_bad(&l, "outside of one");
}

static void test_csums(void **state)
{
	static struct leaf l;
	u64 id = (u64)BTRFS_EXTENT_CSUM_OBJECTID;

	leaf_start(&l, BTRFS_CSUM_TREE_OBJECTID);
	leaf_add(&l, KEY(id, BTRFS_EXTENT_CSUM_KEY, 65536), NULL, 8);
	leaf_add(&l, KEY(id, BTRFS_EXTENT_CSUM_KEY, 65536 + 8192), NULL, 4);
	expect_good(&l);
	leaf_add(&l, KEY(id, BTRFS_EXTENT_CSUM_KEY, 65536 + 8192 + 1), NULL, 4);
	expect_bad(&l, "address");
	leaf_start(&l, BTRFS_CSUM_TREE_OBJECTID);
	leaf_add(&l, KEY(id, BTRFS_EXTENT_CSUM_KEY, 65536), NULL, 12);
	leaf_add(&l, KEY(id, BTRFS_EXTENT_CSUM_KEY, 65536 + 8192), NULL, 4);
	expect_bad(&l, "overlap");
	leaf_start(&l, BTRFS_CSUM_TREE_OBJECTID);
	leaf_add(&l, KEY(id, BTRFS_EXTENT_CSUM_KEY, 65536), NULL, 7);
	expect_bad(&l, "item size");
}

/* An extent item with inline references given as (type, offset) pairs of tree block kind. */
static void extent_leaf(struct leaf *l, u64 refs, const u64 pairs[][2], u32 n)
{
	u8 item[256] = {0};
	struct btrfs_extent_item *ei = (void *)item;

	put_le64(&ei->refs, refs);
	put_le64(&ei->generation, 7);
	put_le64(&ei->flags, BTRFS_EXTENT_FLAG_TREE_BLOCK);
	for (u32 i = 0; i < n; i++) {
		item[sizeof(*ei) + i * 9] = (u8)pairs[i][0];
		put_le64(item + sizeof(*ei) + i * 9 + 1, pairs[i][1]);
	}
	leaf_start(l, BTRFS_EXTENT_TREE_OBJECTID);
	leaf_add(l, KEY(1 << 20, BTRFS_METADATA_ITEM_KEY, 0), item, (u32)sizeof(*ei) + n * 9);
}

static void test_extent_items(void **state)
{
	static struct leaf l;
	const u64 good[][2] = {{BTRFS_TREE_BLOCK_REF_KEY, 257},
			       {BTRFS_TREE_BLOCK_REF_KEY, 5},
			       {BTRFS_SHARED_BLOCK_REF_KEY, 1 << 21}};
	const u64 order[][2] = {{BTRFS_TREE_BLOCK_REF_KEY, 5}, {BTRFS_TREE_BLOCK_REF_KEY, 257}};
	const u64 types[][2] = {{BTRFS_SHARED_BLOCK_REF_KEY, 1 << 21},
				{BTRFS_TREE_BLOCK_REF_KEY, 5}};
	const u64 unknown[][2] = {{99, 5}};

	env.incompat_flags = BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA;
	extent_leaf(&l, 3, good, 3);
	expect_good(&l);
	leaf_add(&l, KEY((1 << 20) + 4096, BTRFS_EXTENT_ITEM_KEY, 4096), NULL, 24);
	expect_bad(&l, "overlaps");
	extent_leaf(&l, 2, good, 3);
	expect_bad(&l, "reference count");
	extent_leaf(&l, 2, order, 2);
	expect_bad(&l, "order of inline");
	extent_leaf(&l, 2, types, 2);
	expect_bad(&l, "order of inline");
	extent_leaf(&l, 1, unknown, 1);
	expect_bad(&l, "type of an inline");
	env.incompat_flags = 0;
	extent_leaf(&l, 3, good, 3);
	expect_bad(&l, "skinny");
}

static void test_space_items(void **state)
{
	static struct leaf l;
	struct btrfs_block_group_item bg = {0};

	put_le64(&bg.used, 4096);
	put_le64(&bg.chunk_objectid, 256);
	put_le64(&bg.flags, BTRFS_BLOCK_GROUP_DATA);
	leaf_start(&l, BTRFS_EXTENT_TREE_OBJECTID);
	leaf_add(&l, KEY(1 << 20, BTRFS_BLOCK_GROUP_ITEM_KEY, 8192), &bg, sizeof(bg));
	expect_good(&l);
	put_le64(leaf_data_mut(l.bytes, 0), 8193);
	expect_bad(&l, "used bytes");
	leaf_start(&l, BTRFS_FREE_SPACE_TREE_OBJECTID);
	leaf_add(&l, KEY(1 << 20, BTRFS_FREE_SPACE_INFO_KEY, 1 << 20), NULL, 8);
	leaf_add(&l, KEY(1 << 20, BTRFS_FREE_SPACE_BITMAP_KEY, 1 << 20), NULL, 32);
	expect_good(&l);
	leaf_add(&l, KEY(2 << 20, BTRFS_FREE_SPACE_EXTENT_KEY, 0), NULL, 0);
	expect_bad(&l, "range");
}

static void test_unknown_types_pass(void **state)
{
	static struct leaf l;

	leaf_start(&l, 999);
	leaf_add(&l, KEY(1, 77, 3), "whatever", 8);
	leaf_add(&l, KEY(2, 241, 3), "x", 1);
	expect_good(&l);
}

static void seal(struct btrfs_super_block *sb)
{
	csum_block(0, sb, SUPER_SIZE, sb->csum);
}

static void test_super(void **state)
{
	static struct btrfs_super_block good, sb;
	struct reason why = {0};

	memcpy(&good, device_memory_data(pristine) + SUPER_OFFSET, SUPER_SIZE);
	assert_int_equal(check_super(&good, SUPER_OFFSET, &why), 0);
	assert_int_equal(check_super(&good, SUPER_OFFSET * 2, &why), -EUCLEAN);
	sb = good;
	sb.magic = 0;
	assert_int_equal(check_super(&sb, SUPER_OFFSET, &why), -EUCLEAN);
	assert_string_equal(why.text, "no btrfs superblock");
	sb = good;
	put_le32(&sb.nodesize, 12345);
	assert_int_equal(check_super(&sb, SUPER_OFFSET, &why), -EUCLEAN);
	assert_non_null(strstr(why.text, "checksum"));
	seal(&sb);
	assert_int_equal(check_super(&sb, SUPER_OFFSET, &why), -EUCLEAN);
	assert_non_null(strstr(why.text, "node size"));
	sb = good;
	put_le64(&sb.incompat_flags, 1ULL << 60); /* the mount's decision, not ours */
	seal(&sb);
	assert_int_equal(check_super(&sb, SUPER_OFFSET, &why), 0);
	sb = good;
	put_le32(&sb.sys_chunk_array_size, 5000);
	seal(&sb);
	assert_int_equal(check_super(&sb, SUPER_OFFSET, &why), -EUCLEAN);
}

static int make_image(void **state)
{
	pristine = fixture_image("");
	return pristine ? 0 : -1;
}

static int drop_image(void **state)
{
	device_close(pristine);
	buffer_pool_drain();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_image_passes),
		cmocka_unit_test(test_flips_are_survived),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_interior),
		cmocka_unit_test(test_inode),
		cmocka_unit_test(test_dir_items),
		cmocka_unit_test(test_file_extents),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_csums),
		cmocka_unit_test(test_extent_items),
		cmocka_unit_test(test_space_items),
		cmocka_unit_test(test_unknown_types_pass),
		cmocka_unit_test(test_super),
	};

	return cmocka_run_group_tests(tests, make_image, drop_image);
}
