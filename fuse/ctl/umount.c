/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * umount.c - btrfusectl umount: returns when the image is complete, also where the kernel's own
 * umount does not wait (plain FUSE). It asks the daemon for a report, unmounts, reads the report,
 * and waits until the source is free. Works for the user who mounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"
#include "fuse/mount_table.h"
#include "fuse/report.h"

#define WAIT_MS 10

/* The read end of a pipe that the daemon will write to, or -1: it cannot reach us. */
static int ask_for_report(const char *target)
{
	int ends[2], ok, fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC)) {
		close(fd);
		return -1;
	}
	ok = !ioctl(fd, BTRFUSE_IOC_REPORT, &ends[1]);
	close(fd);
	close(ends[1]);
	if (ok)
		return ends[0];
	close(ends[0]);
	return -1;
}

static int run_helper(const char *target)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execlp("fusermount3", "fusermount3", "-u", "--", target, (char *)NULL);
		fprintf(stderr, "fusermount3: %s\n", strerror(errno));
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int unmount(const char *target)
{
	if (!umount2(target, UMOUNT_NOFOLLOW))
		return 0;
	if (errno == EPERM)
		return run_helper(target);
	ctl_error("cannot unmount %s: %s", target, strerror(errno));
	return 1;
}

static ssize_t read_word(int fd, unsigned char *word)
{
	ssize_t n;

	do
		n = read(fd, word, 1);
	while (n < 0 && errno == EINTR);
	return n;
}

/* 0, or the errno of the daemon's last commit. Returns when the daemon has ended. */
static int read_report(int fd)
{
	unsigned char word, more;
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read_word(fd, &word);
	while (n == 1 && read_word(fd, &more) == 1)
		;
	close(fd);
	return n == 1 ? word : EIO;
}

/* As long as the daemon writes, it holds an image locked and a device exclusively. */
static bool source_busy(const char *source)
{
	struct flock fl = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct stat st;
	bool busy = false;
	int fd;

	if (stat(source, &st))
		return false;
	fd = open(source, O_RDONLY | O_CLOEXEC | (S_ISBLK(st.st_mode) ? O_EXCL : 0));
	if (fd < 0)
		return errno == EBUSY;
	if (S_ISREG(st.st_mode))
		busy = !fcntl(fd, F_OFD_GETLK, &fl) && fl.l_type != F_UNLCK;
	close(fd);
	return busy;
}

static int unmount_and_wait(const char *target, const struct mount_entry *e)
{
	int report = ask_for_report(target);
	bool deaf = report < 0;
	int err = unmount(target);

	if (err) {
		if (report >= 0)
			close(report);
		return 1;
	}
	err = read_report(report);
	/* A daemon that did not hear us may still write. umount(2) of a fuseblk mount has waited
	 * itself, and a loop device's name may be somebody else's by now. */
	while (deaf && !mount_entry_is_fuseblk(e) && source_busy(e->source))
		usleep(WAIT_MS * 1000);
	if (!err)
		return 0;
	ctl_error("%s: the last commit failed: %s", e->source, strerror(err));
	return 1;
}

int ctl_umount(struct ctl *ctl, int argc, char **argv)
{
	struct mount_entry *e;
	char *target;
	int code;

	if (argc < 2 || argv[1][0] == '-') { /* umount(8) adds options behind the path */
		fprintf(stderr, "btrfusectl umount: exactly 1 argument expected\n");
		return 1;
	}
	e = malloc(sizeof(*e));
	target = realpath(argv[1], NULL);
	if (!target && errno == ENOTCONN)
		target = strdup(argv[1]); /* a daemon that died; give its full path */
	if (!target || !e) {
		ctl_error("cannot access '%s': %s", argv[1], strerror(errno));
		code = 1;
	} else if (mount_table_find(target, e) || !mount_entry_is_btrfuse(e)) {
		ctl_error("%s: not a btrfuse mount", argv[1]);
		code = 1;
	} else {
		code = unmount_and_wait(target, e);
	}
	free(target);
	free(e);
	return code;
}
