/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl.c - the table of ioctls: what they move, who may, who serves them. Everything that is not
 * in it is ENOTTY, quickly: each open() in Python asks for a terminal.
 */
#include "fuse/ioctl.h"

#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/trans/transaction.h"
#include "fuse/caller.h"
#include "fuse/remount.h"
#include "fuse/report.h"
#include "fuse/request.h"
#include "fuse/stats_ioctl.h"

static int ioctl_sync(struct ioctl_call *c)
{
	return fs_sync(c->e->fs);
}

/* The commit is over when this returns, so there is nothing left to wait for. */
static int ioctl_start_sync(struct ioctl_call *c)
{
	u64 transid;
	int err = fs_sync(c->e->fs);

	if (err)
		return err;
	transid = trans_durable_id(c->e->fs);
	memcpy(c->out, &transid, sizeof(transid));
	c->out_len = sizeof(transid);
	return 0;
}

static int ioctl_wait_sync(struct ioctl_call *c)
{
	u64 transid;

	memcpy(&transid, c->in, sizeof(transid));
	if (transid > trans_running_id(c->e->fs))
		return -EINVAL;
	return transid && transid <= trans_durable_id(c->e->fs) ? 0 : trans_commit(c->e->fs);
}

/* A later one takes the place of an earlier one, whose umount did not come to pass. */
static int ioctl_report(struct ioctl_call *c)
{
	int fd, old;

	memcpy(&fd, c->in, sizeof(fd));
	fd = caller_take_fd(c->req, fd);
	if (fd < 0)
		return fd;
	old = atomic_exchange(&c->e->report_fd, fd);
	if (old >= 0)
		close(old);
	return 0;
}

/* FS_IOC_SHUTDOWN of <linux/fs.h> from 6.11 on, XFS_IOC_GOINGDOWN before: its input is read by us. */
#define IOC_SHUTDOWN _IOR('X', 125, __u32)

