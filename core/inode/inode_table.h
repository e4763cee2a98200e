/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_table.h - which inodes are in memory. Private to core/inode.
 *
 * States of an inode in the table: loading (its maker reads the item, others wait), in use
 * (refs > 0), idle (refs 0, clean, may be evicted), dirty without users (refs 0, on the dirty
 * list), dying (refs 0 and no name: its items are being deleted).
 * `writing` says that settle has taken it off the dirty list and still uses it.
 */
#ifndef CORE_INODE_INODE_TABLE_H
#define CORE_INODE_INODE_TABLE_H

#include "core/inode/inode.h"

#define INODE_HASH_BUCKETS 8192u /* a power of two */

LIST_HEAD(inode_bucket, inode);
TAILQ_HEAD(inode_queue, inode);

struct inode_table {
	struct mutex rename_lock; /* RANK_INODE, before every inode: directories keep their parent */

	struct mutex lock; /* all below */
	struct cond changed; /* loading or writing ended */
	struct inode_bucket buckets[INODE_HASH_BUCKETS];
	struct inode_queue idle;  /* oldest first */
	struct inode_queue dirty; /* oldest first */
	u64 count;
	u64 idle_count;
	u64 dirty_count;
};

/* A struct without a place in the table, refs 1. Takes over the reference to @root. */
_must_check_ int inode_alloc(struct fs *fs, struct root *root, u64 ino, struct inode **ret);
void inode_free(struct inode *inode);

/* A new inode whose number nobody knows yet. */
void inode_table_add(struct inode *inode);

/* attr_lock held: puts it on the dirty list unless it is there. */
void inode_table_list_dirty(struct inode *inode);

/* Deletes all items of an unlinked inode that nobody uses; not joined. */
_must_check_ int inode_delete(struct inode *inode);

/* Not dirty any more, the item goes. Joined, so that settle is not at it. */
void inode_forget_dirty(struct inode *inode);

/* The next free inode number of a subvolume; reads at first use. Not joined, no tree lock. */
_must_check_ int inode_number_new(struct root *root, u64 *ret);

/* Before an inode is deleted: its number does not come back in this mount. As above. */
_must_check_ int inode_number_learn(struct root *root);

#endif
