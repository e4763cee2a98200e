/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recording_disk.c - a folder with one file in it, "disk", which is an image that logs what is written
 * to it. A loop device over it gives the kernel's btrfs a disk whose every past state can be built
 * again: what a kernel leaves behind that is killed at any moment.
 *
 *   recording-disk IMAGE LOG MOUNTPOINT     stays in the foreground until it is unmounted
 *
 * The log has the format of disk/device/device.h. Requests are served one after the other, so the
 * order of the log is the order of the writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk/base/types.h"

#define DISK_INO 2
#define DISK_NAME "disk"
#define FOREVER 86400.0
#define RECORD_MAGIC 0x43455242u
#define READ_US 300 /* a disk that takes its time, so that commits fall into what reads much */
#define LOG_MAX GIB(1) /* a kernel that writes without end fills no disk of ours */

enum record_type { RECORD_WRITE = 1, RECORD_WRITE_DONE, RECORD_FLUSH, RECORD_FLUSH_DONE };

struct record {
	__le32 magic, type;
	__le64 id, off, len, time_ns;
} __attribute__((__packed__));

struct disk {
	int image, log;
	u64 size, next_id, logged;
};

static void append(int fd, const void *data, size_t len)
{
	if (write(fd, data, len) == (ssize_t)len)
		return;
	perror("recording-disk: log");
	exit(1); /* a hole in the record would make whoever reads it lie */
}

static void record(struct disk *d, enum record_type type, u64 id, u64 off, const void *data, u64 len)
{
	struct timespec now;
	struct record rec;

	clock_gettime(CLOCK_MONOTONIC, &now);
	put_le32(&rec.magic, RECORD_MAGIC);
	put_le32(&rec.type, type);
	put_le64(&rec.id, id);
	put_le64(&rec.off, off);
	put_le64(&rec.len, len);
	put_le64(&rec.time_ns, (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec);
	append(d->log, &rec, sizeof(rec));
	if (data)
		append(d->log, data, len);
}

static struct stat describe(const struct disk *d, fuse_ino_t ino)
{
	bool file = ino == DISK_INO;

	return (struct stat){
		.st_ino = ino,
		.st_mode = file ? S_IFREG | 0600 : S_IFDIR | 0700,
		.st_nlink = 1,
		.st_size = file ? (off_t)d->size : 0,
		.st_blksize = 4096,
	};
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = describe(fuse_req_userdata(req), ino);

	fuse_reply_attr(req, &st, FOREVER);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	op_getattr(req, ino, fi);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = DISK_INO, .attr_timeout = FOREVER,
				      .entry_timeout = FOREVER };

	if (strcmp(name, DISK_NAME) != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.attr = describe(fuse_req_userdata(req), DISK_INO);
	fuse_reply_entry(req, &e);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1; /* no reading ahead: see READ_US */
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct disk *d = fuse_req_userdata(req);
	char *buf = malloc(size);
	ssize_t n = buf ? pread(d->image, buf, size, off) : -1;

	usleep(READ_US);
	if (n < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct disk *d = fuse_req_userdata(req);
	u64 id = ++d->next_id;

	d->logged += size;
	if (d->logged > LOG_MAX) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	record(d, RECORD_WRITE, id, (u64)off, buf, size);
	if (pwrite(d->image, buf, size, off) != (ssize_t)size) {
		fuse_reply_err(req, EIO);
		return;
	}
	record(d, RECORD_WRITE_DONE, id, (u64)off, NULL, size);
	fuse_reply_write(req, size);
}

/* The image itself lies in the page cache: nobody cuts the power of this machine. */
static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct disk *d = fuse_req_userdata(req);
	u64 id = ++d->next_id;

	record(d, RECORD_FLUSH, id, 0, NULL, 0);
	record(d, RECORD_FLUSH_DONE, id, 0, NULL, 0);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.getattr = op_getattr,
	.setattr = op_setattr,
	.lookup = op_lookup,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
};

static int serve(struct disk *d, char *program, const char *mountpoint)
{
	char *argv[] = { program, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof(ops), d);
	int r;

	if (!se)
		return 1;
	r = fuse_session_mount(se, mountpoint);
	if (r == 0) {
		r = fuse_session_loop(se);
		fuse_session_unmount(se);
	}
	fuse_session_destroy(se);
	return r != 0;
}

int main(int argc, char **argv)
{
	struct disk d = {};
	struct stat st;

	if (argc != 4) {
		fprintf(stderr, "usage: recording-disk IMAGE LOG MOUNTPOINT\n");
		return 2;
	}
	d.image = open(argv[1], O_RDWR | O_CLOEXEC);
	d.log = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (d.image < 0 || d.log < 0 || fstat(d.image, &st) < 0) {
		perror("recording-disk");
		return 1;
	}
	d.size = (u64)st.st_size;
	return serve(&d, argv[0], argv[3]);
}
