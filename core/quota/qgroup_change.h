/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_change.h - switching quotas on and off, groups, their members and limits.
 *
 * Each call is an exclusive section of its own and durable when it returns 0 (or 1). What it refuses
 * it refuses before anything changes. All but enabling: -ENOTCONN while quotas are off. No locks
 * held. The answers are the kernel's, for the same ioctls.
 */
#ifndef CORE_QUOTA_QGROUP_CHANGE_H
#define CORE_QUOTA_QGROUP_CHANGE_H

#include <linux/btrfs.h>

#include "disk/base/types.h"

struct fs;

/* Full accounting, with a group for each subvolume; sums come with the rescan that begins with it.
 * 0, also if quotas are on. */
_must_check_ int quota_enable(struct fs *fs);
/* Simple accounting of what is made from now on. 0, also if quotas of either kind are on. */
_must_check_ int quota_enable_simple(struct fs *fs);
/* Forgets everything: the quota tree goes. */
_must_check_ int quota_disable(struct fs *fs);

/* -EEXIST; -EINVAL: 0, or the number of a subvolume, whose group comes with it. */
_must_check_ int qgroup_create(struct fs *fs, u64 id);
/* -ENOENT; -EBUSY: it has members, or its subvolume exists, or, with simple quotas, its extents do. */
_must_check_ int qgroup_destroy(struct fs *fs, u64 id);

/* @child becomes a member of @parent, or ceases to be one. 1: done, but what the two share is not
 * known without a rescan; marked inconsistent. -EINVAL: no such groups, or the parent's level is not
 * the higher one; -EEXIST, -ENOENT. */
_must_check_ int qgroup_assign(struct fs *fs, u64 child, u64 parent);
_must_check_ int qgroup_unassign(struct fs *fs, u64 child, u64 parent);

/* Sets what @limit->flags names; UINT64_MAX takes a limit away. -ENOENT. */
_must_check_ int qgroup_set_limit(struct fs *fs, u64 id, const struct btrfs_qgroup_limit *limit);

/* Counts everything anew. -EINPROGRESS; -EINVAL with simple quotas. */
_must_check_ int quota_rescan(struct fs *fs);
/* Up to which address; false: none runs. */
bool quota_rescan_status(struct fs *fs, u64 *progress);
/* 0: none runs any more; -ETIMEDOUT after @ms milliseconds; -EROFS: it will never end. */
_must_check_ int quota_rescan_wait(struct fs *fs, u64 ms);

#endif
