/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl.h - one ioctl request on its way through the table in ioctl.c.
 *
 * The kernel copies what the number says (_IOC_SIZE) in and out; replies may be shorter, never
 * longer, and may carry data together with an error. Everything else a handler reads or writes in
 * the caller's memory itself, before it answers.
 */
#ifndef FUSE_IOCTL_H
#define FUSE_IOCTL_H

#include "fuse/edge.h"

/* A handler's answer that comes later, from elsewhere. */
#define IOCTL_LATER 1

struct ioctl_call {
	fuse_req_t req;
	struct edge *e;
	fuse_ino_t node;
	struct inode *inode;
	u64 arg;         /* address in the caller's memory */
	const void *in;  /* in_size bytes, at least as many as the table asks for */
	void *out;       /* zeroed, room for out_size bytes */
	size_t out_size;
	size_t out_len;  /* set by the handler: bytes to hand back */
};

/* 0, negative errno, or IOCTL_LATER. */
typedef int ioctl_fn(struct ioctl_call *c);

/* ioctl_balance.c */
ioctl_fn ioctl_balance_v2, ioctl_balance_ctl, ioctl_balance_progress;
/* ioctl_info.c */
ioctl_fn ioctl_fs_info, ioctl_dev_info, ioctl_dev_stats, ioctl_space_info, ioctl_get_label, ioctl_set_label,
	ioctl_shutdown;
/* stats.c */
ioctl_fn ioctl_stats;
/* remount.c */
ioctl_fn ioctl_remount;
/* ioctl_search.c */
ioctl_fn ioctl_tree_search, ioctl_tree_search_v2, ioctl_ino_lookup;
/* ioctl_quota.c */
ioctl_fn ioctl_quota_ctl, ioctl_qgroup_create, ioctl_qgroup_assign, ioctl_qgroup_limit,
	ioctl_quota_rescan, ioctl_quota_rescan_status, ioctl_quota_rescan_wait;
/* ioctl_inode.c */
ioctl_fn ioctl_get_flags, ioctl_set_flags, ioctl_get_xattr, ioctl_set_xattr, ioctl_get_version,
	ioctl_measure_verity;

#endif
