/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random changes of subvolume trees that share nodes, against the definition of a reference.
 *
 * The real trees, node copies, delayed references and checksum tree run over an address space in
 * memory (space, volume and transactions are the stubs below; nodes are small so that trees get
 * deep). After every few operations all trees are walked, and the references that the pointers
 * stand for must be exactly those that extent tree and queue hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/extent/csum_tree.h"
#include "core/extent/extent_alloc.h"
#include "core/extent/extent_info.h"
#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/node_cache.h"
#include "disk/format/check.h"

#define UNIT 4096u /* node, sector, and the grain of the address space */
#define UNITS 200000u
#define ROOTS_MAX 30
#define HOT_INO 256

enum state { FREE, RESERVED, USED, PINNED };

static struct {
	struct fs fs;
	struct trans trans;
	u8 state[UNITS];
	u8 *disk[UNITS];
	u32 next_unit;
	struct extent_buffer *dirty[UNITS];
	u32 dirty_count;
	struct root roots[ROOTS_MAX];
	u32 root_count;
	u64 hot; /* an extent that many items point to */
	u32 seed;
	u32 scan_count;
} w;

/* ---- stubs ---- */

struct epoch epoch_enter(struct fs *fs)
{
	return (struct epoch){.fs = fs};
}

void epoch_exit(struct epoch *e)
{
}

static void set_state(u64 logical, u64 len, enum state from, enum state to)
{
	for (u64 at = logical; at < logical + len; at += UNIT) {
		assert_int_equal(w.state[at / UNIT], from);
		w.state[at / UNIT] = (u8)to;
	}
}

static u64 units_take(u32 count)
{
	u64 logical;

	while (w.state[w.next_unit] != FREE || (count > 1 && w.state[w.next_unit + 1] != FREE))
		w.next_unit = w.next_unit + 3 < UNITS ? w.next_unit + 1 : 256;
	logical = (u64)w.next_unit * UNIT;
	set_state(logical, (u64)count * UNIT, FREE, RESERVED);
	return logical;
}

int space_alloc_tree_block(struct fs *fs, bool system, u64 *ret_logical)
{
	*ret_logical = units_take(1);
	return 0;
}

int space_extent_added(struct trans *trans, u64 logical, u64 len, bool data)
{
	set_state(logical, len, RESERVED, USED);
	return 0;
}

int space_extent_freed(struct trans *trans, u64 logical, u64 len)
{
	set_state(logical, len, USED, PINNED);
	return 0;
}

int space_alloc_cancelled(struct trans *trans, u64 logical, u64 len)
{
	set_state(logical, len, RESERVED, PINNED);
	return 0;
}

void trans_add_dirty(struct trans *trans, struct extent_buffer *eb)
{
	if (eb_test(eb, EB_DIRTY))
		return;
	eb_set(eb, EB_DIRTY);
	w.dirty[w.dirty_count++] = eb_get(eb);
}

void trans_mark_root_dirty(struct trans *trans, struct root *root)
{
}

u64 trans_durable_id(struct fs *fs)
{
	return w.trans.transid - 1;
}

int volume_read_node(struct volume *vol, const struct node_expect *want, void *buf)
{
	assert_non_null(w.disk[want->logical / UNIT]);
	memcpy(buf, w.disk[want->logical / UNIT], UNIT);
	assert_int_equal(node_generation(buf), want->generation);
	return 0;
}

/* ---- the world ---- */

static u32 rnd(u32 below)
{
	w.seed = w.seed * 1664525u + 1013904223u;
	return (w.seed >> 8) % below;
}

static void root_init(struct root *root, u64 id, bool shareable)
{
	root->fs = &w.fs;
	root->id = id;
	root->shareable = shareable;
	root->refs = 1;
	rwlock_init(&root->lock, RANK_TREE);
}

static struct root *root_add(u64 id, bool shareable)
{
	struct root *root = &w.roots[w.root_count++];

	root_init(root, id, shareable);
	assert_int_equal(tree_block_alloc(&w.trans, root, 0, NULL, &root->node), 0);
	return root;
}

static void world_open(u32 seed, bool skinny, u64 cache_bytes)
{
	memset(&w, 0, sizeof(w));
	w.seed = seed;
	w.next_unit = 256;
	w.fs.nodesize = w.fs.sectorsize = UNIT;
	w.fs.csum_size = 4;
	w.fs.incompat = skinny ? BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA : 0;
	w.fs.cache = node_cache_new(cache_bytes);
	assert_int_equal(delayed_refs_create(&w.fs.drefs), 0);
	w.trans = (struct trans){.fs = &w.fs, .transid = 10};
	w.fs.extent_root = root_add(BTRFS_EXTENT_TREE_OBJECTID, false);
	w.fs.csum_root = root_add(BTRFS_CSUM_TREE_OBJECTID, false);
	root_add(BTRFS_FS_TREE_OBJECTID, true);
}

