/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * caller.c - see caller.h. Capabilities come from /proc/PID/status. They count in the caller's own
 * user namespace, and whoever makes one has all of them there: only callers in our namespace
 * count.
 */
#include "fuse/caller.h"

#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/inode/attr.h"
#include "fuse/edge.h"

static bool same_user_namespace(pid_t pid)
{
	char path[64];
	struct stat theirs, ours;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	return !stat(path, &theirs) && !stat("/proc/self/ns/user", &ours) &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* The number behind @name ("Tgid:") in /proc/PID/status, or 0. */
static u64 status_value(pid_t pid, const char *name, int base)
{
	char path[64], line[256];
	u64 value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)))
			continue;
		value = strtoull(line + strlen(name), NULL, base);
		break;
	}
	fclose(f);
	return value;
}

static bool has_capability(fuse_req_t req, int capability)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	/* Uid 0 is ours whatever namespace it is in; an unprivileged daemon may not even look. */
	return ctx->pid > 0 && (status_value(ctx->pid, "CapEff:", 16) & 1ull << capability) &&
	       (ctx->uid == 0 || same_user_namespace(ctx->pid));
}

bool caller_has_sys_admin(fuse_req_t req)
{
	return has_capability(req, CAP_SYS_ADMIN);
}

#define GROUPS_MAX 1024

static bool in_group(fuse_req_t req, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	int n;

	if (fuse_req_ctx(req)->gid == gid)
		return true;
	n = fuse_req_getgroups(req, GROUPS_MAX, groups);
	for (int i = 0; i < MIN(n, GROUPS_MAX); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

bool caller_is_outsider(fuse_req_t req, struct inode *inode)
{
	struct inode_attr a;

	attr_get(inode, &a);
	return (a.mode & (S_ISGID | S_IXGRP)) == S_ISGID && !in_group(req, a.gid);
}

bool caller_keeps_setid(fuse_req_t req)
{
	return has_capability(req, CAP_FSETID);
}

bool caller_is_dying(pid_t pid)
{
	char path[64];

	/* The kernel turns every fatal signal into a pending SIGKILL of each thread. */
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return pid <= 0 || access(path, R_OK) ||
	       status_value(pid, "SigPnd:", 16) & 1ull << (SIGKILL - 1);
}

bool caller_may_administrate(fuse_req_t req)
{
	return fuse_req_ctx(req)->uid == edge_of(req)->owner || caller_has_sys_admin(req);
}

int caller_write(fuse_req_t req, u64 address, const void *data, size_t len)
{
	struct iovec local = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
	ssize_t n = process_vm_writev(fuse_req_ctx(req)->pid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return errno == ESRCH ? -EPERM : -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

int caller_read(fuse_req_t req, u64 address, void *data, size_t len)
{
	struct iovec local = {.iov_base = data, .iov_len = len};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
	ssize_t n = process_vm_readv(fuse_req_ctx(req)->pid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return errno == ESRCH ? -EPERM : -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

int caller_take_fd(fuse_req_t req, int fd)
{
	/* What a request carries is a thread's number. */
	pid_t pid = (pid_t)status_value(fuse_req_ctx(req)->pid, "Tgid:", 10);
	int ours, process = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (process < 0)
		return -EPERM;
	ours = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	if (ours < 0)
		ours = -errno;
	close(process);
	return ours;
}
