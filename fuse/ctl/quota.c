/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quota.c - btrfusectl quota: on, off, rescan. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"

#ifndef BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA /* linux/btrfs.h of 6.7 */
#define BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA 4
#endif

static int control(const char *path, __u64 command)
{
	struct btrfs_ioctl_quota_ctl_args args = {.cmd = command};
	int fd, err;

	fd = ctl_open_dir(path);
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
	static const struct option options[] = {{"simple", no_argument, NULL, 's'}, {0}};
	__u64 command = BTRFS_QUOTA_CTL_ENABLE;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "s", options, NULL)) != -1) {
		if (c == '?')
			return ctl_bad_option("quota enable", argv, optopt);
		command = BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA;
	}
	if (!ctl_one_argument("quota enable", argc, optind))
		return 1;
	return control(argv[optind], command);
}

static int disable_command(struct ctl *ctl, int argc, char **argv)
{
	if (!ctl_one_argument("quota disable", argc, 1))
		return 1;
	return control(argv[1], BTRFS_QUOTA_CTL_DISABLE);
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
	{"enable", enable_command, "btrfusectl quota enable [-s] <path>",
	 "Enable subvolume quota support for a filesystem.",
	 "    -s|--simple         simple quotas: an extent is accounted to the subvolume that made it\n"},
	{"disable", disable_command, "btrfusectl quota disable <path>",
	 "Disable subvolume quota support for a filesystem.", NULL},
	{"rescan", rescan_command, "btrfusectl quota rescan [-swW] <path>",
	 "Trash all qgroup numbers and scan the metadata again with the current config.",
	 "    -s|--status         show status of a running rescan operation\n"
	 "    -w|--wait           start rescan and wait for it to finish\n"
	 "    -W|--wait-norescan  wait for rescan to finish without starting it\n"},
	{0},
};
