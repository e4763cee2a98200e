/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * balance.c - btrfusectl balance start, status, pause, resume, cancel. The ioctl of `start` lasts as long as the
 * balance; its progress is asked for by a thread. The number for cancel goes by pointer: by value,
 * as btrfs-progs pass it, it does not get through FUSE.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse/ctl/ctl.h"

#define WARNING_SECONDS 10
#define PROGRESS_MS 1000
#define TYPE_FLAGS (BTRFS_BALANCE_DATA | BTRFS_BALANCE_METADATA | BTRFS_BALANCE_SYSTEM)

struct start {
	struct btrfs_ioctl_balance_args args;
	bool full, background, enqueue, force;
};

/* ---- progress ---- */

struct progress {
	int fd;
	int stop[2]; /* pipe; closed to end the thread */
	pthread_t thread;
	bool running;
};

static void *progress_main(void *arg)
{
	struct btrfs_ioctl_balance_args a;
	struct progress *p = arg;
	struct pollfd end = {.fd = p->stop[0], .events = POLLIN};

	while (!poll(&end, 1, PROGRESS_MS))
		if (!ioctl(p->fd, BTRFS_IOC_BALANCE_PROGRESS, &a))
			fprintf(stderr, "%llu out of about %llu chunks balanced (%llu considered)\n",
				(unsigned long long)a.stat.completed,
				(unsigned long long)a.stat.expected,
				(unsigned long long)a.stat.considered);
	return NULL;
}

static void progress_start(struct progress *p, const struct ctl *ctl, int fd)
{
	p->fd = fd;
	if (ctl->quiet || !(ctl->verbose || isatty(2)) || pipe2(p->stop, O_CLOEXEC))
		return;
	p->running = !pthread_create(&p->thread, NULL, progress_main, p);
}

static void progress_stop(struct progress *p)
{
	if (!p->running)
		return;
	close(p->stop[1]);
	pthread_join(p->thread, NULL);
	close(p->stop[0]);
}

/* ---- start ---- */

/* Waits for a balance that runs, or refuses. */
static bool exclusive(int fd, bool enqueue)
{
	struct btrfs_ioctl_balance_args a;

	while (!ioctl(fd, BTRFS_IOC_BALANCE_PROGRESS, &a)) {
		if (!enqueue) {
			ctl_error("unable to start balance, another exclusive operation "
				  "'balance' in progress");
			return false;
		}
		usleep(200000);
	}
	return true;
}

static int report(const struct ctl *ctl, const char *path, int err,
		  const struct btrfs_ioctl_balance_args *a)
{
	if (!err) {
		if (!ctl->quiet)
			printf("Done, had to relocate %llu out of %llu chunks\n",
			       (unsigned long long)a->stat.completed,
			       (unsigned long long)a->stat.considered);
		return 0;
	}
	if (err == ECANCELED) {
		if (a->state & BTRFS_BALANCE_STATE_PAUSE_REQ)
			fprintf(stderr, "balance paused by user\n");
		if (a->state & BTRFS_BALANCE_STATE_CANCEL_REQ)
			fprintf(stderr, "balance canceled by user\n");
		return 0;
	}
	ctl_error("error during balancing '%s': %s", path, strerror(err));
	if (err != EINPROGRESS && !ctl->quiet)
		fprintf(stderr, "There may be more info in syslog - try dmesg | tail\n");
	return 1;
}

/* False in the parent, which has nothing more to do. */
static bool detach_from_terminal(void)
{
	pid_t pid = fork();
	int null;

	if (pid < 0) {
		ctl_error("cannot fork to run balance in background");
		exit(1);
	}
	if (pid)
		return false;
	setsid();
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	return true;
}

static int do_balance(const struct ctl *ctl, const char *path, struct start *s)
{
	struct progress progress = {0};
	int err, fd = ctl_open_dir(path);

	if (fd < 0)
		return 1;
	if (!exclusive(fd, s->enqueue)) {
		close(fd);
		return 1;
	}
	if (s->background && !detach_from_terminal()) {
		close(fd);
		return 0;
	}
	progress_start(&progress, ctl, fd);
	err = ioctl(fd, BTRFS_IOC_BALANCE_V2, &s->args) ? errno : 0;
	progress_stop(&progress);
	close(fd);
	return report(ctl, path, err, &s->args);
}

/* A balance of everything is announced, so that it can be thought over. */
static void warn_full(void)
{
	printf("WARNING:\n\n"
	       "\tFull balance without filters requested. This operation is very\n"
	       "\tintense and takes potentially very long. It is recommended to\n"
	       "\tuse the balance filters to narrow down the scope of balance.\n"
	       "\tUse 'btrfusectl balance start --full-balance' option to skip this\n"
	       "\twarning. The operation will start in %d seconds.\n"
	       "\tUse Ctrl-C to stop it.\n",
	       WARNING_SECONDS);
	for (int left = WARNING_SECONDS; left; left--) {
		printf(left > 1 ? "%d " : "%d", left);
		fflush(stdout);
		sleep(1);
	}
	printf("\nStarting balance without any filters.\n");
	fflush(stdout);
}

