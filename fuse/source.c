/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source.c - see source.h. Runs in one thread, before the daemon has others. The loop device is
 * LO_FLAGS_AUTOCLEAR: it is gone when its last user is, whether we end in order or are killed.
 */
#include "fuse/source.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk/format/check.h"
#include "disk/format/ondisk.h"
#include "fuse/mount_table.h"

#define CLAIM_LOOP_BYTES KIB(4)
#define POLL_MS 20

static void sleep_ms(int ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* ---- who else has it ---- */

/* Would the OFD lock that core is going to take be refused now? */
static bool image_locked(int fd, const struct source_wish *w)
{
	struct flock fl = {.l_type = w->readonly ? F_RDLCK : F_WRLCK,
			   .l_whence = SEEK_SET,
			   .l_start = (off_t)w->offset_bytes,
			   .l_len = w->offset_bytes ? 1 : 0};

	return !fcntl(fd, F_OFD_GETLK, &fl) && fl.l_type != F_UNLCK;
}

static int wait_for_image(int fd, const struct source_wish *w, struct reason *why)
{
	for (int waited = 0; image_locked(fd, w); waited += POLL_MS) {
		if (waited >= w->wait_ms) {
			reason_set(why, "in use by another btrfuse");
			return -EBUSY;
		}
		sleep_ms(POLL_MS);
	}
	return 0;
}

static int device_claimable(const char *path, bool readonly)
{
	int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_EXCL | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int wait_for_device(const char *path, const struct source_wish *w, struct reason *why)
{
	int err, waited = 0;

	while ((err = device_claimable(path, w->readonly)) == -EBUSY && waited < w->wait_ms) {
		sleep_ms(POLL_MS);
		waited += POLL_MS;
	}
	if (err)
		reason_set(why, "%s", err == -EBUSY ? "device is in use" : strerror(-err));
	return err;
}

struct loop_use {
	const char *device;
	bool mounted;
};

static int loop_use_visit(void *ctx, const struct mount_entry *e)
{
	struct loop_use *u = ctx;

	u->mounted = !strcmp(e->source, u->device);
	return u->mounted;
}

/* One that claims a file system, perhaps of a killed daemon. */
static bool is_our_kind(const struct loop_info64 *info)
{
	return info->lo_sizelimit == CLAIM_LOOP_BYTES;
}

static bool shows_our_bytes(const struct source *src, const struct loop_info64 *info)
{
	u64 end = info->lo_sizelimit ? info->lo_offset + info->lo_sizelimit : UINT64_MAX;

	return info->lo_offset < src->end_bytes && end > src->offset_bytes;
}

static bool concerns_us(const struct source *src, const char *device)
{
	struct loop_info64 info = {0};
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	bool known = fd >= 0 && !ioctl(fd, LOOP_GET_STATUS64, &info);

	if (fd >= 0)
		close(fd);
	return !known || (!is_our_kind(&info) && shows_our_bytes(src, &info));
}

/* Looking at it may have been its last use, and has cleared it then: it is anybody's now, and nobody's to
 * hold. One that is bound stays so for as long as it is open. */
static bool still_bound(int fd)
{
	struct loop_info64 info;

	return !ioctl(fd, LOOP_GET_STATUS64, &info);
}

/* A loop device over the image: hold it if it is over our part of it. */
static int hold_loop(struct source *src, const char *device, struct reason *why)
{
	struct loop_use use = {.device = device};
	int *grown;
	int fd, err;

	if (!concerns_us(src, device))
		return 0;
	fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0) {
		err = errno;
		mount_table_each(loop_use_visit, &use);
		if (err != EBUSY && !use.mounted)
			return 0; /* not ours to open, but nobody uses it */
		reason_set(why, "in use through %s", device);
		return -EBUSY;
	}
	if (!still_bound(fd)) {
		close(fd);
		return 0;
	}
	grown = realloc(src->held, (src->held_count + 1) * sizeof(int));
	if (!grown) {
		close(fd);
		return -ENOMEM;
	}
	src->held = grown;
	src->held[src->held_count++] = fd;
	return 0;
}

static bool reads_as(const char *sys_file, const char *path)
{
	char text[PATH_MAX + 1] = "";
	int fd = open(sys_file, O_RDONLY | O_CLOEXEC);
	struct stat a, b;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, PATH_MAX);
	close(fd);
	if (n <= 0)
		return false;
	text[strcspn(text, "\n")] = 0;
	return !strcmp(text, path) || (!stat(text, &a) && !stat(path, &b) &&
				       a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

static int hold_other_loops(struct source *src, struct reason *why)
{
	glob_t g = {0};
	char device[64];
	int err = 0;

	if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &g))
		return 0;
	for (size_t i = 0; !err && i < g.gl_pathc; i++) {
		if (!reads_as(g.gl_pathv[i], src->path))
			continue;
		snprintf(device, sizeof(device), "/dev/%.*s",
			 (int)strcspn(g.gl_pathv[i] + 11, "/"), g.gl_pathv[i] + 11);
		err = hold_loop(src, device, why);
		/* A kernel umount lets go of its loop device a moment later. */
		for (int tries = 0; err == -EBUSY && tries < 25; tries++) {
			sleep_ms(POLL_MS);
			if (reads_as(g.gl_pathv[i], src->path))
				err = hold_loop(src, device, why);
			else
				err = 0;
		}
	}
	globfree(&g);
	return err;
}

