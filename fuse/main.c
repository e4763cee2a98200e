/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c - btrfuse: command line, background, the order of a mount and of its end.
 *
 * A mount first claims the source and takes its place in the tree, then opens the file system, so
 * that nothing is written by somebody who could not have it; requests wait until then. Failure
 * anywhere prints one line and leaves nothing behind. The process that was started returns when
 * the mount is usable; its child goes on as the daemon.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "fuse/device_list.h"
#include "fuse/edge.h"
#include "fuse/mount_helper.h"
#include "fuse/mount_point.h"
#include "fuse/mount_table.h"
#include "fuse/options.h"
#include "fuse/session.h"
#include "fuse/source.h"
#include "fuse/stats.h"
#include "relocation/balance.h"

#define CLAIM_WAIT_MS 2000
#define EXIT_USAGE 2

struct mount {
	struct options opt;
	bool foreground;
	const char *source_arg;
	const char *target_arg;
	char *target;
	struct device_list devices;
	struct source source;
	struct source *others; /* the file system's other devices */
	unsigned other_count;
	int fd; /* /dev/fuse until the session owns it */
	bool attached;
	dev_t dev;
	struct edge edge;
	struct session *session;
	_Atomic bool ended;
};

static const char usage_text[] =
	"usage: btrfuse [-f] [-o OPTIONS] SOURCE MOUNTPOINT\n"
	"\n"
	"Mounts the btrfs image or block device SOURCE on the directory MOUNTPOINT. SOURCE may be\n"
	"UUID=... of a file system on block devices.\n"
	"\n"
	"  -f            stay in the foreground, messages to standard error\n"
	"  -o OPTIONS    ro, subvol=PATH, subvolid=ID, nodatacow, nodatasum, commit=SECONDS,\n"
	"                noatime, relatime, nodiratime, nologreplay, notreelog, nosuid, nodev, noexec,\n"
	"                allow_other, cache_size=N[K|M|G], threads=N; several devices:\n"
	"                device=PATH (repeated), scan=DIR (repeated), degraded\n"
	"  -h, --help    this text\n"
	"  -V, --version\n";

/* ---- command line ---- */

