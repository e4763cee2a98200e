/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup.c - btrfusectl qgroup: groups, members and limits. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"
#include "fuse/ctl/qgroup_show.h"

#define LEVEL_SHIFT 48

/* "LEVEL/NUMBER" or "NUMBER". */
static bool parse_id(const char *text, __u64 *ret)
{
	char *end;
	unsigned long long level = 0, number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (end != text && *end == '/') {
		const char *rest = end + 1;

		level = number;
		number = strtoull(rest, &end, 10);
		if (end == rest)
			end = (char *)(uintptr_t)text;
	}
	if (!errno && isdigit((unsigned char)*text) && !*end && level < 1u << 16 &&
	    number < 1ull << LEVEL_SHIFT) {
		*ret = level << LEVEL_SHIFT | number;
		return true;
	}
	ctl_error("invalid qgroupid or subvolume path: %s", text);
	return false;
}

static bool arguments(const char *command, int have, int wanted)
{
	if (have == wanted)
		return true;
	fprintf(stderr, "btrfusectl %s: exactly %d arguments expected, %d given\n", command, wanted,
		have);
	return false;
}

/* The ioctl's answer, or a negative errno. */
static int ask(const char *path, unsigned long request, void *args)
{
	int r, fd = ctl_open_dir(path);

	if (fd < 0)
		return -EBADF;
	r = ioctl(fd, request, args);
	r = r < 0 ? -errno : r;
	close(fd);
	return r;
}

static int failed(const char *what, int r)
{
	if (r == -EBADF) /* said already */
		return 1;
	ctl_error("%s: %s", what, strerror(-r));
	return 1;
}

static int create_or_destroy(int argc, char **argv, bool create)
{
	struct btrfs_ioctl_qgroup_create_args args = {.create = create};
	int r;

	if (!arguments(create ? "qgroup create" : "qgroup destroy", argc - 1, 2) ||
	    !parse_id(argv[1], &args.qgroupid))
		return 1;
	r = ask(argv[2], BTRFS_IOC_QGROUP_CREATE, &args);
	if (r >= 0)
		return 0;
	return failed(create ? "unable to create quota group" : "unable to destroy quota group", r);
}

static int create_command(struct ctl *ctl, int argc, char **argv)
{
	return create_or_destroy(argc, argv, true);
}

static int destroy_command(struct ctl *ctl, int argc, char **argv)
{
	return create_or_destroy(argc, argv, false);
}

static int begin_rescan(const char *path)
{
	struct btrfs_ioctl_quota_rescan_args args = {0};
	int r = ask(path, BTRFS_IOC_QUOTA_RESCAN, &args);

	if (r < 0)
		return failed("quota rescan failed", r);
	printf("Quota data changed, rescan scheduled\n");
	return 0;
}

static int relate(int argc, char **argv, bool assign)
{
	static const struct option options[] = {{"rescan", no_argument, NULL, 1},
						{"no-rescan", no_argument, NULL, 2},
						{0}};
	const char *name = assign ? "qgroup assign" : "qgroup remove";
	struct btrfs_ioctl_qgroup_assign_args args = {.assign = assign};
	bool rescan = true;
	int c, r;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return ctl_bad_option(name, argv, optopt);
		rescan = c == 1;
	}
	if (!arguments(name, argc - optind, 3) || !parse_id(argv[optind], &args.src) ||
	    !parse_id(argv[optind + 1], &args.dst))
		return 1;
	r = ask(argv[optind + 2], BTRFS_IOC_QGROUP_ASSIGN, &args);
	if (r < 0)
		return failed(assign ? "unable to assign quota group" :
				       "unable to remove quota group", r);
	if (r > 0 && rescan)
		return begin_rescan(argv[optind + 2]);
	if (r > 0)
		printf("WARNING: quotas may be inconsistent, rescan needed\n");
	return 0;
}

static int assign_command(struct ctl *ctl, int argc, char **argv)
{
	return relate(argc, argv, true);
}

static int remove_command(struct ctl *ctl, int argc, char **argv)
{
	return relate(argc, argv, false);
}

/* A number with a suffix of bytes, or "none". */
static bool parse_limit(const char *text, __u64 *ret)
{
	static const char suffixes[] = "kmgtpe";
	const char *suffix;
	char *end;

	*ret = ~0ull;
	if (!strcasecmp(text, "none"))
		return true;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, tolower((unsigned char)*end)) : NULL;
	if (suffix) {
		unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);

		if (*ret > ~0ull >> shift)
			errno = ERANGE;
		*ret <<= shift;
		end++;
	}
	if (!errno && isdigit((unsigned char)*text) && !*end)
		return true;
	ctl_error("invalid size argument: %s", text);
	return false;
}

static int limit_command(struct ctl *ctl, int argc, char **argv)
{
	struct btrfs_ioctl_qgroup_limit_args args = {0};
	bool exclusive = false;
	__u64 most;
	int c, r;

	opterr = 0;
	while ((c = getopt(argc, argv, "ce")) != -1) {
		if (c == '?')
			return ctl_bad_option("qgroup limit", argv, optopt);
		exclusive |= c == 'e';
	}
	if (argc - optind != 2 && !arguments("qgroup limit", argc - optind, 3))
		return 1;
	if (!parse_limit(argv[optind], &most) ||
	    (argc - optind == 3 && !parse_id(argv[optind + 1], &args.qgroupid)))
		return 1;
	args.lim.flags = exclusive ? BTRFS_QGROUP_LIMIT_MAX_EXCL : BTRFS_QGROUP_LIMIT_MAX_RFER;
	args.lim.max_rfer = exclusive ? 0 : most;
	args.lim.max_excl = exclusive ? most : 0;
	r = ask(argv[argc - 1], BTRFS_IOC_QGROUP_LIMIT, &args);
	return r < 0 ? failed("unable to limit requested quota group", r) : 0;
}

#define RESCAN_HELP                                                                                \
	"    --rescan     schedule quota rescan if needed\n"                                       \
	"    --no-rescan  don't schedule quota rescan\n"

const struct command qgroup_commands[] = {
	{"assign", assign_command, "btrfusectl qgroup assign [options] <src> <dst> <path>",
	 "Assign SRC as the child qgroup of DST", RESCAN_HELP},
	{"remove", remove_command, "btrfusectl qgroup remove [options] <src> <dst> <path>",
	 "Remove the relation between SRC and DST", RESCAN_HELP},
	{"create", create_command, "btrfusectl qgroup create <qgroupid> <path>",
	 "Create a subvolume quota group.", NULL},
	{"destroy", destroy_command, "btrfusectl qgroup destroy <qgroupid> <path>",
	 "Destroy a quota group.", NULL},
	{"show", qgroup_show, "btrfusectl qgroup show [options] <path>",
	 "List subvolume quota groups.",
	 "    -p           print parent qgroup id\n"
	 "    -c           print child qgroup id\n"
	 "    -r           print limit of referenced size of qgroup\n"
	 "    -e           print limit of exclusive size of qgroup\n"
	 "    -f           list the qgroup of the given path only\n"
	 "    --raw ...    units as for filesystem df\n"},
	{"limit", limit_command, "btrfusectl qgroup limit [options] <size>|none [<qgroupid>] <path>",
	 "Set the limits a subvolume quota group.",
	 "    -c           limit the amount of data after compression: always so\n"
	 "    -e           limit space exclusively assigned to this qgroup\n"},
	{0},
};
