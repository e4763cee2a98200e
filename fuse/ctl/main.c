/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - btrfusectl: finds the verb. As umount.fuse.btrfuse it is mount(8)'s umount helper. */
#include "fuse/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAGIC_BTRFS 0x9123683E
#define MAGIC_FUSE 0x65735546

void ctl_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("ERROR: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

int ctl_open_dir(const char *path)
{
	struct stat st;
	struct statfs fs;
	int fd;

	if (stat(path, &st)) {
		ctl_error("cannot access '%s': %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode)) {
		ctl_error("not a directory: %s", path);
		return -1;
	}
	if (statfs(path, &fs) ||
	    ((unsigned long)fs.f_type != MAGIC_BTRFS && (unsigned long)fs.f_type != MAGIC_FUSE)) {
		ctl_error("not a btrfs filesystem: %s", path);
		return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		ctl_error("cannot access '%s': %s", path, strerror(errno));
	return fd;
}

bool ctl_one_argument(const char *command, int argc, int optind_now)
{
	if (argc - optind_now == 1)
		return true;
	fprintf(stderr, "btrfusectl %s: exactly 1 argument expected, %d given\n", command,
		argc - optind_now);
	return false;
}

int ctl_bad_option(const char *command, char **argv, int optopt_now)
{
	extern int optind;

	if (optopt_now)
		fprintf(stderr, "btrfusectl %s: invalid option '%c'\n", command, optopt_now);
	else
		fprintf(stderr, "btrfusectl %s: unrecognized option '%s'\n", command,
			argv[optind - 1]);
	fprintf(stderr, "Try 'btrfusectl %s --help' for more information\n", command);
	return 1;
}

/* ---- verbs ---- */

static const struct command umount_command = {
	"umount", ctl_umount, "btrfusectl umount <path>",
	"Unmount, and wait until the image is complete", NULL};

static const struct command stats_command = {
	"stats", ctl_stats, "btrfusectl stats [-H] <path>",
	"Counters of the daemon and how long requests took",
	"    -H|--histogram  the histogram of each kind of request, too\n"};

static const struct command *const single_commands[] = {&stats_command, &umount_command};

#define SINGLE_COUNT (sizeof(single_commands) / sizeof(single_commands[0]))

static const struct group {
	const char *name;
	const struct command *commands;
	const char *usage, *what;
} groups[] = {
	{"balance", balance_commands,
	 "btrfusectl balance <command> [options] <path>\n   or: btrfusectl balance <path>",
	 "balance data across devices, or change block groups using filters"},
	{"device", device_commands, "btrfusectl device <command> [<args>]",
	 "devices of a filesystem"},
	{"filesystem", filesystem_commands, "btrfusectl filesystem <command> [<args>]",
	 "overall filesystem tasks and information"},
	{"qgroup", qgroup_commands, "btrfusectl qgroup <command> [options] <path>",
	 "quota groups"},
	{"quota", quota_commands, "btrfusectl quota <command> [options] <path>", "quotas on and off"},
};

#define GROUP_COUNT (sizeof(groups) / sizeof(groups[0]))

/* What was asked for goes to standard output, what was got wrong to standard error. */
static void print_commands(FILE *to, const struct command *c)
{
	for (; c->name; c++)
		fprintf(to, "    %s\n        %s\n", c->usage, c->what);
}

static int print_group(FILE *to, const struct group *g, int code)
{
	fprintf(to, "usage: %s\n\n", g->usage);
	print_commands(to, g->commands);
	fprintf(to, "\n%s\n", g->what);
	return code;
}

static int print_all(FILE *to, int code)
{
	fprintf(to, "usage: btrfusectl [-v|-q] <group> <command> [<args>]\n\n");
	for (unsigned i = 0; i < GROUP_COUNT; i++)
		print_commands(to, groups[i].commands);
	for (unsigned i = 0; i < SINGLE_COUNT; i++)
		fprintf(to, "    %s\n        %s\n", single_commands[i]->usage, single_commands[i]->what);
	return code;
}

static int print_command(const struct command *c)
{
	printf("usage: %s\n\n    %s\n", c->usage, c->what);
	if (c->help)
		printf("\n%s", c->help);
	return 0;
}

static int run_command(struct ctl *ctl, const struct command *c, int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--help"))
		return print_command(c);
	return c->run(ctl, argc, argv);
}

/* A command may be shortened as long as only one fits. @fitting: how many do. */
static const struct command *find_command(const struct command *list, const char *name,
					  unsigned *fitting)
{
	const struct command *found = NULL;
	size_t len = strlen(name);

	*fitting = 0;
	for (const struct command *c = list; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
		if (len && !strncmp(c->name, name, len)) {
			found = c;
			++*fitting;
		}
	}
	return *fitting == 1 ? found : NULL;
}

static int print_fitting(const struct group *g, const char *name)
{
	fprintf(stderr, "btrfusectl %s: ambiguous token '%s'\n\nDid you mean one of these ?\n",
		g->name, name);
	for (const struct command *c = g->commands; c->name; c++)
		if (!strncmp(c->name, name, strlen(name)))
			fprintf(stderr, "\t%s\n", c->name);
	return 1;
}

static int run_group(struct ctl *ctl, const struct group *g, int argc, char **argv)
{
	const struct command *c;
	unsigned fitting;

	if (argc < 2)
		return print_group(stdout, g, 1);
	if (!strcmp(argv[1], "--help"))
		return print_group(stdout, g, 0);
	c = find_command(g->commands, argv[1], &fitting);
	/* progs take `start` without a path for one; here as there it is the old short form */
	if (c)
		return run_command(ctl, c, argc - 1, argv + 1);
	if (g->commands == balance_commands && argc == 2)
		return ctl_balance_full(ctl, argv[1]);
	if (fitting)
		return print_fitting(g, argv[1]);
	fprintf(stderr, "btrfusectl %s: unknown token '%s'\n", g->name, argv[1]);
	return print_group(stderr, g, 1);
}

static int run_top(struct ctl *ctl, int argc, char **argv)
{
	size_t len = argc ? strlen(argv[0]) : 0;

	if (!argc)
		return print_all(stdout, 1);
	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "help"))
		return print_all(stdout, 0);
	if (!strcmp(argv[0], "--version") || !strcmp(argv[0], "version")) {
		puts("btrfusectl " BTRFUSE_VERSION);
		return 0;
	}
	for (unsigned i = 0; i < SINGLE_COUNT; i++)
		if (!strcmp(argv[0], single_commands[i]->name))
			return run_command(ctl, single_commands[i], argc, argv);
	for (unsigned i = 0; i < GROUP_COUNT; i++)
		if (!strncmp(groups[i].name, argv[0], len))
			return run_group(ctl, &groups[i], argc, argv);
	fprintf(stderr, "btrfusectl: unknown token '%s'\n", argv[0]);
	return print_all(stderr, 1);
}

int main(int argc, char **argv)
{
	struct ctl ctl = {0};
	const char *self = strrchr(argv[0], '/');
	int i = 1;

	if (!strncmp(self ? self + 1 : argv[0], "umount.", 7))
		return ctl_umount(&ctl, argc, argv);
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-q") || !strcmp(argv[i], "--quiet"))
			ctl.quiet = true;
		else if (!strcmp(argv[i], "--verbose"))
			ctl.verbose++;
		else if (argv[i][1] == 'v' && strspn(argv[i] + 1, "v") == strlen(argv[i]) - 1)
			ctl.verbose += (int)strlen(argv[i]) - 1;
		else
			break;
	}
	return run_top(&ctl, argc - i, argv + i);
}