static bool select_type(struct start *s, uint64_t flag, struct btrfs_balance_args *args,
			char *list)
{
	s->args.flags |= flag;
	return !list || balance_filter_parse(list, args);
}

static bool take_option(struct ctl *ctl, struct start *s, int c)
{
	switch (c) {
	case 'd':
		return select_type(s, BTRFS_BALANCE_DATA, &s->args.data, optarg);
	case 'm':
		return select_type(s, BTRFS_BALANCE_METADATA, &s->args.meta, optarg);
	case 's':
		return select_type(s, BTRFS_BALANCE_SYSTEM, &s->args.sys, optarg);
	case 'f':
		s->force = true;
		break;
	case 'v':
		ctl->verbose++;
		break;
	case 'F':
		s->full = true;
		break;
	case 'B':
		s->background = true;
		break;
	case 'E':
		s->enqueue = true;
		break;
	}
	return true;
}

/* System chunks go with metadata, and are never touched alone without force. */
static bool complete_types(struct start *s)
{
	__u64 *flags = &s->args.flags;

	if ((*flags & BTRFS_BALANCE_SYSTEM) && !s->force) {
		ctl_error("Refusing to explicitly operate on system chunks.\n"
			  "Pass --force if you really want to do that.");
		return false;
	}
	if (!(*flags & TYPE_FLAGS)) {
		*flags |= TYPE_FLAGS;
		if (!s->full)
			warn_full();
	} else if ((*flags & BTRFS_BALANCE_METADATA) && !(*flags & BTRFS_BALANCE_SYSTEM)) {
		*flags |= BTRFS_BALANCE_SYSTEM;
		s->args.sys = s->args.meta;
	}
	if (s->force)
		*flags |= BTRFS_BALANCE_FORCE;
	return true;
}

static int balance_start_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {{"data", optional_argument, NULL, 'd'},
					      {"metadata", optional_argument, NULL, 'm'},
					      {"system", optional_argument, NULL, 's'},
					      {"force", no_argument, NULL, 'f'},
					      {"verbose", no_argument, NULL, 'v'},
					      {"full-balance", no_argument, NULL, 'F'},
					      {"background", no_argument, NULL, 'B'},
					      {"bg", no_argument, NULL, 'B'},
					      {"enqueue", no_argument, NULL, 'E'},
					      {0}};
	struct start s = {0};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "d::s::m::fv", longs, NULL)) != -1) {
		if (c == '?')
			return ctl_bad_option("balance start", argv, optopt);
		if (!take_option(ctl, &s, c))
			return 1;
	}
	if (!ctl_one_argument("balance start", argc, optind) || !complete_types(&s))
		return 1;
	if (ctl->verbose && !ctl->quiet)
		balance_filter_dump(&s.args);
	fflush(stdout);
	return do_balance(ctl, argv[optind], &s);
}

int ctl_balance_full(struct ctl *ctl, const char *path)
{
	struct start s = {.args.flags = TYPE_FLAGS};

	return do_balance(ctl, path, &s);
}

/* ---- status, cancel ---- */

static void print_state(const char *path, const struct btrfs_ioctl_balance_args *a)
{
	const struct btrfs_balance_progress *p = &a->stat;

	if (a->state & BTRFS_BALANCE_STATE_RUNNING) {
		printf("Balance on '%s' is running", path);
		if (a->state & BTRFS_BALANCE_STATE_CANCEL_REQ)
			printf(", cancel requested\n");
		else if (a->state & BTRFS_BALANCE_STATE_PAUSE_REQ)
			printf(", pause requested\n");
		else
			printf("\n");
	} else {
		printf("Balance on '%s' is paused\n", path);
	}
	printf("%llu out of about %llu chunks balanced (%llu considered), %3.f%% left\n",
	       (unsigned long long)p->completed, (unsigned long long)p->expected,
	       (unsigned long long)p->considered,
	       100 * (1 - (double)p->completed / (double)p->expected));
}

