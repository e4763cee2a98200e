/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filesystem.c - btrfusectl filesystem and device: what their verbs are; sync. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"
#include "fuse/ctl/usage.h"

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

#define UNITS_HELP                                                                                 \
	"    -b|--raw  -h|--human-readable  -H  --iec  --si  -k|--kbytes  -m|--mbytes\n"           \
	"    -g|--gbytes  -t|--tbytes\n"

const struct command device_commands[] = {
	{"usage", usage_device, "btrfusectl device usage [options] <path>",
	 "Show detailed information about internal allocations in devices.", UNITS_HELP},
	{0},
};

const struct command filesystem_commands[] = {
	{"df", usage_df, "btrfusectl filesystem df [options] <path>",
	 "Show space usage information for a mount point", UNITS_HELP},
	{"show", usage_show, "btrfusectl filesystem show [options] <path>",
	 "Show the structure of a filesystem", UNITS_HELP},
	{"usage", usage_filesystem, "btrfusectl filesystem usage [options] <path>",
	 "Show detailed information about internal filesystem usage.", UNITS_HELP},
	{"sync", sync_command, "btrfusectl filesystem sync <path>", "Force a sync on a filesystem",
	 NULL},
	{0},
};
