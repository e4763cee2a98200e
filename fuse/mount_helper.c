/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mount_helper.c - see mount_helper.h. */
#include "fuse/mount_helper.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fuse/options.h"
#include "fuse/remount.h"

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

/* Tells the daemon; @only_check: asks it whether it would. */
static int tell_daemon(const struct helper_args *args, bool only_check, struct reason *why)
{
	_cleanup_free_ struct remount_order *order = calloc(1, sizeof(*order));
	int err, fd = open(args->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!order || fd < 0) {
		err = order ? -errno : -ENOMEM;
		if (fd >= 0)
			close(fd);
		return err;
	}
	order->only_check = only_check;
	snprintf(order->text, sizeof(order->text), "%s", args->options);
	err = ioctl(fd, BTRFUSE_IOC_REMOUNT, order) ? -errno : 0;
	close(fd);
	if (err && order->text[0] && strcmp(order->text, args->options))
		reason_set(why, "cannot remount %s: %.200s", args->target, order->text);
	return err;
}

static int switch_kernel(const struct helper_args *args, unsigned long flags)
{
	return mount(NULL, args->target, NULL, MS_REMOUNT | flags, NULL) ? -errno : 0;
}

int mount_helper_remount(const struct helper_args *args, struct reason *why)
{
	unsigned long flags = options_mount_flags(args->options);
	bool readonly = flags & MS_RDONLY;
	int err = tell_daemon(args, readonly, why);

	if (!err)
		err = switch_kernel(args, flags);
	if (!err && readonly)
		err = tell_daemon(args, false, why);
	if (err && !why->text[0])
		reason_set(why, "cannot remount %s: %s", args->target, strerror(-err));
	return err;
}
