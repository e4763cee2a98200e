/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_changes.h - what happened in the running transaction that a log cannot tell.
 *
 * A set of hashes, so two things may be taken for one another: that makes fsync commit, nothing else. It
 * is bounded, and full means the same. Private to core/log. Lock: its own mutex, a leaf.
 */
#ifndef CORE_LOG_LOG_CHANGES_H
#define CORE_LOG_LOG_CHANGES_H

#include "core/inode/name.h"
#include "disk/base/lock.h"

#define LOG_CHANGES_MAX 65536u

struct log_changes {
	struct mutex lock;
	u64 must_commit; /* the newest transaction in which fsync has to commit */
	u64 transid;     /* what the set is about */
	u64 *slots;      /* open addressing, 0 is free */
	u32 count, room;
};

void log_changes_init(struct log_changes *c);
void log_changes_destroy(struct log_changes *c);

void log_changes_must_commit(struct log_changes *c, u64 transid);
bool log_changes_forbid(struct log_changes *c, u64 transid);

/* Pure: never 0. */
u64 log_change_name(u64 root_id, u64 dir, struct name name);
u64 log_change_index(u64 root_id, u64 dir, u64 index);
u64 log_change_inode(u64 root_id, u64 ino);

void log_changes_add(struct log_changes *c, u64 transid, u64 hash);
bool log_changes_have(struct log_changes *c, u64 transid, u64 hash);

#endif
