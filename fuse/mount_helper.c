/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mount_helper.c - see mount_helper.h. */
#include "fuse/mount_helper.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool mount_helper_called(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');

	return strncmp(slash ? slash + 1 : argv0, "mount.", 6) == 0;
}

bool mount_helper_parse(int argc, char **argv, struct helper_args *ret)
{
	int c;

	*ret = (struct helper_args){.options = ""};
	while ((c = getopt(argc, argv, "sfnvN:t:o:")) != -1) {
		if (c == '?')
			return false;
		if (c == 'o')
			ret->options = optarg;
		ret->fake |= c == 'f';
	}
	if (argc - optind != 2)
		return false;
	ret->source = argv[optind];
	ret->target = argv[optind + 1];
	return true;
}

bool mount_helper_is_remount(const char *options)
{
	static const char word[] = "remount";
	const size_t len = sizeof(word) - 1;

	for (const char *at = options; (at = strstr(at, word)); at += len)
		if ((at == options || at[-1] == ',') && (at[len] == ',' || at[len] == 0))
			return true;
	return false;
}

static int sync_mount(const char *target)
{
	int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = syncfs(fd) ? -errno : 0;
	close(fd);
	return err;
}

int mount_helper_remount(const struct helper_args *args, unsigned long flags, struct reason *why)
{
	int err = flags & MS_RDONLY ? sync_mount(args->target) : 0;

	if (!err && mount(NULL, args->target, NULL, MS_REMOUNT | flags, NULL))
		err = -errno;
	if (err)
		reason_set(why, "cannot remount %s: %s", args->target, strerror(-err));
	return err;
}
