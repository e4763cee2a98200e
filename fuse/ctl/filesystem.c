/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filesystem.c - btrfusectl filesystem sync. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"

static int sync_command(struct ctl *ctl, int argc, char **argv)
{
	int fd, err;

	if (argc > 1 && argv[1][0] == '-' && argv[1][1]) {
		fprintf(stderr, "btrfusectl filesystem sync: invalid option '%s'\n", argv[1]);
		return 1;
	}
	if (!ctl_one_argument("filesystem sync", argc, 1))
		return 1;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		ctl_error("Could not open: %s", strerror(errno));
		return 1;
	}
	err = ioctl(fd, BTRFS_IOC_SYNC) ? errno : 0;
	close(fd);
	if (!err)
		return 0;
	ctl_error("Could not sync filesystem: %s", strerror(err));
	return 1;
}

const struct command filesystem_commands[] = {
	{"sync", sync_command, "btrfusectl filesystem sync <path>", "Force a sync on a filesystem",
	 NULL},
	{0},
};
