/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_raid.c - a volume over several memory devices, made by mkfs.btrfs: random writes against a
 * model of the content, with parity held against its definition; devices taken away, spoilt, and
 * failing.
 */
#include "tests/unit/disk_fixture.h"

#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/codec/parity.h"
#include "disk/format/raid_profile.h"
#include "disk/volume/stripe_map.h"

#define DEVICES_MAX 4
#define DEVICE_BYTES MIB(128)
#define AREA MIB(4)
#define SECTOR 4096u

struct array {
	unsigned count;
	struct device *devs[DEVICES_MAX]; /* owned by the volume while one is open */
	u8 *data[DEVICES_MAX];
	struct volume *vol;
	u64 at;    /* of the area in the address space */
	u8 *model; /* its content */
	u8 csums[AREA / SECTOR * 4];
};

static struct reason log_sink; /* faults are meant here */

/* What is zero on both sides is left alone: most of it is. */
static void copy_sparse(u8 *to, const u8 *from, u64 len)
{
	for (u64 at = 0; at < len; at += STRIPE_LEN)
		if (memcmp(to + at, from + at, STRIPE_LEN))
			memcpy(to + at, from + at, STRIPE_LEN);
}

static bool load(const char *path, u8 *to)
{
	FILE *f = fopen(path, "r");
	u8 block[STRIPE_LEN];
	u64 at = 0;

	for (; f && fread(block, 1, sizeof(block), f) == sizeof(block); at += sizeof(block))
		copy_sparse(to + at, block, sizeof(block));
	if (f)
		fclose(f);
	return at == DEVICE_BYTES;
}