static int balance_status_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {{"verbose", no_argument, NULL, 'v'}, {0}};
	struct btrfs_ioctl_balance_args a = {0};
	const char *path;
	int c, err, fd;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
		if (c == '?')
			return ctl_bad_option("balance status", argv, optopt);
		ctl->verbose++;
	}
	if (!ctl_one_argument("balance status", argc, optind))
		return 1;
	path = argv[optind];
	fd = ctl_open_dir(path);
	if (fd < 0)
		return 2;
	err = ioctl(fd, BTRFS_IOC_BALANCE_PROGRESS, &a) ? errno : 0;
	close(fd);
	if (err == ENOTCONN) {
		printf("No balance found on '%s'\n", path);
		return 0;
	}
	if (err) {
		ctl_error("balance status on '%s' failed: %s", path, strerror(err));
		return 2;
	}
	print_state(path, &a);
	if (ctl->verbose)
		balance_filter_dump(&a);
	return 1;
}

/* Pause and cancel: what the daemon is told, and what went wrong. */
static int control(const char *command, int what, int argc, char **argv)
{
	static const struct option longs[] = {{0}};
	char name[32];
	int err, fd;

	snprintf(name, sizeof(name), "balance %s", command);
	opterr = 0;
	if (getopt_long(argc, argv, "", longs, NULL) != -1)
		return ctl_bad_option(name, argv, optopt);
	if (!ctl_one_argument(name, argc, optind))
		return 1;
	fd = ctl_open_dir(argv[optind]);
	if (fd < 0)
		return 1;
	err = ioctl(fd, BTRFS_IOC_BALANCE_CTL, &what) ? errno : 0;
	close(fd);
	if (!err)
		return 0;
	ctl_error("%s on '%s' failed: %s", name, argv[optind],
		  err != ENOTCONN	  ? strerror(err)
		  : strcmp(command, "pause") ? "Not in progress"
					     : "Not running");
	return err == ENOTCONN ? 2 : 1;
}

static int balance_cancel_command(struct ctl *ctl, int argc, char **argv)
{
	return control("cancel", BTRFS_BALANCE_CTL_CANCEL, argc, argv);
}

static int balance_pause_command(struct ctl *ctl, int argc, char **argv)
{
	return control("pause", BTRFS_BALANCE_CTL_PAUSE, argc, argv);
}

static int report_resume(const struct ctl *ctl, const char *path, int err,
			 const struct btrfs_ioctl_balance_args *a)
{
	if (err == ENOTCONN || err == EINPROGRESS) {
		ctl_error("balance resume on '%s' failed: %s", path,
			  err == ENOTCONN ? "Not in progress" : "Already running");
		return err == ENOTCONN ? 2 : 1;
	}
	return report(ctl, path, err, a);
}

static int balance_resume_command(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {{0}};
	struct btrfs_ioctl_balance_args a = {.flags = BTRFS_BALANCE_RESUME};
	struct progress progress = {0};
	int err, fd;

	opterr = 0;
	if (getopt_long(argc, argv, "", longs, NULL) != -1)
		return ctl_bad_option("balance resume", argv, optopt);
	if (!ctl_one_argument("balance resume", argc, optind))
		return 1;
	fd = ctl_open_dir(argv[optind]);
	if (fd < 0)
		return 1;
	progress_start(&progress, ctl, fd);
	err = ioctl(fd, BTRFS_IOC_BALANCE_V2, &a) ? errno : 0;
	progress_stop(&progress);
	close(fd);
	return report_resume(ctl, argv[optind], err, &a);
}

const struct command balance_commands[] = {
	{"start", balance_start_command, "btrfusectl balance start [options] <path>",
	 "Balance chunks across the devices",
	 "    -d[filters]      act on data chunks\n"
	 "    -m[filters]      act on metadata chunks (and system chunks)\n"
	 "    -s[filters]      act on system chunks (only under -f)\n"
	 "    -f|--force       allow to act on system chunks\n"
	 "    --full-balance   do not print warning and do not delay start\n"
	 "    --background|--bg  run the balance as a background process\n"
	 "    --enqueue        wait if there's another balance running\n"
	 "    -v|--verbose     print the filters, and progress on standard error\n\n"
	 "    Filters, separated by commas, no space in between: usage=N, usage=MIN..MAX,\n"
	 "    devid=N, vrange=START..END, drange=START..END (with devid), limit=N,\n"
	 "    limit=MIN..MAX, stripes=MIN..MAX, profiles=P|P..., convert=P, soft\n"
	 "    (with convert); a profile P is single or dup\n"},
	{"pause", balance_pause_command, "btrfusectl balance pause <path>", "Pause running balance",
	 NULL},
	{"cancel", balance_cancel_command, "btrfusectl balance cancel <path>",
	 "Cancel running or paused balance", NULL},
	{"resume", balance_resume_command, "btrfusectl balance resume <path>",
	 "Resume interrupted balance", NULL},
	{"status", balance_status_command, "btrfusectl balance status [-v] <path>",
	 "Show status of running or paused balance", "    -v|--verbose     print the filters too\n"},
	{0},
};