/* -1: go on; otherwise the exit status. */
static int parse_args(struct mount *m, int argc, char **argv, struct reason *why)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	int c, bad = 0;

	while ((c = getopt_long(argc, argv, "fo:hV", longs, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			fputs(c == 'h' ? usage_text : "btrfuse " BTRFUSE_VERSION "\n", stdout);
			return 0;
		}
		if (c == '?')
			return EXIT_USAGE;
		if (c == 'f')
			m->foreground = true;
		else if (!bad)
			bad = options_parse(&m->opt, optarg, why);
	}
	if (argc - optind != 2) {
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
	m->source_arg = argv[optind];
	m->target_arg = argv[optind + 1];
	return bad ? 1 : -1;
}

/* The same as mount(8) passes it. -1: go on. */
static int parse_helper_args(struct mount *m, int argc, char **argv, struct reason *why)
{
	struct helper_args args;
	int bad;

	if (!mount_helper_parse(argc, argv, &args)) {
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
	m->source_arg = args.source;
	m->target_arg = args.target;
	if (!args.fake && mount_helper_is_remount(args.options))
		return mount_helper_remount(&args, why) ? 1 : 0;
	bad = options_parse(&m->opt, args.options, why);
	return bad ? 1 : args.fake ? 0 : -1;
}

static int fail(const struct mount *m, const struct reason *why, int err)
{
	fprintf(stderr, "btrfuse: %s: %s\n", m->source_arg,
		why->text[0] ? why->text : strerror(-err));
	return 1;
}

/* ---- background ---- */

/* In the parent: waits for the child's word and exits. In the child: the pipe to say it in. */
static int go_background(void)
{
	int word[2], status;
	char ok;
	pid_t pid;

	if (pipe2(word, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		close(word[1]);
		if (read(word[0], &ok, 1) == 1)
			_exit(0);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
	}
	close(word[0]);
	setsid();
	return word[1];
}

static void tell_parent(int word)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (word < 0)
		return;
	if (chdir("/"))
		errno = 0;
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (write(word, "k", 1) != 1)
		log_info("nobody waits for the mount");
	close(word);
}

/* Messages of a mount that fails would stand beside the one line that says why. */
static int hold_stderr(void)
{
	int saved = fcntl(2, F_DUPFD_CLOEXEC, 10);
	int held = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (held >= 0) {
		dup2(held, 2);
		close(held);
	}
	return saved;
}

static void release_stderr(int saved, bool show)
{
	char buf[4096];
	int held = fcntl(2, F_DUPFD_CLOEXEC, 10);
	ssize_t n;

	dup2(saved, 2);
	close(saved);
	lseek(held, 0, SEEK_SET);
	while (show && held >= 0 && (n = read(held, buf, sizeof(buf))) > 0)
		if (write(2, buf, (size_t)n) < 0)
			break;
	if (held >= 0)
		close(held);
}

/* ---- mounting ---- */

static int take_place(struct mount *m, struct reason *why)
{
	struct mount_request req = {
		.target = m->target,
		.source = m->source.path,
		.flags = m->opt.mount_flags,
		.allow_other = m->opt.allow_other,
	};
	int err;

	source_prepare_fuseblk(&m->source);
	req.device = m->source.device;
	err = mount_point_attach(&req, &m->fd, why);
	if (err == -EPERM && req.device && !m->source.is_block) { /* root of a container */
		req.device = NULL;
		err = mount_point_attach(&req, &m->fd, why);
	}
	if (err)
		return err;
	m->attached = true;
	m->edge.on_device = req.device;
	source_mounted(&m->source);
	return 0;
}

static int open_fs(struct mount *m, struct reason *why)
{
	struct edge *e = &m->edge;
	int err;

	m->opt.fs.source = m->source.path;
	m->opt.fs.devices = (const char *const *)m->devices.paths + 1;
	m->opt.fs.device_count = m->other_count;
	m->opt.fs.no_excl = m->source.is_block && e->on_device;
	m->opt.fs.claim_wait_ms = CLAIM_WAIT_MS;
	err = fs_open(&m->opt.fs, &e->fs, why);
	if (!err)
		err = balance_create(e->fs);
	if (err)
		return err;
	e->source = m->source.path;
	e->owner = getuid();
	e->options = &m->opt;
	atomic_init(&e->atime_flags, m->opt.mount_flags);
	edge_init(e);
	e->stats = stats_new(m->opt.threads);
	err = node_table_create(e->fs->mount_root_id, BTRFS_FIRST_FREE_OBJECTID, &e->nodes);
	if (!err && !m->opt.fs.readonly)
		err = balance_recover(e->fs, m->opt.skip_balance);
	return err;
}

static int serve(struct mount *m, struct reason *why)
{
	const struct session_params params = {
		.fd = m->fd,
		.threads = m->opt.threads,
		.ops = &edge_ops,
		.calls = {.syncfs = edge_syncfs, .statx = edge_statx, .destroy = edge_destroy},
		.user = &m->edge,
		.stats = m->edge.stats,
	};
	int err = m->edge.stats ? session_create(&params, &m->session) : -ENOMEM;

	if (err)
		return err;
	m->fd = -1;
	m->edge.session = m->session;
	err = session_start(m->session);
	if (err == -EPERM)
		reason_set(why, "the kernel still has a dead mount of this device somewhere");
	return err;
}

static void remember_device(struct mount *m)
{
	struct stat st;

	if (stat(m->target, &st))
		return;
	m->dev = st.st_dev;
	mount_point_set_readahead(m->dev, m->edge.on_device);
}

/* ---- the end ---- */

static bool still_there(const struct mount *m)
{
	struct mount_entry *e = malloc(sizeof(*e));
	bool there = e && !mount_table_find(m->target, e) && mount_entry_is_btrfuse(e) &&
		     (!m->dev || e->dev == m->dev);

	free(e);
	return there;
}

static void flush_mapped_pages(const struct mount *m)
{
	int fd = open(m->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (syncfs(fd))
		log_fault("%s: %s", m->source.path, strerror(errno));
	close(fd);
}

/* SIGTERM: end running work, unmount; if somebody has files open, without them. */
static void unmount(struct mount *m)
{
	int err = -EBUSY;

	mutex_lock(&m->edge.reopen_lock);
	if (balance_pause(m->edge.fs) == 0)
		log_info("%s: balance paused by unmount", m->source.path);
	mutex_unlock(&m->edge.reopen_lock);
	if (session_unmounted(m->session) || !still_there(m))
		return;
	for (int tries = 0; err == -EBUSY && tries < 10; tries++) {
		if (tries)
			usleep(20000);
		err = mount_point_detach(m->target, false);
	}
	if (!err)
		return;
	flush_mapped_pages(m);
	err = mount_point_detach(m->target, true);
	if (err)
		log_fault("%s: cannot unmount: %s", m->target, strerror(-err));
}

static const int end_signals[] = {SIGTERM, SIGINT, SIGHUP};

static sigset_t end_signal_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(end_signals); i++)
		sigaddset(&set, end_signals[i]);
	return set;
}

static void *signal_main(void *arg)
{
	const sigset_t set = end_signal_set();
	struct mount *m = arg;
	int sig;

	pthread_setname_np(pthread_self(), "btrfuse-signal");
	sigwait(&set, &sig);
	if (atomic_load(&m->ended))
		return NULL; /* unmounted from outside */
	unmount(m);
	session_stop(m->session);
	return NULL;
}

/* Whoever mounts here next may have done so already: from here on only a dead mount is ours. */
static void clean_up(struct mount *m)
{
	bool gone = session_unmounted(m->session);

	session_free(m->session);
	stats_free(m->edge.stats);
	if (m->fd >= 0)
		close(m->fd);
	source_close(&m->source);
	for (unsigned i = 0; i < m->other_count; i++)
		source_close(&m->others[i]);
	if (m->attached && !gone)
		mount_point_bury_dead(m->target, NULL);
	free(m->others);
	device_list_free(&m->devices);
	options_free(&m->opt);
	free(m->target);
}

/* The next of the other devices. A seed that nobody named, and that cannot be had, is left out: if it is
 * ours, the volume will say that it is missing. */
static int open_other(struct mount *m, struct source_wish *wish, struct reason *why)
{
	unsigned i = m->other_count + 1;
	struct reason one = {""};
	int err;

	wish->path = m->devices.paths[i];
	wish->offset_bytes = 0;
	wish->readonly = m->opt.fs.readonly || m->devices.seeds[i];
	err = source_open(wish, &m->others[m->other_count], &one);
	if (!err) {
		m->other_count++;
	} else if (m->devices.maybe[i]) {
		log_info("seed device %s is left out: %s", m->devices.paths[i], one.text);
		device_list_drop(&m->devices, i);
		err = 0;
	} else {
		reason_set(why, "device %.100s: %.120s", m->devices.paths[i], one.text);
	}
	return err;
}

/* The devices, none of which somebody else may use. */
static int open_sources(struct mount *m, struct reason *why)
{
	struct source_wish wish = {
		.path = m->devices.paths[0],
		.offset_bytes = m->opt.fs.offset_bytes,
		.readonly = m->opt.fs.readonly,
		.wait_ms = CLAIM_WAIT_MS,
	};
	int err = source_open(&wish, &m->source, why);

	m->others = calloc(m->devices.count, sizeof(*m->others));
	if (!m->others)
		return -ENOMEM;
	while (!err && m->other_count + 1 < m->devices.count)
		err = open_other(m, &wish, why);
	return err;
}

/* Everything up to a usable mount. */
static int set_up(struct mount *m, struct reason *why)
{
	int err = mount_point_resolve(m->target_arg, &m->target, why);

	if (!err)
		err = device_list_find(&m->opt, m->source_arg, &m->devices, why);
	if (!err && m->devices.seeds[0] && !m->opt.fs.readonly) {
		log_info("%s is a seed device: read-only", m->devices.paths[0]);
		m->opt.fs.readonly = true;
		m->opt.mount_flags |= MS_RDONLY;
	}
	if (!err) {
		/* it may still claim the device */
		mount_point_bury_dead(m->target, m->devices.paths[0]);
		err = open_sources(m, why);
	}
	if (!err)
		err = take_place(m, why);
	if (!err)
		err = open_fs(m, why);
	if (!err)
		err = serve(m, why);
	return err;
}

static void undo_set_up(struct mount *m)
{
	struct edge *e = &m->edge;

	if (e->fs) {
		node_table_destroy(e->nodes);
		balance_shutdown(e->fs);
		if (fs_close(e->fs))
			log_fault("%s: not closed cleanly", m->source.path);
	}
	clean_up(m);
}

static int run(struct mount *m)
{
	pthread_t signals;
	int err = pthread_create(&signals, NULL, signal_main, m);

	if (err)
		log_fault("no thread for signals: %s", strerror(err));
	session_wait(m->session);
	if (!err) {
		atomic_store(&m->ended, true);
		pthread_kill(signals, SIGTERM);
		pthread_join(signals, NULL);
	}
	err = m->edge.close_error;
	clean_up(m);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct mount m = {.fd = -1, .source = {.loop_fd = -1}};
	struct reason why = {""};
	const sigset_t set = end_signal_set();
	int word = -1, saved, err;

	options_init(&m.opt);
	err = mount_helper_called(argv[0]) ? parse_helper_args(&m, argc, argv, &why) :
					     parse_args(&m, argc, argv, &why);
	if (err >= 0)
		return err == 1 ? fail(&m, &why, -EINVAL) : err;
	if (!m.foreground)
		word = go_background();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	saved = hold_stderr();
	err = set_up(&m, &why);
	release_stderr(saved, !err);
	if (err) {
		undo_set_up(&m);
		return fail(&m, &why, err);
	}
	remember_device(&m);
	if (!m.foreground)
		log_to_syslog("btrfuse");
	tell_parent(word);
	if (sync_point_start())
		log_fault("no test socket");
	return run(&m);
}
