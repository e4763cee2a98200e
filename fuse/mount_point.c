/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mount_point.c - see mount_point.h. Runs before the daemon has threads (attach) or from its
 * signal thread (detach). fusermount3's own words go into the reason, not to the terminal.
 */
#include "fuse/mount_point.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/mount_table.h"

#define READ_AHEAD_KIB 1024

static const char *access_options(const struct mount_request *req)
{
	return req->allow_other ? "default_permissions,allow_other" : "default_permissions";
}

/* ---- as root ---- */

static int attach_direct(const struct mount_request *req, int *ret_fd, struct reason *why)
{
	const char *type = req->device ? "fuseblk.btrfuse" : "fuse.btrfuse";
	char data[200];
	int err, fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		err = -errno;
		reason_set(why, "/dev/fuse: %s", strerror(-err));
		return err;
	}
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=%u,group_id=%u,%s%s", fd,
		 geteuid(), getegid(), access_options(req), req->device ? ",blksize=4096" : "");
	if (mount(req->device ? req->device : req->source, req->target, type, req->flags, data)) {
		err = -errno;
		reason_set(why, "cannot mount on %s: %s", req->target, strerror(-err));
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/* ---- through fusermount3 ---- */

static int receive_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -EPERM;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EPERM;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static const struct {
	unsigned long flag;
	const char *name;
} flag_names[] = {
	{MS_RDONLY, "ro"},	   {MS_NOSUID, "nosuid"},     {MS_NODEV, "nodev"},
	{MS_NOEXEC, "noexec"},	   {MS_NOATIME, "noatime"},   {MS_NODIRATIME, "nodiratime"},
};

/* Commas and backslashes in a value are escaped for fusermount3. */
static void append_escaped(char *out, size_t size, const char *s)
{
	size_t n = strlen(out);

	for (; *s && n + 3 < size; s++) {
		if (*s == ',' || *s == '\\')
			out[n++] = '\\';
		out[n++] = *s;
	}
	out[n] = 0;
}

static void fusermount_options(const struct mount_request *req, char *out, size_t size)
{
	snprintf(out, size, "%s,subtype=btrfuse", access_options(req));
	for (unsigned i = 0; i < ARRAY_SIZE(flag_names); i++) {
		if (!(req->flags & flag_names[i].flag))
			continue;
		strncat(out, ",", size - strlen(out) - 1);
		strncat(out, flag_names[i].name, size - strlen(out) - 1);
	}
	strncat(out, ",fsname=", size - strlen(out) - 1);
	append_escaped(out, size, req->source);
}

/* Runs fusermount3 with its standard error on @err_fd; the exit status or negative errno. */
static int run_fusermount(const char *const argv[], int sock, int err_fd)
{
	char env[32];
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		if (sock >= 0) {
			fcntl(sock, F_SETFD, 0);
			snprintf(env, sizeof(env), "%d", sock);
			setenv("_FUSE_COMMFD", env, 1);
		}
		dup2(err_fd, 2);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static void reason_from_words(struct reason *why, int words_fd)
{
	char text[160] = "";
	ssize_t n = read(words_fd, text, sizeof(text) - 1);
	char *line = text;

	if (n > 0)
		text[n] = 0;
	line[strcspn(line, "\n")] = 0;
	if (!strncmp(line, "fusermount3: ", 13))
		line += 13;
	reason_set(why, "%s", *line ? line : "fusermount3 refuses to mount");
}

static int attach_through_helper(const struct mount_request *req, int *ret_fd, struct reason *why)
{
	char options[PATH_MAX + 200];
	const char *const argv[] = {"fusermount3", "-o", options, "--", req->target, NULL};
	int sock[2], words[2], status, fd;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) || pipe2(words, O_CLOEXEC))
		return -errno;
	fusermount_options(req, options, sizeof(options));
	status = run_fusermount(argv, sock[0], words[1]);
	close(sock[0]);
	close(words[1]);
	fd = status ? -EPERM : receive_fd(sock[1]);
	if (fd < 0)
		reason_from_words(why, words[0]);
	close(sock[1]);
	close(words[0]);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int mount_point_attach(const struct mount_request *req, int *ret_fd, struct reason *why)
{
	if (geteuid() == 0)
		return attach_direct(req, ret_fd, why);
	return attach_through_helper(req, ret_fd, why);
}

/* ---- and back ---- */

static int detach_through_helper(const char *target, bool lazily)
{
	const char *const busy[] = {"fusermount3", "-u", "-q", "--", target, NULL};
	const char *const lazy[] = {"fusermount3", "-u", "-q", "-z", "--", target, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int status = run_fusermount(lazily ? lazy : busy, -1, null);

	close(null);
	if (status < 0)
		return status;
	return status ? -EBUSY : 0;
}

int mount_point_detach(const char *target, bool lazily)
{
	int flags = UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0);

	if (!umount2(target, flags))
		return 0;
	if (errno != EPERM)
		return -errno;
	return detach_through_helper(target, lazily);
}

struct dead_search {
	const char *target, *device;
	char found[PATH_MAX];
};

/* Attributes may still be cached; statfs(2) always asks the daemon. */
static bool is_dead(const char *target)
{
	struct statfs fs;

	return statfs(target, &fs) && errno == ENOTCONN;
}

static int dead_visit(void *ctx, const struct mount_entry *e)
{
	struct dead_search *d = ctx;

	if (!mount_entry_is_btrfuse(e))
		return 0;
	if (strcmp(e->target, d->target) && (!d->device || strcmp(e->source, d->device)))
		return 0;
	if (!is_dead(e->target))
		return 0;
	snprintf(d->found, sizeof(d->found), "%s", e->target);
	return 1;
}

void mount_point_bury_dead(const char *target, const char *device)
{
	struct dead_search d = {.target = target, .device = device};

	for (int tries = 0; tries < 64 && mount_table_each(dead_visit, &d) == 1; tries++)
		if (mount_point_detach(d.found, true))
			return;
}

/* The last component may be a dead mount, which realpath() cannot look at. */
static int resolve_dead(const char *path, char **ret)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_free_ char *parent = NULL;
	char *slash;

	if (!copy)
		return -ENOMEM;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = 0;
	slash = strrchr(copy, '/');
	if (slash)
		*slash = 0;
	parent = realpath(!slash ? "." : slash == copy ? "/" : copy, NULL);
	if (!parent)
		return -errno;
	if (asprintf(ret, "%s/%s", strcmp(parent, "/") ? parent : "", slash ? slash + 1 : copy) < 0)
		return -ENOMEM;
	return 0;
}

int mount_point_resolve(const char *path, char **ret, struct reason *why)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;
	int err = 0;

	if (!real && errno == ENOTCONN)
		err = resolve_dead(path, &real);
	else if (!real)
		err = -errno;
	if (!err && stat(real, &st)) /* a dead mount was a directory */
		err = errno == ENOTCONN ? 0 : -errno;
	else if (!err && !S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err) {
		reason_set(why, "mountpoint %s: %s", path, strerror(-err));
		return err;
	}
	*ret = TAKE(real);
	return 0;
}

void mount_point_set_readahead(dev_t dev, bool fuseblk)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u%s/read_ahead_kb", major(dev), minor(dev),
		 fuseblk ? "-fuseblk" : "");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (dprintf(fd, "%d\n", READ_AHEAD_KIB) < 0)
		errno = 0; /* smaller requests, nothing worse */
	close(fd);
}