static void check_dirty_node(const struct extent_buffer *eb)
{
	struct check_env env = {.nodesize = UNIT,
				.sectorsize = UNIT,
				.csum_size = 4,
				.incompat_flags = w.fs.incompat,
				.generation = w.trans.transid};
	struct reason why = {};

	if (eb->level == 0 && eb->owner >= BTRFS_FS_TREE_OBJECTID &&
	    eb->owner != BTRFS_CSUM_TREE_OBJECTID)
		return; /* file extents without inodes: only this test writes such leaves */
	if (check_node(&env, eb->data, &why))
		fail_msg("%s", why.text);
}

static void commit(void)
{
	assert_int_equal(delayed_refs_run(&w.trans), 0);
	assert_int_equal(delayed_refs_count(&w.fs), 0);
	for (u32 i = 0; i < w.dirty_count; i++) {
		struct extent_buffer *eb = w.dirty[i];
		u8 **disk = &w.disk[eb->logical / UNIT];

		if (eb_test(eb, EB_DIRTY)) {
			assert_int_equal(w.state[eb->logical / UNIT], USED);
			check_dirty_node(eb);
			*disk = *disk ? *disk : malloc(UNIT);
			memcpy(*disk, eb->data, UNIT);
			eb_set(eb, EB_WRITTEN);
			eb_clear(eb, EB_DIRTY);
		}
		eb_put(eb);
	}
	w.dirty_count = 0;
	for (u32 i = 0; i < UNITS; i++)
		if (w.state[i] == PINNED)
			w.state[i] = FREE;
	w.trans.transid++;
	node_cache_shrink(&w.fs);
}

static void world_close(void)
{
	commit();
	for (u32 i = 0; i < w.root_count; i++) {
		eb_put(w.roots[i].node);
		rwlock_destroy(&w.roots[i].lock);
	}
	node_cache_free(w.fs.cache);
	delayed_refs_destroy(w.fs.drefs);
	for (u32 i = 0; i < UNITS; i++)
		free(w.disk[i]);
}

/* A snapshot as the format wants it: a copy of the root node with references of its children. */
static void snapshot(struct root *src)
{
	struct root *dst = &w.roots[w.root_count++];
	struct key first = KEY_MIN;

	assert_int_equal(delayed_refs_run(&w.trans), 0);
	root_init(dst, BTRFS_FIRST_FREE_OBJECTID + w.root_count, true);
	assert_int_equal(tree_block_alloc(&w.trans, dst, src->node->level, &first, &dst->node), 0);
	memcpy(dst->node->data + NODE_HEADER_SIZE, src->node->data + NODE_HEADER_SIZE,
	       UNIT - NODE_HEADER_SIZE);
	node_set_nritems(dst->node->data, node_nritems(src->node->data));
	assert_int_equal(tree_block_ref_children(&w.trans, dst->node, false, 1), 0);
	src->last_snapshot = dst->last_snapshot = w.trans.transid;
	src->force_cow_transid = dst->force_cow_transid = w.trans.transid;
	commit();
}

/* ---- operations on file extents ---- */

struct pointer {
	struct key key;
	u64 bytenr, num, off;
};

static void item_put(struct root *root, struct key key, u64 bytenr, u64 num, u64 off)
{
	struct btrfs_file_extent_item fi = {};
	int r;

	fi.type = BTRFS_FILE_EXTENT_REG;
	put_le64(&fi.disk_bytenr, bytenr);
	put_le64(&fi.disk_num_bytes, num);
	put_le64(&fi.offset, off);
	put_le64(&fi.num_bytes, UNIT);
	put_le64(&fi.ram_bytes, num);
	r = tree_insert(&w.trans, root, &key, &fi, sizeof(fi));
	assert_int_equal(r, 0);
}

static bool item_get(struct root *root, struct key from, struct pointer *ret)
{
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(root, &from, &path);

	if (r == -ENOENT)
		return false;
	assert_true(r >= 0);
	const struct btrfs_file_extent_item *fi = path_data(&path);
	*ret = (struct pointer){path_key(&path), get_le64(&fi->disk_bytenr),
				get_le64(&fi->disk_num_bytes), get_le64(&fi->offset)};
	return true;
}

static bool item_exists(struct root *root, struct key key)
{
	struct pointer p;

	return item_get(root, key, &p) && key_equal(&p.key, &key);
}

