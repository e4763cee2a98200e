/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl.h - btrfusectl: what its verbs share. Verbs, options, standard output and exit codes are
 * those of btrfs-progs 6.2; it speaks to the daemon over the same ioctls as stock btrfs does to
 * the kernel.
 */
#ifndef FUSE_CTL_CTL_H
#define FUSE_CTL_CTL_H

#include <linux/btrfs.h>
#include <stdbool.h>
#include <stdint.h>

/* -v and -q, before the verb or (verbose) behind it. */
struct ctl {
	int verbose;
	bool quiet;
};

struct command {
	const char *name;
	int (*run)(struct ctl *ctl, int argc, char **argv); /* the exit code */
	const char *usage; /* "btrfusectl ... <path>" */
	const char *what;
	const char *help; /* options, or NULL */
};

/* "ERROR: ..." on standard error. */
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Opens the directory @path of a btrfuse (or btrfs) mount. Negative after printing why. */
int ctl_open_dir(const char *path);

/* Exactly one argument left? False after printing how many there are. */
bool ctl_one_argument(const char *command, int argc, int optind_now);

/* Prints what getopt did not understand; the exit code. */
int ctl_bad_option(const char *command, char **argv, int optopt_now);

extern const struct command balance_commands[], filesystem_commands[], device_commands[],
	qgroup_commands[], quota_commands[];
int ctl_balance_full(struct ctl *ctl, const char *path);
int ctl_stats(struct ctl *ctl, int argc, char **argv);
int ctl_umount(struct ctl *ctl, int argc, char **argv);

/* balance_filter.c: parses the list behind -d, -m or -s into @args; false after printing why. */
bool balance_filter_parse(char *list, struct btrfs_balance_args *args);
/* The lines of `balance start -v` and `balance status -v`. */
void balance_filter_dump(const struct btrfs_ioctl_balance_args *args);

#endif
