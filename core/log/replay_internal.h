/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay_internal.h - what the files of the replay share. Private to core/log.
 *
 * One thread, in an exclusive section: trees are read and changed item by item, without inodes in
 * memory. A failure ends the replay; nothing of it is ever written.
 */
#ifndef CORE_LOG_REPLAY_INTERNAL_H
#define CORE_LOG_REPLAY_INTERNAL_H

#include "core/fs.h"
#include "core/inode/name_item.h"
#include "core/log/log_item.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"

/* A data extent that a log names. */
struct replay_claim {
	u64 logical;
	u64 len;
	bool fresh; /* not in the extent tree yet: claimed */
	bool used;  /* and somebody points to it by now */
};

struct replay {
	struct fs *fs;
	struct trans *trans;
	struct root *root; /* the subvolume in hand */
	struct root *log;  /* and its log */
	struct reason *why;

	struct replay_claim *claims; /* by address, once claimed */
	size_t claim_count, claim_room;

	u64 *fixups; /* inodes whose links are counted at the end, ascending */
	size_t fixup_count, fixup_room;

	u64 ignored; /* an inode that has no name any more: its items mean nothing */

	/* the log's item in hand */
	u8 *item; /* nodesize bytes */
	u32 size;
};

/* Says what is wrong; returns @err. */
int replay_refuse(struct replay *rp, int err, const char *fmt, ...) _printf_(3, 4);

/* The first item of the log from *key on, into rp->item: 0, -ENOENT. */
_must_check_ int replay_item(struct replay *rp, struct key *key);

/* ---- replay_claim.c ---- */

/* Walks all nodes of @tree (a log, or the tree of logs) and keeps their space from being handed out
 * until this transaction is durable; with @extents notes the data extents that they name. */
_must_check_ int replay_claim_nodes(struct replay *rp, const struct root *tree, bool extents);
/* All logs were walked: claims the noted extents. */
_must_check_ int replay_claim_extents(struct replay *rp);
/* One more pointer of (@ino, file offset minus extent offset @off) to the extent. */
_must_check_ int replay_extent_ref(struct replay *rp, u64 logical, u64 ino, u64 off);
/* Gives back what nobody pointed to. */
_must_check_ int replay_claim_end(struct replay *rp);

/* ---- replay_inode.c ---- */

/* An inode's item in the subvolume: 0, -ENOENT. */
_must_check_ int replay_inode_read(struct replay *rp, u64 ino, struct btrfs_inode_item *ret);
_must_check_ int replay_inode_write(struct replay *rp, u64 ino,
				    const struct btrfs_inode_item *item);
/* 0 or -ENOENT. */
_must_check_ int replay_inode_exists(struct replay *rp, u64 ino);
/* Adds to size or nbytes. */
_must_check_ int replay_inode_grow(struct replay *rp, u64 ino, s64 size, s64 nbytes);
/* The log's INODE_ITEM in hand. */
_must_check_ int replay_inode(struct replay *rp, const struct key *key);

/* ---- replay_name.c ---- */

/* Adds a name; @with_ref its INODE_REF, too. -EEXIST (nothing changed): name, index or reference is
 * there already; -ENOENT: no such inode. */
_must_check_ int replay_name_add(struct replay *rp, u64 dir, u64 ino, struct name name, u64 index,
				 bool with_ref);
/* Takes a name away, entries and reference; the inode's links will be counted. */
_must_check_ int replay_name_remove(struct replay *rp, u64 dir, const struct key *location,
				    struct name name);
/* The entry with this index: 0, -ENOENT. @name: NAME_LEN_MAX bytes. */
_must_check_ int replay_name_at(struct root *root, u64 dir, u64 index, struct name_record *ret,
				char *name);

/* ---- replay_dir.c ---- */

/* Removes what the log's ranges say was removed. */
_must_check_ int replay_dir_deletes(struct replay *rp, u64 dir);
/* Removes every name in the directory. */
_must_check_ int replay_dir_empty(struct replay *rp, u64 dir);
/* The log's DIR_INDEX in hand. */
_must_check_ int replay_dir_entry(struct replay *rp, const struct key *key);

/* ---- replay_xattr.c ---- */

/* Removes xattrs that the log does not have. */
_must_check_ int replay_xattr_deletes(struct replay *rp, u64 ino);

/* ---- replay_ref.c, replay_extent.c, replay_link.c ---- */

/* The log's INODE_REF or INODE_EXTREF in hand. */
_must_check_ int replay_ref(struct replay *rp, const struct key *key);
/* The log's EXTENT_DATA in hand. */
_must_check_ int replay_extent(struct replay *rp, const struct key *key);
/* Drops what the file has from @start to @end (sector aligned), nbytes included. */
_must_check_ int replay_extent_drop(struct replay *rp, u64 ino, u64 start, u64 end);

/* The links of @ino will be counted. */
_must_check_ int replay_link_note(struct replay *rp, u64 ino);
/* Counts them: link counts are what references say, and what has none becomes an orphan. */
_must_check_ int replay_link_fix(struct replay *rp);

#endif
