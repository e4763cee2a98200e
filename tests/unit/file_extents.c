/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_extents.c - random changes of a file's extent items against a model of its sectors.
 *
 * Adding, dropping, marking written and cutting the tail, on small nodes so that items cross
 * leaves. After each batch every sector maps to where the model says, each extent has as many
 * references as it has items, and nbytes is the sum.
 */
#include "tree_fixture.h"

#include <cmocka.h>

#include "core/extent/delayed_ref.h"
#include "core/file/file_extent.h"
#include "core/inode/inode.h"

#define INO 300
#define SS 4096ull
#define SECTORS 512
#define EXTENTS_MAX 60000

enum model_state { M_HOLE, M_WRITTEN, M_PREALLOC };

struct model_sector {
	enum model_state state;
	u64 logical;
};

static struct model_sector model[SECTORS];
static struct inode inode;
static int refs[EXTENTS_MAX];
static u64 ref_offset[EXTENTS_MAX];
static u64 next_extent;

/* What surrounds the items */

int dref_add(struct trans *trans, u64 logical, u64 len, u8 level, bool is_data,
	     const struct ref *ref, int count)
{
	u64 id = logical / GIB(1);

	CHECK(is_data && id < EXTENTS_MAX && refs[id] > 0 && refs[id] + count >= 0);
	CHECK(ref->kind == REF_DATA && ref->root == 4711 && ref->ino == INO);
	CHECK(ref->offset == ref_offset[id]);
	refs[id] += count;
	return 0;
}

void trans_abort(struct trans *trans, int err, const char *what)
{
	fprintf(stderr, "abort: %s: %d\n", what, err);
	abort();
}

int inode_change_begin(struct inode *i, struct trans *trans)
{
	return 0;
}

void inode_change_end(struct inode *i, struct trans *trans)
{
}

void log_extents_changed(struct trans *trans, struct inode *i, u64 start, u64 end)
{
	CHECK(i == &inode && start < end);
}

/* Operations, here and in the model */

static void op_drop(u64 start, u64 end)
{
	u64 pos = start * SS, done;

	while (pos < end * SS) {
		CHECK(file_extent_drop(&fx->trans, &inode, pos, end * SS, 1 + fx_below(4), &done) ==
		      0);
		CHECK(done > pos && done <= end * SS);
		pos = done;
	}
	for (u64 i = start; i < end; i++)
		model[i] = (struct model_sector){M_HOLE, 0};
}

static void op_add(u64 start, u64 end, bool prealloc)
{
	u64 id = next_extent++, skip = fx_below(3), logical = id * GIB(1);
	struct file_mapping m = {
		.type = prealloc ? MAPPING_PREALLOC : MAPPING_REG, .off = start * SS,
		.len = (end - start) * SS, .disk_bytenr = logical,
		.disk_bytes = (end - start + 4) * SS, .ram_bytes = (end - start + 4) * SS,
		.extent_off = skip * SS, .generation = fx->trans.transid,
	};

	CHECK(id < EXTENTS_MAX);
	op_drop(start, end);
	refs[id] = 1;
	ref_offset[id] = m.off - m.extent_off;
	CHECK(file_extent_insert(&fx->trans, &inode, &m) == 0);
	for (u64 i = start; i < end; i++)
		model[i] = (struct model_sector){prealloc ? M_PREALLOC : M_WRITTEN,
						 logical + (skip + i - start) * SS};
}

static void op_mark(u64 start, u64 end)
{
	struct file_mapping m;

	CHECK(file_extent_lookup(&fx->root, INO, start * SS, &m) == 0);
	if (m.type != MAPPING_PREALLOC)
		return;
	end = MIN(end, mapping_end(&m) / SS);
	CHECK(file_extent_mark_written(&fx->trans, &inode, &m, start * SS, end * SS) == 0);
	for (u64 i = start; i < end; i++)
		model[i].state = M_WRITTEN;
}

static void op_cut_tail(u64 from)
{
	u64 pos = UINT64_MAX;
	int r;

	do {
		r = file_extent_cut_tail(&fx->trans, &inode, from * SS - fx_below(SS),
					 1 + fx_below(5), &pos);
		CHECK(r >= 0);
	} while (r == 0);
	for (u64 i = from; i < SECTORS; i++)
		model[i] = (struct model_sector){M_HOLE, 0};
}

/* Comparing */

static void check_refs(void)
{
	static int items[EXTENTS_MAX];
	_cleanup_path_ struct path path = {};
	struct key key = file_extent_key(INO, 0);
	u64 nbytes = 0;
	int r = tree_search_next(&fx->root, &key, &path);

	memset(items, 0, sizeof(items));
	for (; r >= 0 && !path_at_end(&path); r = tree_next(&path) ? -1 : 0) {
		struct file_mapping m;

		key = path_key(&path);
		if (key.objectid != INO || key.type != BTRFS_EXTENT_DATA_KEY)
			break;
		file_mapping_decode(path_data(&path), path_size(&path), key.offset, &m);
		items[m.disk_bytenr / GIB(1)]++;
		nbytes += m.len;
	}
	for (u64 i = 1; i < next_extent; i++)
		CHECK(items[i] == refs[i]);
	CHECK(nbytes == inode.a.nbytes);
}

