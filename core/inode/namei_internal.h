/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namei_internal.h - what the name operations share. Private to core/inode. */
#ifndef CORE_INODE_NAMEI_INTERNAL_H
#define CORE_INODE_NAMEI_INTERNAL_H

#include "core/inode/dir_entry.h"
#include "core/inode/acl_store.h"
#include "core/inode/compression.h"
#include "core/inode/namei.h"

/* May names in @dir change? Directory, alive, not a stub, not immutable, writable; and is @name
 * one that can stand in a directory? The caller holds dir->lock. */
_must_check_ int namei_check_dir(struct inode *dir, struct name name);

/* May @inode lose a name in @dir, or get another one? Immutable, append-only. */
_must_check_ int namei_check_victim(struct inode *dir, struct inode *inode);

/* Gives out the directory's next index. dir->lock held for writing; may read. */
_must_check_ int namei_index_new(struct inode *dir, u64 *ret);

/* Before a name goes: its index does not come back while the directory is in memory. As above. */
_must_check_ int namei_index_learn(struct inode *dir);

/* Joined. Changes both sides of a name and the directory's size and times in memory; the caller
 * updates the items. Negative means abort. */
_must_check_ int namei_add_name(struct trans *trans, struct inode *dir, struct name name,
				struct inode *inode, u64 index);
_must_check_ int namei_drop_name(struct trans *trans, struct inode *dir, struct name name,
				 struct inode *inode, u64 index);

/* The directory changed: size by @delta bytes, times now. */
void namei_touch_dir(struct inode *dir, s64 delta);

/* Only ctime. */
void namei_touch(struct inode *inode);

/* One name less, and an orphan when it was the last (or a directory). Joined. */
_must_check_ int namei_unlink_inode(struct trans *trans, struct inode *inode);

/* -ENOTEMPTY unless the directory has no entries. Its lock held. */
_must_check_ int namei_check_empty(struct inode *dir);

/* A new inode until it stands in the table: everything that is decided before the join. Zeroed at
 * first; creation_free() gives back what was not published. */
struct creation {
	struct inode *inode;
	struct acl_inherited acl;
	struct compression_change compression;
	u64 index;
	const char *target; /* symlinks */
	u32 target_len;
};

/* Items that inserting one takes, its name aside. */
#define CREATION_ITEMS 5u

/* Number, struct and inheritance from @dir, whose lock is held. May read; not joined. */
_must_check_ int creation_prepare(struct inode *dir, u32 mode, dev_t rdev, const struct cred *cred,
				  struct creation *c);
/* Joined: item, ACLs, compression, symlink target. No name yet. */
_must_check_ int creation_insert(struct trans *trans, struct creation *c);
/* It has been inserted: others may find it. The caller gets the reference. */
struct inode *creation_publish(struct creation *c);
void creation_free(struct creation *c);

/* Symlink target as the file's inline extent. Joined. */
_must_check_ int symlink_insert(struct trans *trans, struct inode *inode, const char *target,
				u32 len);
_must_check_ int symlink_check(const struct fs *fs, const char *target, u32 *ret_len);

#endif
