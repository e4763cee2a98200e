/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_volume.c - chunk map, mirror retry and repair, fan-out writes and superblocks, on a memory
 * device with a real image. */
#include "tests/unit/disk_fixture.h"

#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/format/check.h"

static struct device *pristine;
static struct reason log_sink; /* faults are meant here; they go to this sink */

struct setup {
	struct device *dev;
	struct volume *vol;
};

static struct setup start(bool readonly)
{
	struct setup s;
	struct reason why = {0};
	struct walk w = {0};

	assert_int_equal(device_memory_new(FIXTURE_BYTES, &s.dev), 0);
	memcpy(device_memory_data(s.dev), device_memory_data(pristine), FIXTURE_BYTES);
	if (volume_open_device(s.dev, readonly, &s.vol, &why))
		fail_msg("%s", why.text);
	w.vol = s.vol;
	walk_volume(&w);
	assert_int_equal(w.failed, 0);
	memset(&log_sink, 0, sizeof(log_sink));
	log_capture(&log_sink);
	return s;
}

static void stop(struct setup *s)
{
	log_capture(NULL);
	volume_close(s->vol);
}

static struct node_expect root_tree(struct volume *vol)
{
	const struct btrfs_super_block *sb = volume_super(vol);

	return (struct node_expect){
		.logical = get_le64(&sb->root),
		.generation = get_le64(&sb->generation),
		.level = sb->root_level,
		.owner = BTRFS_ROOT_TREE_OBJECTID,
	};
}

/* Memory of mirror @mirror of @logical. */
static u8 *mirror_of(struct setup *s, u64 logical, unsigned mirror)
{
	_cleanup_chunk_ struct chunk *c = chunk_map_find(volume_chunks(s->vol), logical);

	assert_non_null(c);
	assert_true(mirror < c->num_stripes);
	return device_memory_data(s->dev) + c->stripes[mirror].physical + (logical - c->logical);
}

/* ---- chunk map ---- */

static struct chunk *new_chunk(u64 logical, u64 length)
{
	struct chunk *c = calloc(1, sizeof(*c) + sizeof(c->stripes[0]));

	*c = (struct chunk){.logical = logical, .length = length, .num_stripes = 1, .refs = 1};
	return c;
}

static void test_chunk_map(void **state)
{
	struct chunk_map map;
	struct chunk *a = new_chunk(MIB(16), MIB(8)), *b = new_chunk(MIB(24), MIB(8)),
		     *c = new_chunk(MIB(20), MIB(8));
	struct chunk *got;

	chunk_map_init(&map);
	assert_int_equal(chunk_map_insert(&map, b), 0);
	assert_int_equal(chunk_map_insert(&map, a), 0);
	assert_int_equal(chunk_map_insert(&map, a), -EEXIST);
	assert_int_equal(chunk_map_insert(&map, c), -EEXIST);
	assert_null(chunk_map_find(&map, MIB(16) - 1));
	assert_null(chunk_map_find(&map, MIB(32)));
	got = chunk_map_find(&map, MIB(24) - 1);
	assert_ptr_equal(got, a);
	chunk_put(got);
	got = chunk_map_next(&map, MIB(16) + 1);
	assert_ptr_equal(got, b);
	chunk_put(got);
	got = chunk_map_prev(&map, MIB(24));
	assert_ptr_equal(got, a);
	assert_int_equal(chunk_map_remove(&map, MIB(16) + 1), -ENOENT);
	assert_int_equal(chunk_map_remove(&map, MIB(16)), 0);
	assert_int_equal(got->length, MIB(8)); /* the reference outlives the map's */
	chunk_put(got);
	assert_int_equal(chunk_map_count(&map), 1);
	chunk_put(a);
	chunk_put(b);
	chunk_put(c);
	chunk_map_destroy(&map);
}

static void test_chunk_map_many(void **state)
{
	struct chunk_map map;

	chunk_map_init(&map);
	for (u64 i = 0; i < 500; i++) {
		_cleanup_chunk_ struct chunk *c = new_chunk(MIB((i * 211) % 500), MIB(1));

		assert_int_equal(chunk_map_insert(&map, c), 0);
	}
	for (u64 i = 0; i < 500; i++) {
		_cleanup_chunk_ struct chunk *c = chunk_map_find(&map, MIB(i) + 5);

		assert_non_null(c);
		assert_int_equal(c->logical, MIB(i));
	}
	chunk_map_destroy(&map);
}