static const struct ioctl_entry {
	unsigned cmd;
	unsigned in, out; /* least sizes */
	bool admin;       /* CAP_SYS_ADMIN or who mounted */
	ioctl_fn *serve;
	bool changes;     /* not for a mount that was remounted read-only */
	bool whole;       /* about the mount, no inode; may exchange the file system */
} ioctl_table[] = {
	{FS_IOC_GETFLAGS, 0, 4, false, ioctl_get_flags},
	{FS_IOC_SETFLAGS, 4, 0, false, ioctl_set_flags},
	{FS_IOC_FSGETXATTR, 0, 28, false, ioctl_get_xattr},
	{FS_IOC_FSSETXATTR, 28, 0, false, ioctl_set_xattr},
	{FS_IOC_GETVERSION, 0, 4, false, ioctl_get_version},
	{FS_IOC_MEASURE_VERITY, sizeof(struct fsverity_digest), sizeof(struct fsverity_digest), false,
	 ioctl_measure_verity},
	{FS_IOC_GETFSLABEL, 0, 256, false, ioctl_get_label},
	{FS_IOC_SETFSLABEL, 256, 0, true, ioctl_set_label, .changes = true},
	{IOC_SHUTDOWN, 0, 0, true, ioctl_shutdown},
	{BTRFS_IOC_SYNC, 0, 0, true, ioctl_sync},
	{BTRFS_IOC_START_SYNC, 0, 8, true, ioctl_start_sync},
	{BTRFS_IOC_WAIT_SYNC, 8, 0, true, ioctl_wait_sync},
	{BTRFS_IOC_FS_INFO, 0, sizeof(struct btrfs_ioctl_fs_info_args), false, ioctl_fs_info},
	{BTRFS_IOC_GET_DEV_STATS, sizeof(struct btrfs_ioctl_get_dev_stats),
	 sizeof(struct btrfs_ioctl_get_dev_stats), false, ioctl_dev_stats},
	{BTRFS_IOC_DEV_INFO, sizeof(struct btrfs_ioctl_dev_info_args),
	 sizeof(struct btrfs_ioctl_dev_info_args), false, ioctl_dev_info},
	{BTRFS_IOC_SPACE_INFO, sizeof(struct btrfs_ioctl_space_args),
	 sizeof(struct btrfs_ioctl_space_args), false, ioctl_space_info},
	{BTRFS_IOC_BALANCE_V2, sizeof(struct btrfs_ioctl_balance_args),
	 sizeof(struct btrfs_ioctl_balance_args), true, ioctl_balance_v2, .changes = true},
	{BTRFS_IOC_BALANCE_CTL, sizeof(int), 0, true, ioctl_balance_ctl, .changes = true},
	{BTRFS_IOC_BALANCE_PROGRESS, 0, sizeof(struct btrfs_ioctl_balance_args), true,
	 ioctl_balance_progress},
	{BTRFS_IOC_TREE_SEARCH, sizeof(struct btrfs_ioctl_search_args),
	 sizeof(struct btrfs_ioctl_search_args), true, ioctl_tree_search},
	{BTRFS_IOC_TREE_SEARCH_V2, sizeof(struct btrfs_ioctl_search_args_v2),
	 sizeof(struct btrfs_ioctl_search_args_v2), true, ioctl_tree_search_v2},
	{BTRFS_IOC_INO_LOOKUP, sizeof(struct btrfs_ioctl_ino_lookup_args),
	 sizeof(struct btrfs_ioctl_ino_lookup_args), false, ioctl_ino_lookup},
	{BTRFS_IOC_QUOTA_CTL, sizeof(struct btrfs_ioctl_quota_ctl_args), 0, true, ioctl_quota_ctl,
	 .changes = true},
	{BTRFS_IOC_QGROUP_CREATE, sizeof(struct btrfs_ioctl_qgroup_create_args), 0, true,
	 ioctl_qgroup_create, .changes = true},
	{BTRFS_IOC_QGROUP_ASSIGN, sizeof(struct btrfs_ioctl_qgroup_assign_args), 0, true,
	 ioctl_qgroup_assign, .changes = true},
	{BTRFS_IOC_QGROUP_LIMIT, 0, 0, true, ioctl_qgroup_limit, .changes = true},
	{BTRFS_IOC_QUOTA_RESCAN, sizeof(struct btrfs_ioctl_quota_rescan_args), 0, true,
	 ioctl_quota_rescan, .changes = true},
	{BTRFS_IOC_QUOTA_RESCAN_STATUS, 0, sizeof(struct btrfs_ioctl_quota_rescan_args), true,
	 ioctl_quota_rescan_status},
	{BTRFS_IOC_QUOTA_RESCAN_WAIT, 0, 0, true, ioctl_quota_rescan_wait},
	{BTRFUSE_IOC_REPORT, sizeof(int), 0, true, ioctl_report},
	{BTRFUSE_IOC_STATS, 0, sizeof(struct stats_reply), true, ioctl_stats},
	{BTRFUSE_IOC_REMOUNT, sizeof(struct remount_order), sizeof(struct remount_order), true,
	 ioctl_remount, .whole = true},
};

static const struct ioctl_entry *ioctl_find(unsigned cmd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ioctl_table); i++)
		if (ioctl_table[i].cmd == cmd)
			return &ioctl_table[i];
	return NULL;
}

static int serve(const struct ioctl_entry *entry, struct ioctl_call *c, fuse_ino_t node,
		 size_t in_size)
{
	_cleanup_inode_ struct inode *inode = NULL;
	int err;

	if (in_size < entry->in || c->out_size < entry->out)
		return -EINVAL;
	if (entry->admin && !caller_may_administrate(c->req))
		return -EPERM;
	if (entry->changes && atomic_load(&c->e->shut))
		return -EROFS;
	err = entry->whole ? 0 : edge_inode(c->e, node, &inode);
	if (err)
		return err;
	c->inode = inode;
	memset(c->out, 0, c->out_size);
	return entry->serve(c);
}

void op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
	      size_t out_size)
{
	const struct ioctl_entry *entry = ioctl_find(cmd);
	struct ioctl_call c = {
		.req = req,
		.e = edge_of(req),
		.node = node,
		.arg = (uintptr_t)arg,
		.in = in,
		.out = request_now.reply_buf,
		.out_size = MIN(out_size, (size_t)REPLY_BUF_BYTES),
	};
	int err;

	if (!entry || flags & FUSE_IOCTL_COMPAT) {
		edge_reply(req, -ENOTTY);
		return;
	}
	err = serve(entry, &c, node, in_size);
	if (err == IOCTL_LATER)
		return;
	if (err && !c.out_len)
		edge_reply(req, err);
	else
		fuse_reply_ioctl(req, err, c.out, c.out_len);
}
