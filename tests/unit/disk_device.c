/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_device.c - claims on image files, direct I/O, and the recorder's log. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/base/buffer.h"
#include "disk/device/device.h"

static char path[64], log_path[64];

static int make_file(void **state)
{
	int fd;

	snprintf(path, sizeof(path), "/var/tmp/btrfuse-unit-%d.img", (int)getpid());
	snprintf(log_path, sizeof(log_path), "/var/tmp/btrfuse-unit-%d.log", (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, MIB(1)))
		return -1;
	return close(fd);
}

static int drop_file(void **state)
{
	unlink(path);
	unlink(log_path);
	buffer_pool_drain();
	return 0;
}

static int open_image(bool readonly, int wait_ms, struct device **dev, struct reason *why)
{
	struct device_file_options opt = {
		.path = path, .readonly = readonly, .claim_wait_ms = wait_ms};

	return device_file_open(&opt, dev, why);
}

static void test_transfer(void **state)
{
	struct device *dev;
	_cleanup_buffer_ u8 *a = buffer_get(8192), *b = buffer_get(8192);
	struct iovec iov[2] = {{a, 4096}, {a + 4096, 4096}};

	assert_int_equal(open_image(false, 0, &dev, NULL), 0);
	assert_int_equal(device_size(dev), MIB(1));
	memset(a, 0x5a, 8192);
	assert_int_equal(device_writev(dev, iov, 2, 65536), 0);
	assert_int_equal(device_flush(dev), 0);
	assert_int_equal(device_read(dev, b, 8192, 65536), 0);
	assert_memory_equal(a, b, 8192);
	assert_int_equal(device_read(dev, b, 8192, MIB(1) - 4096), -EIO); /* past the end */
	device_close(dev);
}

static void test_claims(void **state)
{
	struct device *a, *b;
	struct reason why = {0};

	assert_int_equal(open_image(false, 0, &a, NULL), 0);
	assert_int_equal(open_image(false, 0, &b, &why), -EBUSY);
	assert_non_null(strstr(why.text, "in use"));
	assert_int_equal(open_image(true, 0, &b, &why), -EBUSY);
	device_close(a);
	assert_int_equal(open_image(true, 0, &a, NULL), 0);
	assert_int_equal(open_image(true, 0, &b, NULL), 0);
	device_close(b);
	assert_int_equal(open_image(false, 0, &b, NULL), -EBUSY);
	device_close(a);
}

static void test_claim_wait(void **state)
{
	struct device *a, *b;
	struct timespec from, to;
	s64 ms;

	assert_int_equal(open_image(false, 0, &a, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(open_image(false, 200, &b, NULL), -EBUSY);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	assert_true(ms >= 150 && ms < 5000);
	device_close(a);
	assert_int_equal(open_image(false, 200, &b, NULL), 0);
	device_close(b);
}

static void test_refusals(void **state)
{
	struct device_file_options dir = {.path = "/", .readonly = true};
	struct device_file_options none = {.path = "/nonexistent/x"};
	struct device *dev;
	struct reason why = {0};

	assert_true(device_file_open(&none, &dev, &why) == -ENOENT);
	assert_true(device_file_open(&dir, &dev, &why) < 0);
	assert_true(why.text[0]);
	dir.path = "/proc/version";
	assert_true(device_file_open(&dir, &dev, &why) == -EINVAL);
	assert_non_null(strstr(why.text, "O_DIRECT"));
}

static void test_readonly_refuses_writes(void **state)
{
	struct device *dev;
	_cleanup_buffer_ u8 *a = buffer_get(4096);

	assert_int_equal(open_image(true, 0, &dev, NULL), 0);
	assert_int_equal(device_write(dev, a, 4096, 0), -EROFS);
	device_close(dev);
}

/* ---- recorder ---- */

struct logged {
	u32 type;
	u64 id, off, len;
};

static unsigned read_log(struct logged *out, unsigned max, u8 *first_data)
{
	FILE *f = fopen(log_path, "r");
	u8 head[40], data[8192];
	unsigned n = 0;

	assert_non_null(f);
	while (n < max && fread(head, sizeof(head), 1, f) == 1) {
		assert_int_equal(get_le32(head), 0x43455242);
		out[n] = (struct logged){get_le32(head + 4), get_le64(head + 8),
					 get_le64(head + 16), get_le64(head + 24)};
		if (out[n].type == 1) {
			assert_true(out[n].len <= sizeof(data));
			assert_int_equal(fread(data, out[n].len, 1, f), 1);
			if (n == 0)
				memcpy(first_data, data, out[n].len);
		}
		n++;
	}
	fclose(f);
	return n;
}

static void test_recorder(void **state)
{
	static const u32 types[] = {1, 2, 3, 4, 5, 6, 8, 1, 7};
	struct device *memory, *dev;
	struct logged got[16];
	_cleanup_buffer_ u8 *a = buffer_get(8192), *b = buffer_get(8192);
	struct iovec iov[2] = {{a, 4096}, {a + 4096, 4096}};

	assert_int_equal(device_memory_new(MIB(1), &memory), 0);
	assert_int_equal(device_recorder_new(memory, log_path, &dev), 0);
	memset(a, 1, 4096);
	memset(a + 4096, 2, 4096);
	assert_int_equal(device_writev(dev, iov, 2, 12288), 0);
	assert_int_equal(device_flush(dev), 0);
	assert_int_equal(device_discard(dev, 4096, 4096), 0);
	device_recorder_mark(dev, 42);
	assert_int_equal(device_write(dev, a, 8192, MIB(1)), -EIO);
	assert_int_equal(device_read(dev, b, 8192, 12288), 0);
	assert_memory_equal(a, b, 8192);
	device_close(dev);
	assert_int_equal(read_log(got, 16, b), ARRAY_SIZE(types));
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
		assert_int_equal(got[i].type, types[i]);
	assert_memory_equal(a, b, 8192);
	assert_int_equal(got[0].id, got[1].id);
	assert_int_equal(got[0].off, 12288);
	assert_int_equal(got[0].len, 8192);
	assert_int_equal(got[6].off, 42);
	assert_int_equal(got[7].id, got[8].id);
}

static void test_recorder_path_refused(void **state)
{
	struct device *memory, *dev;

	assert_int_equal(device_memory_new(MIB(1), &memory), 0);
	assert_int_equal(device_recorder_new(memory, "/nonexistent/log", &dev), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_claim_wait),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_readonly_refuses_writes),
		cmocka_unit_test(test_recorder),
		cmocka_unit_test(test_recorder_path_refused),
	};

	return cmocka_run_group_tests(tests, make_file, drop_file);
}