static void test_chunk_item_roundtrip(void **state)
{
	struct setup s = start(false);
	u64 at = 0;

	for (;;) {
		_cleanup_chunk_ struct chunk *c = chunk_map_next(volume_chunks(s.vol), at);
		u8 item[512];

		if (!c)
			break;
		assert_true(chunk_to_disk(c, NULL) <= sizeof(item));
		assert_int_equal(volume_add_chunk_item(s.vol, c->logical, (void *)item,
						       chunk_to_disk(c, (void *)item)),
				 0);
		at = c->logical + c->length;
	}
	assert_true(at > 0);
	stop(&s);
}

/* ---- nodes ---- */

static void test_dup_repair(void **state)
{
	struct setup s = start(false);
	struct node_expect want = root_tree(s.vol);
	_cleanup_buffer_ u8 *node = buffer_get(volume_nodesize(s.vol));
	struct volume_stats stats;

	for (unsigned bad = 0; bad < 2; bad++) {
		mirror_of(&s, want.logical, bad)[777] ^= 1;
		assert_int_equal(volume_read_node(s.vol, &want, node), 0);
		mirror_of(&s, want.logical, bad)[777] ^=
			bad; /* the second is not looked at, so not repaired */
		assert_memory_equal(mirror_of(&s, want.logical, 0), mirror_of(&s, want.logical, 1),
				    volume_nodesize(s.vol));
	}
	volume_stats_get(s.vol, &stats);
	assert_int_equal(stats.repaired, 1);
	assert_int_equal(stats.csum_errors, 1);
	stop(&s);
}

static bool never_wanted(void *ctx)
{
	(*(int *)ctx)++;
	return false;
}

static void test_no_repair_when_unwanted_or_readonly(void **state)
{
	for (int readonly = 0; readonly < 2; readonly++) {
		struct setup s = start(readonly);
		struct node_expect want = root_tree(s.vol);
		_cleanup_buffer_ u8 *node = buffer_get(volume_nodesize(s.vol));
		int asked = 0;
		u8 *bad = mirror_of(&s, want.logical, 0), lie;

		want.still_wanted = never_wanted;
		want.ctx = &asked;
		lie = bad[777] ^= 1;
		assert_int_equal(volume_read_node(s.vol, &want, node), 0);
		assert_int_equal(asked, !readonly);
		assert_int_equal(bad[777], lie);
		stop(&s);
	}
}

static void test_both_copies_bad(void **state)
{
	struct setup s = start(false);
	struct node_expect want = root_tree(s.vol);
	_cleanup_buffer_ u8 *node = buffer_get(volume_nodesize(s.vol));
	u64 faults = log_fault_count();
	u8 lies[2];

	for (unsigned m = 0; m < 2; m++)
		lies[m] = mirror_of(&s, want.logical, m)[500] ^= 1;
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	assert_int_equal(log_fault_count(), faults + 1); /* one line for one block */
	assert_non_null(strstr(log_sink.text, "bad in every copy"));
	for (unsigned m = 0; m < 2; m++)
		assert_int_equal(mirror_of(&s, want.logical, m)[500], lies[m]);
	stop(&s);
}

static void test_node_expectations(void **state)
{
	struct setup s = start(false);
	struct node_expect want;
	_cleanup_buffer_ u8 *node = buffer_get(volume_nodesize(s.vol));

	want = root_tree(s.vol);
	want.generation++;
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	want = root_tree(s.vol);
	want.level++;
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	want = root_tree(s.vol);
	want.owner = 5;
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	want = root_tree(s.vol);
	want.has_first_key = true;
	want.first_key = KEY(99, 1, 1);
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	want = root_tree(s.vol);
	want.logical += 4096;
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	want.logical = GIB(900);
	assert_int_equal(volume_read_node(s.vol, &want, node), -EIO);
	stop(&s);
}

static void test_seal_node(void **state)
{
	struct setup s = start(false);
	struct node_expect want = root_tree(s.vol);
	_cleanup_buffer_ u8 *node = buffer_get(volume_nodesize(s.vol)),
			    *back = buffer_get(volume_nodesize(s.vol));

	assert_int_equal(volume_read_node(s.vol, &want, node), 0);
	node_set_flags(node, 0);
	assert_int_equal(volume_seal_node(s.vol, node), 0);
	assert_int_equal(node_flags(node), BTRFS_HEADER_FLAG_WRITTEN);
	assert_int_equal(volume_pwrite_inplace(s.vol, want.logical, node, volume_nodesize(s.vol)),
			 0);
	assert_int_equal(volume_read_node(s.vol, &want, back), 0);
	assert_memory_equal(node, back, volume_nodesize(s.vol));
	node_set_nritems(node, 9999);
	assert_int_equal(volume_seal_node(s.vol, node), -EUCLEAN);
	stop(&s);
}

/* ---- data and writes ---- */

