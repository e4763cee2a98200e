/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode.h - an inode in memory: lifetime, locks, attributes, writing the item back.
 *
 * A struct inode exists while somebody references it, while its item is dirty, and for a bounded
 * number (INODE_IDLE_MAX) after that. Two structs for one (root, ino) never exist.
 *
 * Lock order: inode->lock (directories before what is in them, then by number) > range locks >
 * join > tree locks > inode->attr_lock > inode table mutex.
 */
#ifndef CORE_INODE_INODE_H
#define CORE_INODE_INODE_H

#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>

#include "core/log/log_write.h"
#include "core/space/reservation.h"
#include "disk/base/lock.h"
#include "disk/base/types.h"

struct fs;
struct root;
struct trans;
struct file_state;
struct inode_table;

#define INODE_IDLE_MAX 2048u
#define INODE_DIRTY_MAX 2048u

/* Directory shown where a nested subvolume is not reachable (its root is gone, or the entry came
 * with a snapshot). Not on disk: the number is this bit and the subvolume id. */
#define INODE_STUB_BIT (1ULL << 62)

/* What the inode item holds. Times are wall clock; rdev is libc's dev_t. */
struct inode_attr {
	u32 mode;
	u32 uid;
	u32 gid;
	u32 nlink;
	dev_t rdev;
	u64 size;        /* of what readers see, unflushed data included */
	u64 nbytes;      /* space of the extents on disk */
	u64 flags;       /* BTRFS_INODE_* */
	u64 generation;  /* transaction that created it */
	u64 sequence;
	u64 transid;     /* transaction that changed it last */
	struct timespec atime;
	struct timespec mtime;
	struct timespec ctime;
	struct timespec otime;
};

struct inode {
	/* constant */
	struct fs *fs;
	struct root *root;  /* holds a reference */
	u64 ino;
	u32 type;           /* S_IFMT of the mode; set before anybody else sees the inode */

	/* inode table mutex */
	LIST_ENTRY(inode) hash_link;
	TAILQ_ENTRY(inode) idle_link;
	TAILQ_ENTRY(inode) dirty_link;
	u32 refs;
	bool loading;       /* item is being read by the one who put it into the table */
	bool dying;         /* last reference gone, items are being deleted */
	bool writing;       /* item is being written by inodes_write_dirty() */
	bool idle;
	bool listed_dirty;

	/* Names in a directory, link count, size changes, flags. */
	struct rwlock lock;
	u64 dir_index_next; /* directories; 0: not looked up yet */
	bool linkable;      /* made without a name (O_TMPFILE) and may get one */

	/* attr_lock: taken last, held for a few instructions, never across I/O or another lock but
	 * the table's and a file_state's. Members of @a other than times and sequence change only while
	 * inode->lock is held for writing too, except size and nbytes (F's range rules). */
	struct mutex attr_lock;
	struct inode_attr a;
	bool item_dirty;
	struct meta_rsv item_rsv;

	/* Known to have no security.capability / access ACL / default ACL. Set while inode->lock is
	 * held at least shared, cleared (held exclusively) before such a one is stored. */
	_Atomic bool no_caps;
	_Atomic bool no_access_acl;
	_Atomic bool no_default_acl;

	/* What the compression property says: 0 not looked up yet, else its type + 1. Changed with
	 * inode->lock held for writing. */
	_Atomic u8 compression_known;

	struct log_inode log;

	struct file_state *_Atomic file; /* F's; created on demand, freed by file_state_free() */
};

/* Creates the table / frees it with everything in it. At destruction nobody else runs. */
int inode_table_create(struct fs *fs) _must_check_;
void inode_table_destroy(struct fs *fs);

/* Before the last commit of an unmount, no request running: deletes unlinked inodes that nobody
 * put. */
void inode_table_drain(struct fs *fs);

/* The inode with a reference for the caller. Reads: no tree lock, not joined. -ENOENT if there is
 * no such inode, -ESTALE if it is unlinked and on its way out, -EIO, -EUCLEAN, -ENOMEM. */
_must_check_ int inode_get(struct fs *fs, u64 root_id, u64 ino, struct inode **ret);

/* One more reference to an inode that the caller has. */
struct inode *inode_ref(struct inode *inode);

/* Gives a reference back. The last one of an unlinked inode deletes its items: that joins
 * transactions, so the caller is not joined and holds no lock below RANK_INODE, and not this
 * inode's own. NULL is accepted. */
void inode_put(struct inode *inode);
void inode_putp(struct inode **inode);
#define _cleanup_inode_ _cleanup_(inode_putp)

static inline bool inode_is_dir(const struct inode *inode)
{
	return S_ISDIR(inode->type);
}

static inline bool inode_is_reg(const struct inode *inode)
{
	return S_ISREG(inode->type);
}

/* The subvolume is read-only (RDONLY flag) or the file system is: -EROFS, else 0. */
_must_check_ int inode_check_rw(struct inode *inode);

/* Changing attributes in memory. begin makes sure that a reservation for the item is there and
 * takes attr_lock; the caller changes inode->a; end marks the item dirty and drops attr_lock.
 * The item is written when the transaction settles.
 * @trans NULL: not joined; may wait for space (commit, chunk), may fail: -ENOSPC, -EROFS.
 * @trans joined: the reservation comes out of the handle (join with one item more); never fails. */
_must_check_ int inode_change_begin(struct inode *inode, struct trans *trans);
void inode_change_end(struct inode *inode, struct trans *trans);

/* begin + end without a change: the item must be written in this transaction (file_disk_size()
 * moved). */
_must_check_ int inode_mark_dirty(struct inode *inode, struct trans *trans);

/* A consistent copy of the attributes. */
void inode_attr_copy(struct inode *inode, struct inode_attr *ret);
u64 inode_size(struct inode *inode);

/* Writes the item now; joined with one item for it. On error the transaction was aborted. */
_must_check_ int inode_update(struct trans *trans, struct inode *inode);

/* Settle: writes every item that was dirty when called, at most @most. Exclusive handle. */
_must_check_ int inodes_write_dirty(struct trans *trans, u64 most);

/* Number of inodes in memory / with a dirty item (tests, throttling). */
u64 inode_table_count(struct fs *fs);
u64 inode_table_dirty_count(struct fs *fs);

struct timespec inode_now(void);

#endif
