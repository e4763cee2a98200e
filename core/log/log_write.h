/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_write.h - fsync without a commit: the log tree of the running transaction.
 *
 * What fsync has to make durable is copied into a log tree, in the kernel's format, and published in the
 * primary superblock of the transaction before. Whoever mounts after a crash replays it on top of that
 * transaction. The next commit makes it obsolete.
 *
 * A log says what the inodes in it look like, with their names; nothing of what else happened in the
 * transaction. Where that could put something wrong together (a name that stood for something else when
 * the transaction began, a directory that was moved), fsync commits instead: when in doubt, it does.
 * So whoever removes a name tells log_name_dropped(), because the name and its index in the directory may
 * be used again; whoever takes a name or the items from an inode tells log_inode_renamed(); whoever changes the file extents of an inode tells
 * log_extents_changed(), and what the superblock of the transaction before cannot stand for, like
 * chunks that come and go or references that are switched, tells log_must_commit().
 */
#ifndef CORE_LOG_LOG_WRITE_H
#define CORE_LOG_LOG_WRITE_H

#include <stdatomic.h>

#include "core/inode/name.h"
#include "core/log/log_ranges.h"
#include "disk/format/ondisk.h"

struct fs;
struct inode;
struct trans;
struct tree_log;

/* What the log knows about an inode in memory. */
struct log_inode {
	/* Changes of extents that this transaction made before the inode came into memory are not known:
	 * constant until everything has been logged once, then 0. The inode is locked. */
	u64 unknown;

	/* The tree log's mutex. */
	u64 transid;  /* the transaction in whose log it is */
	u64 sequence; /* its a.sequence there */
	u64 sync;     /* the sync that makes it durable */
	u32 digest;   /* of its names and xattrs there */
	u64 bytes;    /* of it there, at most */

	/* attr_lock */
	u64 changed_transid;
	bool news; /* something changed since it was last logged in that transaction */
	/* What did. What is logged stays here if it lies behind the end that the log gives the file: holes
	 * there are not told, and if the file grows, something older is under them. */
	struct log_ranges changed;
};

int tree_log_create(struct fs *fs) _must_check_;
void tree_log_destroy(struct fs *fs);

/* All of @inode that has reached the trees and the device is durable: 0. 1: only a commit can do that
 * now. No locks, not joined; does device I/O. */
_must_check_ int log_sync_inode(struct inode *inode);

/* ---- joined ---- */

/* fsync has to commit in this transaction. */
void log_must_commit(struct trans *trans);
/* @name, and its @index, do not stand for anything in @dir any more. */
void log_name_dropped(struct trans *trans, u64 root_id, u64 dir, struct name name, u64 index);
/* @ino lost one of its names, or its items. */
void log_inode_renamed(struct trans *trans, u64 root_id, u64 ino);
/* What is mapped in [start, end) of the file changed. */
void log_extents_changed(struct trans *trans, struct inode *inode, u64 start, u64 end);

/* ---- commit ---- */

/* Settle: the log of this transaction is over, its nodes are given back with it. */
_must_check_ int log_settle(struct trans *trans);
/* @sb is durable: logs stand on it from now on. */
void log_set_base(struct fs *fs, const struct btrfs_super_block *sb);

#endif