/* ---- the source ---- */

/* Where the file system in a partition of the image ends: what is behind it may be another's. Without an
 * offset the whole file is ours. */
static u64 end_of_partition(int fd, u64 offset)
{
	struct btrfs_super_block sb;
	off_t at = (off_t)(offset + SUPER_OFFSET);
	u64 bytes;

	if (!offset || pread(fd, &sb, sizeof(sb), at) != sizeof(sb) ||
	    check_super(&sb, SUPER_OFFSET, NULL))
		return UINT64_MAX;
	bytes = get_le64(&sb.dev_item.total_bytes);
	return offset + MIN(bytes, UINT64_MAX - offset);
}

static int open_image(struct source *src, const struct source_wish *w, struct reason *why)
{
	int err, fd = open(src->path, (src->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	if (fd < 0) {
		err = -errno;
		reason_set(why, "%s", strerror(-err));
		return err;
	}
	err = wait_for_image(fd, w, why);
	src->end_bytes = end_of_partition(fd, w->offset_bytes);
	close(fd);
	return err ? err : hold_other_loops(src, why);
}

int source_open(const struct source_wish *w, struct source *ret, struct reason *why)
{
	struct source src = {.loop_fd = -1,
			     .readonly = w->readonly,
			     .offset_bytes = w->offset_bytes,
			     .path = realpath(w->path, NULL)};
	struct stat st = {0};
	int err = 0;

	if (!src.path || stat(src.path, &st)) {
		err = -errno;
		reason_set(why, "%s", strerror(-err));
	} else if (S_ISBLK(st.st_mode)) {
		src.is_block = true;
		err = wait_for_device(src.path, w, why);
	} else if (S_ISREG(st.st_mode)) {
		err = open_image(&src, w, why);
	} else {
		err = -EINVAL;
		reason_set(why, "neither a file nor a block device");
	}
	if (err)
		source_close(&src);
	else
		*ret = src;
	return err;
}

static int loop_configure(const struct source *src, const char *device, int image, bool readonly)
{
	struct loop_config c = {.fd = (u32)image, .block_size = 0};
	int fd = open(device, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	c.info.lo_offset = src->offset_bytes;
	c.info.lo_sizelimit = CLAIM_LOOP_BYTES;
	c.info.lo_flags = LO_FLAGS_AUTOCLEAR | (readonly ? LO_FLAGS_READ_ONLY : 0);
	snprintf((char *)c.info.lo_file_name, sizeof(c.info.lo_file_name), "%s", src->path);
	if (ioctl(fd, LOOP_CONFIGURE, &c)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static void attach_loop(struct source *src, int control, int image, bool readonly)
{
	char device[32];
	int fd = -EBUSY;

	/* Somebody else may take the free device between the two calls. */
	for (int tries = 0; fd == -EBUSY && tries < 20; tries++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0)
			return;
		snprintf(device, sizeof(device), "/dev/loop%d", n);
		fd = loop_configure(src, device, image, readonly);
	}
	if (fd < 0)
		return;
	src->loop_fd = fd;
	src->device = strdup(device);
}

void source_prepare_fuseblk(struct source *src)
{
	bool readonly = false;
	int control, image;

	if (geteuid() != 0)
		return;
	if (src->is_block) {
		src->device = strdup(src->path);
		return;
	}
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	/* nobody writes to it, but over a read-only device there is no remount for writing */
	image = open(src->path, O_RDWR | O_CLOEXEC);
	if (image < 0 && src->readonly) {
		image = open(src->path, O_RDONLY | O_CLOEXEC);
		readonly = true;
	}
	if (control >= 0 && image >= 0)
		attach_loop(src, control, image, readonly);
	if (control >= 0)
		close(control);
	if (image >= 0)
		close(image);
}

void source_mounted(struct source *src)
{
	if (src->loop_fd >= 0)
		close(src->loop_fd);
	src->loop_fd = -1;
}

void source_close(struct source *src)
{
	source_mounted(src);
	for (unsigned i = 0; i < src->held_count; i++)
		close(src->held[i]);
	free(src->held);
	free(src->path);
	free(src->device);
	*src = (struct source){.loop_fd = -1};
}