static struct chunk *chunk_of_type(struct setup *s, u64 type)
{
	struct chunk *c;

	for (u64 at = 0; (c = chunk_map_next(volume_chunks(s->vol), at));
	     at = c->logical + c->length, chunk_put(c))
		if (c->type & type)
			return c;
	return NULL;
}

/* Any chunk will do for raw data: metadata chunks are DUP by default. The last MiB of it is free.
 */
static u64 dup_area(struct setup *s)
{
	_cleanup_chunk_ struct chunk *c = chunk_of_type(s, BTRFS_BLOCK_GROUP_METADATA);

	assert_int_equal(c->num_stripes, 2);
	return c->logical + c->length - MIB(1);
}

static void test_data_repair(void **state)
{
	struct setup s = start(false);
	u64 at = dup_area(&s);
	_cleanup_buffer_ u8 *data = buffer_get(16 * 4096), *back = buffer_get(16 * 4096);
	u8 csums[16 * 4];

	for (u32 i = 0; i < 16 * 4096; i++)
		data[i] = (u8)(i * 7 + i / 4096);
	for (u32 i = 0; i < 16; i++)
		csum_compute(0, data + i * 4096, 4096, csums + 4 * i);
	assert_int_equal(volume_pwrite_inplace(s.vol, at, data, 16 * 4096), 0);
	assert_memory_equal(mirror_of(&s, at, 0), data, 16 * 4096);
	assert_memory_equal(mirror_of(&s, at, 1), data, 16 * 4096);
	mirror_of(&s, at, 0)[3 * 4096] ^= 1;
	mirror_of(&s, at, 0)[9 * 4096] ^= 1;
	mirror_of(&s, at, 1)[5 * 4096] ^= 1;
	assert_int_equal(volume_read_data_quiet(s.vol, at, 16 * 4096, csums, NULL, back), -EIO);
	assert_int_not_equal(mirror_of(&s, at, 0)[3 * 4096],
			     data[3 * 4096]); /* quiet repairs nothing */
	assert_int_equal(volume_read_data(s.vol, at, 16 * 4096, csums, NULL, back, NULL, NULL), 0);
	assert_memory_equal(back, data, 16 * 4096);
	assert_memory_equal(mirror_of(&s, at, 0), data, 16 * 4096);
	stop(&s);
}

static void test_data_both_bad(void **state)
{
	struct setup s = start(false);
	u64 at = dup_area(&s);
	_cleanup_buffer_ u8 *back = buffer_get(4 * 4096);
	u8 csums[16] = {1, 2, 3, 4};
	bool present[4] = {false, false, false, false};

	assert_int_equal(volume_read_data(s.vol, at, 4 * 4096, csums, NULL, back, NULL, NULL),
			 -EIO);
	assert_int_equal(volume_read_data(s.vol, at, 4 * 4096, csums, present, back, NULL, NULL),
			 0);
	assert_int_equal(volume_read_data(s.vol, at, 4 * 4096, NULL, NULL, back, NULL, NULL), 0);
	stop(&s);
}

static void test_write_spans_chunks(void **state)
{
	struct setup s = start(false);
	_cleanup_chunk_ struct chunk *a = chunk_of_type(&s, BTRFS_BLOCK_GROUP_METADATA), *b = NULL;
	_cleanup_buffer_ u8 *data = buffer_get(8 * 4096), *back = buffer_get(8 * 4096);
	struct iovec iov[3] = {{data, 4096}, {data + 4096, 5 * 4096}, {data + 6 * 4096, 2 * 4096}};
	u64 at = a->logical + a->length - 3 * 4096;

	/* a second chunk right behind the first, mapped to a free place of the device */
	b = new_chunk(a->logical + a->length, MIB(1));
	b->type = BTRFS_BLOCK_GROUP_DATA;
	b->stripes[0] = a->stripes[0];
	b->stripes[0].physical = FIXTURE_BYTES - MIB(2);
	assert_int_equal(volume_add_chunk(s.vol, b), 0);
	for (u32 i = 0; i < 8 * 4096; i++)
		data[i] = (u8)(i * 13 + i / 4096);
	assert_int_equal(volume_write(s.vol, at, iov, 3), 0);
	assert_memory_equal(mirror_of(&s, at, 0), data, 3 * 4096);
	assert_memory_equal(mirror_of(&s, at, 1), data, 3 * 4096);
	assert_memory_equal(device_memory_data(s.dev) + b->stripes[0].physical, data + 3 * 4096,
			    5 * 4096);
	assert_int_equal(volume_read_data(s.vol, at, 8 * 4096, NULL, NULL, back, NULL, NULL), 0);
	assert_memory_equal(back, data, 8 * 4096);
	stop(&s);
}