static struct key random_key(void)
{
	return KEY(257 + rnd(40), BTRFS_EXTENT_DATA_KEY, (u64)(rnd(300) + 2) * UNIT);
}

static u32 csum_of(u64 logical)
{
	return (u32)(logical / UNIT * 2654435761u);
}

static void op_write(struct root *root)
{
	struct key key = random_key();
	u64 logical = units_take(2);
	u32 csums[2] = {csum_of(logical), csum_of(logical + UNIT)};

	if (item_exists(root, key)) {
		set_state(logical, 2 * UNIT, RESERVED, FREE);
		return;
	}
	assert_int_equal(csum_insert(&w.trans, logical, 2 * UNIT, (u8 *)csums), 0);
	assert_int_equal(
		data_extent_new(&w.trans, logical, 2 * UNIT, root->id, key.objectid, key.offset),
		0);
	item_put(root, key, logical, 2 * UNIT, 0);
	if (!w.hot) {
		w.hot = logical;
		key = KEY(HOT_INO, BTRFS_EXTENT_DATA_KEY, 0);
		assert_int_equal(data_extent_ref(&w.trans, logical, 2 * UNIT, root->id, HOT_INO, 0),
				 0);
		item_put(root, key, logical, 2 * UNIT, 0);
	}
}

static void op_clone(struct root *root, bool hot)
{
	struct root *from = &w.roots[2 + rnd(w.root_count - 2)];
	struct pointer p;
	struct key key = random_key();
	u64 off = rnd(2) * UNIT;

	if (!item_get(from, hot ? KEY_MIN : random_key(), &p) || item_exists(root, key))
		return;
	assert_int_equal(data_extent_ref(&w.trans, p.bytenr, p.num, root->id, key.objectid,
					 key.offset - off),
			 0);
	item_put(root, key, p.bytenr, p.num, off);
}

static void op_delete(struct root *root)
{
	struct pointer p;

	if (!item_get(root, random_key(), &p))
		return;
	assert_int_equal(data_extent_unref(&w.trans, p.bytenr, p.num, root->id, p.key.objectid,
					   p.key.offset - p.off),
			 0);
	assert_int_equal(tree_delete_key(&w.trans, root, &p.key), 0);
}

/* ---- the definition: what the pointers stand for ---- */

struct expected {
	u64 logical;
	struct ref ref;
	s64 count;
};

static struct expected *want;
static u32 want_count, want_room;
static u8 visited[UNITS];

static void expect(u64 logical, struct ref ref)
{
	if (want_count == want_room) {
		want_room = want_room ? want_room * 2 : 1024;
		want = realloc(want, want_room * sizeof(*want));
		assert_non_null(want);
	}
	want[want_count++] = (struct expected){logical, ref, 1};
}

static void walk_leaf(const u8 *node, u64 owner, u64 parent)
{
	for (u32 i = 0; i < node_nritems(node); i++) {
		const struct btrfs_file_extent_item *fi = (const void *)leaf_data(node, i);
		struct key key = node_key(node, i);

		if (key.type == BTRFS_EXTENT_DATA_KEY && owner != BTRFS_EXTENT_TREE_OBJECTID)
			expect(get_le64(&fi->disk_bytenr),
			       ref_data(owner, parent, key.objectid,
					key.offset - get_le64(&fi->offset)));
	}
}

static void walk_node(u64 logical, u8 level)
{
	_cleanup_eb_ struct extent_buffer *eb = node_cache_find(&w.fs, logical);
	const u8 *node = eb ? eb->data : w.disk[logical / UNIT];
	struct extent_info info;
	u64 parent;

	if (visited[logical / UNIT]++)
		return;
	assert_int_equal(extent_info(&w.fs, logical, &info), 0);
	assert_int_equal(info.level, level);
	assert_int_equal(node_level(node), level);
	parent = info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF ? logical : 0;
	if (!level) {
		walk_leaf(node, node_owner(node), parent);
		return;
	}
	for (u32 i = 0; i < node_nritems(node); i++) {
		expect(node_blockptr(node, i), ref_tree_block(node_owner(node), parent));
		walk_node(node_blockptr(node, i), (u8)(level - 1));
	}
}

static int expected_cmp(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;

	if (x->logical != y->logical)
		return x->logical < y->logical ? -1 : 1;
	return ref_cmp(&x->ref, &y->ref);
}

