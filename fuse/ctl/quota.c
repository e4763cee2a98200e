/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quota.c - btrfusectl quota: on, off, rescan. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"

static int control(int argc, char **argv, const char *name, __u64 command)
{
	struct btrfs_ioctl_quota_ctl_args args = {.cmd = command};
	int fd, err;

	if (!ctl_one_argument(name, argc, 1))
		return 1;
	fd = ctl_open_dir(argv[1]);
	if (fd < 0)
		return 1;
	err = ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args) < 0 ? errno : 0;
	close(fd);
	if (!err)
		return 0;
	ctl_error("quota command failed: %s", strerror(err));
	return 1;
}

static int enable_command(struct ctl *ctl, int argc, char **argv)
{
	return control(argc, argv, "quota enable", BTRFS_QUOTA_CTL_ENABLE);
}

static int disable_command(struct ctl *ctl, int argc, char **argv)
{
	return control(argc, argv, "quota disable", BTRFS_QUOTA_CTL_DISABLE);
}

static int print_status(int fd)
{
	struct btrfs_ioctl_quota_rescan_args args = {0};

	if (ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_STATUS, &args) < 0)
		return errno;
	if (args.flags)
		printf("rescan operation running (current key %lld)\n", (long long)args.progress);
	else
		printf("no rescan operation in progress\n");
	return 0;
}

static int start(const struct ctl *ctl, int fd, bool wait)
{
	struct btrfs_ioctl_quota_rescan_args args = {0};

	if (ioctl(fd, BTRFS_IOC_QUOTA_RESCAN, &args) < 0) {
		if (wait && errno == EINPROGRESS)
			return 0;
		return errno;
	}
	if (!ctl->quiet)
		printf("quota rescan started\n");
	fflush(stdout);
	return 0;
}

static int rescan(const struct ctl *ctl, int fd, char what)
{
	int err;

	if (what == 's')
		return print_status(fd);
	err = what == 'W' ? 0 : start(ctl, fd, what == 'w');
	if (!err && (what == 'w' || what == 'W') && ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT, NULL) < 0)
		err = errno;
	return err;
}

static int rescan_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {{"status", no_argument, NULL, 's'},
						{"wait", no_argument, NULL, 'w'},
						{"wait-norescan", no_argument, NULL, 'W'},
						{0}};
	int c, fd, err;
	char what = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "swW", options, NULL)) != -1) {
		if (c == '?')
			return ctl_bad_option("quota rescan", argv, optopt);
		what = (char)c;
	}
	if (!ctl_one_argument("quota rescan", argc, optind))
		return 1;
	fd = ctl_open_dir(argv[optind]);
	if (fd < 0)
		return 1;
	err = rescan(ctl, fd, what);
	close(fd);
	if (!err)
		return 0;
	ctl_error("quota rescan failed: %s", strerror(err));
	return 1;
}

const struct command quota_commands[] = {
	{"enable", enable_command, "btrfusectl quota enable <path>",
	 "Enable subvolume quota support for a filesystem.", NULL},
	{"disable", disable_command, "btrfusectl quota disable <path>",
	 "Disable subvolume quota support for a filesystem.", NULL},
	{"rescan", rescan_command, "btrfusectl quota rescan [-swW] <path>",
	 "Trash all qgroup numbers and scan the metadata again with the current config.",
	 "    -s|--status         show status of a running rescan operation\n"
	 "    -w|--wait           start rescan and wait for it to finish\n"
	 "    -W|--wait-norescan  wait for rescan to finish without starting it\n"},
	{0},
};