/* ---- superblocks ---- */

static void test_write_super(void **state)
{
	struct setup s = start(false);
	struct btrfs_super_block sb = *volume_super(s.vol), copy;
	struct reason why = {0};
	u64 generation = get_le64(&sb.generation);

	put_le64(&sb.generation, generation + 1);
	assert_int_equal(volume_write_super(s.vol, &sb, SUPER_PRIMARY), 0);
	memcpy(&copy, device_memory_data(s.dev) + SUPER_OFFSET, SUPER_SIZE);
	assert_int_equal(check_super(&copy, SUPER_OFFSET, &why), 0);
	assert_int_equal(get_le64(&copy.generation), generation + 1);
	memcpy(&copy, device_memory_data(s.dev) + MIB(64), SUPER_SIZE);
	assert_int_equal(get_le64(&copy.generation), generation);
	assert_int_equal(volume_write_super(s.vol, &sb, SUPER_COPIES), 0);
	memcpy(&copy, device_memory_data(s.dev) + MIB(64), SUPER_SIZE);
	assert_int_equal(check_super(&copy, MIB(64), &why), 0);
	assert_int_equal(get_le64(&copy.generation), generation + 1);
	assert_int_equal(volume_failed_super_copies(s.vol), 0);
	assert_int_equal(volume_generation(s.vol), generation + 1);
	stop(&s);
}

static void test_bad_primary_names_mirror(void **state)
{
	struct device *dev;
	struct volume *vol;
	struct reason why = {0};

	assert_int_equal(device_memory_new(FIXTURE_BYTES, &dev), 0);
	memcpy(device_memory_data(dev), device_memory_data(pristine), FIXTURE_BYTES);
	memset(device_memory_data(dev) + SUPER_OFFSET, 0, SUPER_SIZE);
	assert_int_equal(volume_open_device(dev, false, &vol, &why), -EUCLEAN);
	assert_non_null(strstr(why.text, "64 MiB is good"));
}

static void test_truncated_is_refused(void **state)
{
	struct device *dev;
	struct volume *vol;
	struct reason why = {0};

	assert_int_equal(device_memory_new(FIXTURE_BYTES / 2, &dev), 0);
	memcpy(device_memory_data(dev), device_memory_data(pristine), FIXTURE_BYTES / 2);
	assert_int_equal(volume_open_device(dev, false, &vol, &why), -EINVAL);
	assert_non_null(strstr(why.text, "truncated"));
}

struct stripes {
	u64 logical[8], len[8];
	unsigned n;
};

static void note_stripe(void *ctx, u64 logical, u64 len)
{
	struct stripes *s = ctx;

	s->logical[s->n] = logical;
	s->len[s->n++] = len;
}

static void test_super_stripes(void **state)
{
	struct chunk *c = calloc(1, sizeof(*c) + 2 * sizeof(c->stripes[0]));
	struct stripes got = {0};

	*c = (struct chunk){.logical = GIB(1),
			    .length = MIB(32),
			    .num_stripes = 2,
			    .refs = 1,
			    .type = BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DUP};
	c->stripes[0].physical = MIB(40);
	c->stripes[1].physical = MIB(72);
	volume_super_stripes(NULL, c, note_stripe, &got);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.logical[0], GIB(1) + MIB(24));
	assert_int_equal(got.len[0], KIB(64));
	c->stripes[1].physical =
		MIB(64) - 4096; /* the copy lies in the first stripe, not at its start */
	c->stripes[0].physical = MIB(1);
	got.n = 0;
	volume_super_stripes(NULL, c, note_stripe, &got);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.logical[0], GIB(1));
	chunk_put(c);
}

static int make_image(void **state)
{
	pristine = fixture_image("-m dup");
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
		cmocka_unit_test(test_chunk_map),
		cmocka_unit_test(test_chunk_map_many),
		cmocka_unit_test(test_chunk_item_roundtrip),
		cmocka_unit_test(test_dup_repair),
		cmocka_unit_test(test_no_repair_when_unwanted_or_readonly),
		cmocka_unit_test(test_both_copies_bad),
		cmocka_unit_test(test_node_expectations),
		cmocka_unit_test(test_seal_node),
		cmocka_unit_test(test_data_repair),
		cmocka_unit_test(test_data_both_bad),
		cmocka_unit_test(test_write_spans_chunks),
		cmocka_unit_test(test_write_super),
		cmocka_unit_test(test_bad_primary_names_mirror),
		cmocka_unit_test(test_truncated_is_refused),
		cmocka_unit_test(test_super_stripes),
	};

	return cmocka_run_group_tests(tests, make_image, drop_image);
}