static void expected_build(void)
{
	u32 n = 0;

	want_count = 0;
	memset(visited, 0, sizeof(visited));
	for (u32 i = 0; i < w.root_count; i++) {
		expect(w.roots[i].node->logical, ref_tree_block(w.roots[i].id, 0));
		walk_node(w.roots[i].node->logical, w.roots[i].node->level);
	}
	qsort(want, want_count, sizeof(*want), expected_cmp);
	for (u32 i = 0; i < want_count; i++) {
		if (n && !expected_cmp(&want[n - 1], &want[i]))
			want[n - 1].count++;
		else
			want[n++] = want[i];
	}
	want_count = n;
}

/* Entries [first, return) are of one extent. */
static u32 extent_end(u32 first, s64 *sum)
{
	u32 i = first;

	for (*sum = 0; i < want_count && want[i].logical == want[first].logical; i++)
		*sum += want[i].count;
	return i;
}

/* @running: a sole holder may be refused, because another one is gone but not durably so. */
static void verify_shared(const struct expected *e, bool sole, bool running)
{
	int r;

	if (e->ref.kind != REF_DATA)
		return;
	r = data_extent_shared(&w.fs, e->logical, 2 * UNIT, e->ref.root, e->ref.ino, e->ref.offset);
	assert_true(r == !sole || (running && r == 1));
	r = data_extent_shared(&w.fs, e->logical, 2 * UNIT, e->ref.root, e->ref.ino, 12345);
	assert_int_equal(r, 1);
}

/* At any moment: item and queue together. */
static void verify_counts(void)
{
	struct extent_info info;
	s64 sum;

	expected_build();
	for (u32 i = 0, end; i < want_count; i = end) {
		end = extent_end(i, &sum);
		assert_int_equal(extent_info(&w.fs, want[i].logical, &info), 0);
		assert_int_equal(info.refs, sum);
		verify_shared(&want[i], end == i + 1, true);
	}
}

static int by_ref(const void *a, const void *b)
{
	const struct ref_count *x = a, *y = b;

	return ref_cmp(&x->ref, &y->ref);
}

static int count_scanned(void *ctx, const struct extent_info *info)
{
	w.scan_count++;
	return 0;
}

/* After a run: the items alone, holder by holder, and no others. */
static void verify_items(void)
{
	u32 extents = 0;
	s64 sum;

	expected_build();
	for (u32 i = 0, end; i < want_count; i = end, extents++) {
		_cleanup_ref_list_ struct ref_list list = {};

		end = extent_end(i, &sum);
		assert_int_equal(extent_refs_list(&w.fs, want[i].logical, &list), 0);
		qsort(list.v, list.count, sizeof(*list.v), by_ref);
		assert_int_equal(list.count, end - i);
		verify_shared(&want[i], end == i + 1, false);
		for (u32 k = 0; k < list.count; k++) {
			assert_int_equal(ref_cmp(&list.v[k].ref, &want[i + k].ref), 0);
			assert_int_equal(list.v[k].count, want[i + k].count);
		}
	}
	w.scan_count = 0;
	assert_int_equal(extent_scan(&w.fs, 0, UINT64_MAX, count_scanned, NULL), 0);
	assert_int_equal(w.scan_count, extents);
}

/* Live data has its checksums, everything else has none. */
static void verify_csums(void)
{
	enum { BATCH = 512 };
	u32 csums[BATCH];
	bool present[BATCH];
	u8 *live = calloc(UNITS, 1);

	for (u32 i = 0; i < want_count; i++)
		if (want[i].ref.kind == REF_DATA || want[i].ref.kind == REF_SHARED_DATA)
			live[want[i].logical / UNIT] = live[want[i].logical / UNIT + 1] = 1;
	for (u32 at = 0; at + BATCH <= UNITS; at += BATCH) {
		int r = csum_lookup(&w.fs, (u64)at * UNIT, (u64)BATCH * UNIT, (u8 *)csums, present);

		for (u32 i = 0; i < BATCH; i++) {
			assert_int_equal(present[i], live[at + i]);
			r -= live[at + i];
			if (present[i])
				assert_int_equal(csums[i], csum_of((u64)(at + i) * UNIT));
		}
		assert_int_equal(r, 0);
	}
	free(live);
}

static void random_op(void)
{
	struct root *root = &w.roots[2 + rnd(w.root_count - 2)];
	u32 what = rnd(10);

	if (what < 4)
		op_write(root);
	else if (what < 7)
		op_clone(root, rnd(3) == 0);
	else
		op_delete(root);
}

static void campaign(u32 seed, bool skinny, u64 cache_bytes, u32 transactions)
{
	world_open(seed, skinny, cache_bytes);
	for (u32 i = 0; i < 7000; i++)
		op_write(&w.roots[2]);
	commit();
	for (u32 t = 0; t < transactions; t++) {
		for (u32 n = rnd(60); n > 0; n--)
			random_op();
		if (rnd(3) == 0)
			verify_counts();
		if (rnd(3) == 0 && w.root_count < ROOTS_MAX)
			snapshot(&w.roots[2 + rnd(w.root_count - 2)]);
		else
			commit();
		if (t % 4 == 0) {
			verify_items();
			verify_csums();
		}
	}
	verify_items();
	world_close();
}