/* mkfs.btrfs over @count files, into a->data. */
static void make(struct array *a, const char *profile, unsigned count)
{
	char dir[] = "/tmp/btrfuse-raid-XXXXXX", cmd[1024];

	memset(a, 0, sizeof(*a));
	a->count = count;
	a->model = calloc(1, AREA);
	assert_non_null(mkdtemp(dir));
	snprintf(cmd, sizeof(cmd),
		 "cd %s && for i in $(seq %u); do truncate -s %llu d$i; done && "
		 "mkfs.btrfs -q -f -d %s -m %s d* >/dev/null 2>&1",
		 dir, count, (unsigned long long)DEVICE_BYTES, profile, profile);
	assert_int_equal(system(cmd), 0);
	for (unsigned i = 0; i < count; i++) {
		snprintf(cmd, sizeof(cmd), "%s/d%u", dir, i + 1);
		a->data[i] = calloc(1, DEVICE_BYTES);
		assert_true(load(cmd, a->data[i]));
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

/* The content of the devices lives in a->data between two openings. */
static void open_without(struct array *a, int missing)
{
	struct device *devs[DEVICES_MAX];
	struct reason why = {0};
	struct walk w = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < a->count; i++) {
		a->devs[i] = NULL;
		if ((int)i == missing)
			continue;
		assert_int_equal(device_memory_new(DEVICE_BYTES, &a->devs[i]), 0);
		copy_sparse(device_memory_data(a->devs[i]), a->data[i], DEVICE_BYTES);
		devs[n++] = a->devs[i];
	}
	if (volume_open_devices(devs, n, false, missing >= 0, &a->vol, &why))
		fail_msg("%s", why.text);
	w.vol = a->vol;
	walk_volume(&w);
	assert_int_equal(w.failed, 0);
	log_capture(&log_sink);
}

static void close_all(struct array *a)
{
	log_capture(NULL);
	for (unsigned i = 0; i < a->count; i++)
		if (a->devs[i])
			copy_sparse(a->data[i], device_memory_data(a->devs[i]), DEVICE_BYTES);
	volume_close(a->vol);
	a->vol = NULL;
}

static void destroy(struct array *a)
{
	for (unsigned i = 0; i < a->count; i++)
		free(a->data[i]);
	free(a->model);
}

static struct chunk *data_chunk(struct array *a)
{
	struct chunk *c;

	for (u64 at = 0; (c = chunk_map_next(volume_chunks(a->vol), at));
	     at = c->logical + c->length, chunk_put(c))
		if (c->type & BTRFS_BLOCK_GROUP_DATA)
			return c;
	fail();
	return NULL;
}

static enum sector_verdict verify(void *ctx, u64 logical, const void *sector)
{
	const struct array *a = ctx;
	u8 got[CSUM_SIZE_MAX];

	if (logical < a->at || logical >= a->at + AREA)
		return SECTOR_UNKNOWN;
	csum_compute(BTRFS_CSUM_TYPE_CRC32, sector, SECTOR, got);
	return memcmp(got, a->csums + (logical - a->at) / SECTOR * 4, 4) ? SECTOR_BAD : SECTOR_GOOD;
}

static void write_at(struct array *a, u32 from, u32 sectors)
{
	u32 len = sectors * SECTOR, half = sectors / 2 * SECTOR;
	_cleanup_buffer_ u8 *buf = buffer_get(len);
	struct iovec iov[2] = {{buf, half}, {buf + half, len - half}};

	for (u32 i = 0; i < len; i++)
		buf[i] = (u8)rand();
	/* a checksum is known only when its sector is on the device: here, none while it is written */
	assert_int_equal(volume_write(a->vol, a->at + from, half ? iov : iov + 1, half ? 2 : 1), 0);
	memcpy(a->model + from, buf, len);
	for (u32 i = 0; i < sectors; i++)
		csum_compute(BTRFS_CSUM_TYPE_CRC32, buf + i * SECTOR, SECTOR,
			     a->csums + (from / SECTOR + i) * 4);
}

static void write_randomly(struct array *a, unsigned times)
{
	u32 all = AREA / SECTOR;

	for (unsigned i = 0; i < times; i++) {
		u32 n = i % 5 == 0 ? 1 + (u32)rand() % 120 : 1 + (u32)rand() % 8;
		u32 from = (u32)rand() % (all - n);

		write_at(a, from * SECTOR, n);
	}
}

static void assert_reads(struct array *a)
{
	_cleanup_buffer_ u8 *back = buffer_get(AREA);

	assert_int_equal(volume_read_data(a->vol, a->at, AREA, a->csums, NULL, back, NULL, NULL), 0);
	assert_memory_equal(back, a->model, AREA);
}

/* Every row of the area has the parity that its data wants. */
static void assert_parity(struct array *a)
{
	_cleanup_chunk_ struct chunk *c = data_chunk(a);
	_cleanup_buffer_ u8 *buf = buffer_get(DEVICES_MAX * STRIPE_LEN);

	for (u64 at = c->logical; stripe_map_has_parity(c) && at < c->logical + AREA;) {
		struct stripe_row row = stripe_row_at(c, at);
		u8 *unit[DEVICES_MAX];

		for (unsigned i = 0; i < row.data + row.parities; i++) {
			const struct chunk_stripe *s = &c->stripes[stripe_row_stripe(&row, i)];

			unit[i] = buf + i * STRIPE_LEN;
			memcpy(unit[i], device_memory_data(a->devs[s->devid - 1]) + s->physical +
						row.offset, STRIPE_LEN);
		}
		assert_true(parity_matches(row.data, row.parities, STRIPE_LEN, unit));
		at += row.len;
	}
}

static void begin(struct array *a)
{
	_cleanup_chunk_ struct chunk *c = NULL;

	open_without(a, -1);
	c = data_chunk(a);
	a->at = c->logical;
	for (u32 from = 0; from < AREA; from += 128 * SECTOR)
		write_at(a, from, 128);
	volume_set_verify(a->vol, verify, a);
}

/* Noise over a third of what the data chunk has on the device. */
static void spoil(struct array *a, unsigned devid)
{
	_cleanup_chunk_ struct chunk *c = data_chunk(a);

	for (unsigned i = 0; i < c->num_stripes; i++) {
		u8 *p = device_memory_data(a->devs[devid - 1]) + c->stripes[i].physical;

		for (u32 s = 0; c->stripes[i].devid == devid && s < AREA / SECTOR; s++)
			if (rand() % 3 == 0)
				memset(p + s * SECTOR, rand(), SECTOR);
	}
}

static const struct {
	const char *name;
	unsigned devices;
} redundant[] = {
	{"raid1", 2}, {"raid1c3", 3}, {"raid1c4", 4}, {"raid10", 4}, {"raid5", 2}, {"raid5", 3},
	{"raid5", 4}, {"raid6", 3},   {"raid6", 4},
};

static void test_writes_and_losses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(redundant); i++) {
		struct array a;

		make(&a, redundant[i].name, redundant[i].devices);
		begin(&a);
		write_randomly(&a, 60);
		assert_reads(&a);
		assert_parity(&a);
		close_all(&a);
		for (unsigned gone = 1; gone < a.count; gone++) {
			open_without(&a, (int)gone);
			assert_reads(&a);
			close_all(&a);
		}
		open_without(&a, (int)a.count - 1);
		volume_set_verify(a.vol, verify, &a);
		write_randomly(&a, 40);
		assert_reads(&a);
		close_all(&a);
		destroy(&a);
	}
}

/* Writes beside noise never make it permanent; reads put it right. */
static void test_noise(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(redundant); i++) {
		struct volume_stats stats;
		struct array a;
		u64 errors[DEVICE_ERRORS];

		make(&a, redundant[i].name, redundant[i].devices);
		begin(&a);
		for (int round = 0; round < 3; round++) {
			spoil(&a, 1);
			write_randomly(&a, 40);
			assert_reads(&a);
		}
		volume_stats_get(a.vol, &stats);
		volume_device_errors(a.vol, 1, errors);
		if (!stats.repaired || !errors[DEVICE_CORRUPTION])
			fail_msg("%s: nothing repaired or counted", redundant[i].name);
		assert_true(volume_device_errors_news(a.vol, 1));
		assert_false(volume_device_errors_news(a.vol, 1));
		close_all(&a);
		destroy(&a);
	}
}

/* Two devices at once, for those that bear it. */
static void test_double_noise(void **state)
{
	const char *names[] = {"raid1c3", "raid6", "raid1c4"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct array a;

		make(&a, names[i], i ? 4 : 3);
		begin(&a);
		spoil(&a, 1);
		spoil(&a, 3);
		write_randomly(&a, 40);
		assert_reads(&a);
		close_all(&a);
		destroy(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes_and_losses),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_double_noise),
	};
	int failed;

	srand(7);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	buffer_pool_drain();
	return failed;
}
