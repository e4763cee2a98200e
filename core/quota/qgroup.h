/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup.h - quotas: what each subvolume, and each group of them, refers to and holds alone.
 *
 * Full accounting: an extent belongs to every subvolume from which it can be reached. Changes are
 * only noted (delayed_ref.h); the settling commit compares, for each extent that was touched, who
 * held it at the last commit with who holds it now, and writes the sums in the same transaction.
 * Simple accounting (the feature "simple quotas"): an extent belongs to the subvolume that it was
 * made for, as the owner in its item or node header says, as long as it exists.
 *
 * Source of the rules: the btrfs documentation on quota groups; what the kernel's rescan and
 * `btrfs check` compute for the same image.
 */
#ifndef CORE_QUOTA_QGROUP_H
#define CORE_QUOTA_QGROUP_H

#include "disk/base/reason.h"
#include "disk/base/types.h"
#include "disk/format/ondisk.h"

struct fs;
struct quota;
struct root;
struct trans;

/* Is @id the number of a subvolume? Nothing else is accounted. */
static inline bool qgroup_counts_tree(u64 id)
{
	return id == BTRFS_FS_TREE_OBJECTID || (id >= BTRFS_FIRST_FREE_OBJECTID && id < 1ULL << 48);
}

/* Reads the quota tree, if there is one, and begins to account. Before anything is changed. A
 * read-only mount does without: fs->quota stays NULL. */
_must_check_ int quota_load(struct fs *fs, struct reason *why);
void quota_destroy(struct quota *q); /* accepts NULL */

/*
 * In a settling commit, when no tree of a subvolume changes any more: brings the quota tree up to
 * this transaction. May queue references of the quota tree's nodes. What cannot be computed is
 * marked inconsistent there, as the kernel does it; only a failure to write is an error: abort.
 */
_must_check_ int quota_settle(struct trans *trans);

/* The trees are what this transaction makes durable: the next one is compared with them. */
void quota_trees_settled(struct fs *fs);

/* The quota tree, referenced: it may be removed, and stays readable. -ENOENT without quotas. */
_must_check_ int quota_tree_get(struct fs *fs, struct root **ret);

/* So much is noted that a commit is due. */
bool quota_commit_due(struct fs *fs);

/* A rescan goes on: each commit does a part of it. */
bool quota_rescan_runs(struct fs *fs);
/* From the next commit on it does not go on, until that is taken back; it stays begun. */
void quota_rescan_hold(struct fs *fs, bool hold);

/* Relocation has moved an extent of @len bytes with all its holders: nobody's sums change. Its own
 * references are queued with trans->neutral. In an exclusive section. -ENOMEM. */
_must_check_ int quota_moved(struct trans *trans, u64 from, u64 to, u64 len);

/* ---- limits ---- */

/* @bytes of new data for the subvolume @root: promised, or -EDQUOT if it or a group above it would
 * go beyond a limit. */
_must_check_ int quota_promise(struct fs *fs, u64 root, u64 bytes);
void quota_unpromise(struct fs *fs, u64 root, u64 bytes);
/* A data extent of that size has been made; @promised for it. */
void quota_extent_made(struct fs *fs, u64 root, u64 bytes);
/* -EDQUOT if @nodes new nodes would go beyond a limit. Promises nothing. Writes back and commits
 * before it refuses: no range or tree lock held, not joined. */
_must_check_ int quota_check_nodes(struct fs *fs, u64 root, unsigned nodes);

/* ---- simple quotas ---- */

/* Who is to be named as owner of a new data extent of the tree @root: 0 without simple quotas. */
u64 quota_data_owner(struct fs *fs, u64 root);

/* An extent of @owner, made in the transaction @generation, has come (@sign 1) or gone (-1). */
void quota_simple_change(struct fs *fs, u64 owner, u64 bytes, u64 generation, int sign);

#endif