static void check_all(void)
{
	struct file_mapping m[7];
	u64 pos = 0;

	while (pos < SECTORS) {
		int n = file_extent_lookup_range(&fx->root, INO, pos * SS, SECTORS * SS, m, 7);

		CHECK(n >= 1 && m[0].off <= pos * SS);
		for (int i = 0; i < n && pos < SECTORS; i++) {
			CHECK(pos * SS < mapping_end(&m[i]) && (i == 0 || m[i].off == pos * SS));
			for (; pos < SECTORS && pos * SS < mapping_end(&m[i]); pos++) {
				struct file_mapping one;
				u64 at = mapping_logical(&m[i]) + (pos * SS - m[i].off);

				CHECK((m[i].type == MAPPING_HOLE) == (model[pos].state == M_HOLE));
				CHECK((m[i].type == MAPPING_REG) ==
				      (model[pos].state == M_WRITTEN));
				CHECK(m[i].type == MAPPING_HOLE || at == model[pos].logical);
				CHECK(file_extent_lookup(&fx->root, INO, pos * SS, &one) == 0);
				CHECK(one.type == m[i].type && one.off <= pos * SS);
			}
		}
	}
	check_refs();
	fx_verify();
}

static void random_op(void)
{
	u64 start = fx_below(SECTORS), end = start + 1 + fx_below(fx_below(4) ? 6 : 60);
	u32 what = fx_below(100);

	end = MIN(end, (u64)SECTORS);
	if (what < 30)
		op_add(start, end, false);
	else if (what < 50)
		op_add(start, end, true);
	else if (what < 85)
		op_mark(start, end);
	else if (what < 97)
		op_drop(start, end);
	else if (start)
		op_cut_tail(start);
}

static void run(u64 seed)
{
	u8 item[160] = {};
	struct key before = KEY(INO, FX_ITEM_TYPE, 0);
	struct key behind = KEY(INO + 1, FX_ITEM_TYPE, 0);

	memset(model, 0, sizeof(model));
	memset(refs, 0, sizeof(refs));
	next_extent = 1;
	fx_open(4096, MIB(4), seed);
	inode = (struct inode){.fs = &fx->fs, .root = &fx->root, .ino = INO};
	CHECK(tree_insert(&fx->trans, &fx->root, &before, item, sizeof(item)) == 0);
	CHECK(tree_insert(&fx->trans, &fx->root, &behind, item, sizeof(item)) == 0);
	for (int i = 0; i < 6000; i++) {
		random_op();
		if (i % 50 == 0)
			check_all();
		if (i % 200 == 0)
			fx_commit();
	}
	check_all();
	fx_close();
}

static void test_random(void **state)
{
	for (u64 seed = 1; seed <= 4; seed++)
		run(seed);
}

static void test_cut(void **state)
{
	struct file_mapping m = {.type = MAPPING_REG, .off = 100 * SS, .len = 10 * SS,
				 .disk_bytenr = MIB(1), .disk_bytes = 20 * SS,
				 .extent_off = 3 * SS, .ram_bytes = 20 * SS};
	struct file_mapping p[2];

	assert_int_equal(file_mapping_cut(&m, 0, 1000 * SS, p), 0);
	assert_int_equal(file_mapping_cut_bytes(&m, 0, 1000 * SS), 10 * SS);
	assert_int_equal(file_mapping_cut(&m, 102 * SS, 1000 * SS, p), 1);
	assert_true(p[0].off == 100 * SS && p[0].len == 2 * SS && p[0].extent_off == 3 * SS);
	assert_int_equal(file_mapping_cut(&m, 0, 104 * SS, p), 1);
	assert_true(p[0].off == 104 * SS && p[0].len == 6 * SS && p[0].extent_off == 7 * SS);
	assert_int_equal(file_mapping_cut(&m, 103 * SS, 105 * SS, p), 2);
	assert_true(p[0].len == 3 * SS && p[1].off == 105 * SS && p[1].len == 5 * SS);
	assert_true(p[1].extent_off == 8 * SS && p[1].disk_bytes == 20 * SS);
	assert_int_equal(file_mapping_cut_bytes(&m, 103 * SS, 105 * SS), 2 * SS);
}

static void test_codec(void **state)
{
	struct file_mapping m = {.type = MAPPING_PREALLOC, .off = 5 * SS, .len = 10 * SS,
				 .disk_bytenr = MIB(1), .disk_bytes = 20 * SS,
				 .extent_off = 3 * SS, .ram_bytes = 20 * SS, .generation = 77};
	struct btrfs_file_extent_item item;
	struct file_mapping back;

	file_mapping_encode(&m, &item);
	assert_int_equal(item.type, BTRFS_FILE_EXTENT_PREALLOC);
	file_mapping_decode(&item, sizeof(item), m.off, &back);
	assert_true(file_mapping_same(&m, &back));
	assert_int_equal(back.ram_bytes, m.ram_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_codec),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