/* A holder that left is back after a crash until its leaving is durable. */
static void test_shared_until_durable(void **state)
{
	struct key other = KEY(HOT_INO, BTRFS_EXTENT_DATA_KEY, 0);
	struct pointer p = {};

	world_open(51, true, MIB(64));
	op_write(&w.roots[2]);
	commit();
	assert_true(item_get(&w.roots[2], KEY(257, 0, 0), &p));
	assert_int_equal(
		data_extent_shared(&w.fs, p.bytenr, p.num, 5, p.key.objectid, p.key.offset), 1);
	assert_int_equal(data_extent_unref(&w.trans, p.bytenr, p.num, 5, HOT_INO, 0), 0);
	assert_int_equal(tree_delete_key(&w.trans, &w.roots[2], &other), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			data_extent_shared(&w.fs, p.bytenr, p.num, 5, p.key.objectid, p.key.offset),
			1);
		assert_int_equal(delayed_refs_run(&w.trans), 0);
	}
	commit();
	assert_int_equal(
		data_extent_shared(&w.fs, p.bytenr, p.num, 5, p.key.objectid, p.key.offset), 0);
	world_close();
}

static void test_skinny(void **state)
{
	for (u32 seed = 1; seed <= 3; seed++)
		campaign(seed, true, MIB(64), 60);
}

static void test_old_form(void **state)
{
	campaign(11, false, MIB(64), 60);
}

/* Hardly any cache: searches under locks miss all the time. */
static void test_small_cache(void **state)
{
	campaign(21, true, 16 * UNIT, 40);
}

/* Everything of the tree is deleted again: nothing may be left but the empty trees. */
static void test_delete_all(void **state)
{
	struct pointer p;

	world_open(31, true, MIB(64));
	for (u32 i = 0; i < 3000; i++)
		op_write(&w.roots[2]);
	commit();
	while (item_get(&w.roots[2], KEY_MIN, &p)) {
		assert_int_equal(data_extent_unref(&w.trans, p.bytenr, p.num, w.roots[2].id,
						   p.key.objectid, p.key.offset - p.off),
				 0);
		assert_int_equal(tree_delete_key(&w.trans, &w.roots[2], &p.key), 0);
		if (rnd(50) == 0)
			commit();
	}
	commit();
	verify_items();
	verify_csums();
	assert_int_equal(node_nritems(w.fs.csum_root->node->data), 0);
	world_close();
}

/* The checksum tree alone: ranges that grow, are overwritten and are cut everywhere. */
static void test_csum_ranges(void **state)
{
	enum { SECTORS = 12000, MOST = 3000 };
	static u32 model[SECTORS], csums[SECTORS];
	static bool present[SECTORS];
	u64 base = 1ull << 40;

	memset(model, 0, sizeof(model));
	world_open(41, true, MIB(64));
	for (u32 step = 1; step < 1500; step++) {
		u32 len = 1 + rnd(rnd(4) ? 40 : MOST), at = rnd(SECTORS - len);
		bool insert = rnd(2);
		int r;

		for (u32 i = 0; i < len; i++) {
			model[at + i] = insert ? step * SECTORS + i : 0;
			csums[i] = model[at + i];
		}
		r = insert ? csum_insert(&w.trans, base + (u64)at * UNIT, (u64)len * UNIT,
					 (u8 *)csums)
			   : csum_delete(&w.trans, base + (u64)at * UNIT, (u64)len * UNIT);
		assert_int_equal(r, 0);
		assert_int_equal(csum_any(&w.fs, base + (u64)at * UNIT, (u64)len * UNIT), insert);
		r = csum_lookup(&w.fs, base, (u64)SECTORS * UNIT, (u8 *)csums, present);
		for (u32 i = 0; i < SECTORS; i++) {
			assert_int_equal(present[i], model[i] != 0);
			r -= model[i] != 0;
			if (present[i])
				assert_int_equal(csums[i], model[i]);
		}
		assert_int_equal(r, 0);
		if (step % 100 == 0)
			commit();
	}
	world_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_until_durable),
		cmocka_unit_test(test_csum_ranges),
		cmocka_unit_test(test_delete_all),
		cmocka_unit_test(test_skinny),
		cmocka_unit_test(test_old_form),
		cmocka_unit_test(test_small_cache),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	free(want);
	return r;
}
