/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl_quota.c - quotas: on and off, groups, members, limits, rescan. See core/quota/qgroup_change.h
 * for the rules and answers.
 */
#include <linux/btrfs.h>
#include <stdatomic.h>

#include "core/quota/qgroup_change.h"
#include "fuse/caller.h"
#include "fuse/ioctl.h"

#define WAIT_MS 200
#ifndef BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA /* linux/btrfs.h of 6.7 */
#define BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA 4
#endif

int ioctl_quota_ctl(struct ioctl_call *c)
{
	const struct btrfs_ioctl_quota_ctl_args *a = c->in;

	switch (a->cmd) {
	case BTRFS_QUOTA_CTL_ENABLE:
		return quota_enable(c->e->fs);
	case BTRFS_QUOTA_CTL_DISABLE:
		return quota_disable(c->e->fs);
	case BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA:
		return quota_enable_simple(c->e->fs);
	default:
		return -EOPNOTSUPP;
	}
}

int ioctl_qgroup_create(struct ioctl_call *c)
{
	const struct btrfs_ioctl_qgroup_create_args *a = c->in;

	return a->create ? qgroup_create(c->e->fs, a->qgroupid) :
			   qgroup_destroy(c->e->fs, a->qgroupid);
}

/* 1 is an answer that no error can carry: a rescan is needed. */
int ioctl_qgroup_assign(struct ioctl_call *c)
{
	const struct btrfs_ioctl_qgroup_assign_args *a = c->in;
	int r = a->assign ? qgroup_assign(c->e->fs, a->src, a->dst) :
			    qgroup_unassign(c->e->fs, a->src, a->dst);

	if (r <= 0)
		return r;
	fuse_reply_ioctl(c->req, r, NULL, 0);
	return IOCTL_LATER;
}

/* Declared output only, but input it is. Group 0 is that of the subvolume it was asked in. */
int ioctl_qgroup_limit(struct ioctl_call *c)
{
	struct btrfs_ioctl_qgroup_limit_args a;
	int r = caller_read(c->req, c->arg, &a, sizeof(a));

	if (r < 0)
		return r;
	return qgroup_set_limit(c->e->fs, a.qgroupid ? a.qgroupid : edge_root_id(c->inode), &a.lim);
}

int ioctl_quota_rescan(struct ioctl_call *c)
{
	const struct btrfs_ioctl_quota_rescan_args *a = c->in;

	return a->flags ? -EINVAL : quota_rescan(c->e->fs);
}

int ioctl_quota_rescan_status(struct ioctl_call *c)
{
	struct btrfs_ioctl_quota_rescan_args *a = c->out;
	u64 progress;

	a->flags = quota_rescan_status(c->e->fs, &progress);
	a->progress = progress;
	c->out_len = sizeof(*a);
	return 0;
}

int ioctl_quota_rescan_wait(struct ioctl_call *c)
{
	int r;

	while ((r = quota_rescan_wait(c->e->fs, WAIT_MS)) == -ETIMEDOUT) {
		if (atomic_load(&c->e->shut))
			return -EROFS; /* it will not end before a remount for writing */
		if (session_stops(c->e->session) || caller_is_dying(fuse_req_ctx(c->req)->pid))
			return -EINTR;
	}
	return r;
}
