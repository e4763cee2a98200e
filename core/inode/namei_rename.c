/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namei_rename.c - moving, replacing and exchanging names within one subvolume.
 *
 * Locks: the table's rename lock (only when two directories take part: it keeps every directory
 * under its parent), the two directories, the ancestor first, then what the names stand for in
 * number order, directories before files. What is an ancestor of one of the directories is never
 * locked as such: that rename is refused before.
 */
#include <linux/fs.h>

#include "core/fs.h"
#include "core/inode/dir.h"
#include "core/inode/inode_item.h"
#include "core/inode/inode_ref.h"
#include "core/inode/inode_table.h"
#include "core/inode/namei_internal.h"
#include "core/quota/qgroup.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"

#define RENAME_ITEMS (16u + CREATION_ITEMS)
#define DEPTH_MAX 100000u

/* ThreadSanitizer's lock graph knows no tree that changes: after a move, child before parent looks
 * like an inversion. disk/base/lock.h checks ranks, and here the rename lock keeps the order. */
#ifdef __SANITIZE_THREAD__
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "deadlock:lock_dirs\ndeadlock:lock_inodes\ndeadlock:unlink_inode\n";
}
#endif

struct rename_side {
	struct inode *dir;
	struct name name;
	struct inode *inode; /* what the name stands for before; NULL: nothing */
	u64 index;           /* of that entry */
	u64 new_index;       /* of the entry that comes here */
};

struct rename {
	struct rename_side from, to;
	bool exchange;
	bool noreplace;
	bool whiteout;
	struct creation white; /* takes the old name */
	struct inode *made;    /* the same, published */
	struct rwlock *held[4];
	unsigned held_count;
	bool rename_lock;
};

static void hold(struct rename *r, struct inode *inode)
{
	rwlock_wrlock(&inode->lock);
	r->held[r->held_count++] = &inode->lock;
}

static void rename_unlock(struct rename *r)
{
	while (r->held_count)
		rwlock_unlock(r->held[--r->held_count]);
	if (r->rename_lock)
		mutex_unlock(&r->from.dir->fs->inodes->rename_lock);
	r->rename_lock = false;
}

static void rename_release(struct rename *r)
{
	rename_unlock(r);
	creation_free(&r->white);
	inode_put(r->made);
	inode_put(r->from.inode);
	inode_put(r->to.inode);
}

/* Is @ino a directory above @dir, or @dir itself? 1, 0, <0. */
static int is_above(u64 ino, struct inode *dir)
{
	u64 at = dir->ino;
	int r;

	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		if (at == ino)
			return 1;
		if (at == BTRFS_FIRST_FREE_OBJECTID)
			return 0;
		r = inode_ref_parent(dir->root, at, &at);
		if (r < 0) /* removed meanwhile: the check of the directory will say so */
			return r == -ENOENT ? 0 : r;
	}
	return -ELOOP;
}

static int lock_dirs(struct rename *r)
{
	struct inode *a = r->from.dir, *b = r->to.dir;
	int above;

	if (a == b) {
		hold(r, a);
		return 0;
	}
	mutex_lock(&a->fs->inodes->rename_lock);
	r->rename_lock = true;
	above = is_above(a->ino, b);
	if (above == 0) {
		above = is_above(b->ino, a);
		if (above == 1 || (above == 0 && b->ino < a->ino)) {
			a = r->to.dir;
			b = r->from.dir;
		}
	}
	if (above < 0)
		return above;
	hold(r, a);
	hold(r, b);
	return 0;
}

/* Fills in what the name stands for. -ENOENT. */
static int find_side(struct rename_side *s)
{
	struct dir_entry e;
	struct dir_record rec;
	int r = dir_entry_find(s->dir->root, s->dir->ino, s->name, &e);

	if (r < 0)
		return r;
	/* the root tree knows a subvolume's place and name, too: not yet */
	if (e.location.type != BTRFS_INODE_ITEM_KEY)
		return -EPERM;
	rec = (struct dir_record){ .name = s->name, .objectid = e.location.objectid,
				   .key_type = e.location.type, .ftype = e.ftype };
	r = dir_child(s->dir, &rec, &s->inode);
	if (r < 0)
		return r;
	r = inode_ref_find(s->dir->root, s->inode->ino, s->dir->ino, s->name, &s->index);
	return r == -ENOENT ? -EUCLEAN : r;
}

static int find_both(struct rename *r)
{
	int rc = find_side(&r->from);

	if (rc < 0)
		return rc;
	rc = find_side(&r->to);
	if (rc == -ENOENT && !r->exchange)
		return dir_entry_room(r->to.dir->root, r->to.dir->ino, r->to.name);
	if (rc == 0 && r->noreplace)
		return -EEXIST;
	return rc;
}

/* A directory must not come to stand below itself; a target that is above the source is not
 * empty. */
static int check_loops(const struct rename *r)
{
	int rc = 0;

	if (r->from.dir == r->to.dir)
		return 0;
	if (inode_is_dir(r->from.inode))
		rc = is_above(r->from.inode->ino, r->to.dir);
	if (rc)
		return rc < 0 ? rc : -EINVAL;
	if (r->to.inode && inode_is_dir(r->to.inode))
		rc = is_above(r->to.inode->ino, r->from.dir);
	if (rc)
		return rc < 0 ? rc : r->exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

/* Directories first: somebody may hold one and want a file in it that has another name here. */
static bool locks_before(const struct inode *a, const struct inode *b)
{
	if (inode_is_dir(a) != inode_is_dir(b))
		return inode_is_dir(a);
	return a->ino < b->ino;
}

static void lock_inodes(struct rename *r)
{
	struct inode *a = r->from.inode, *b = r->to.inode;

	if (b && locks_before(b, a)) {
		a = r->to.inode;
		b = r->from.inode;
	}
	hold(r, a);
	if (b && b != a)
		hold(r, b);
}

/* Types and flags of what is there. Everything is locked. */
static int check_inodes(const struct rename *r)
{
	struct inode *from = r->from.inode, *to = r->to.inode;
	int rc = namei_check_victim(r->from.dir, from);

	if (rc == 0 && to)
		rc = namei_check_victim(r->to.dir, to);
	if (rc < 0 || !to || r->exchange)
		return rc;
	if (inode_is_dir(to) != inode_is_dir(from))
		return inode_is_dir(to) ? -EISDIR : -ENOTDIR;
	return inode_is_dir(to) ? namei_check_empty(to) : 0;
}

/* Is there room for a reference to the new name? */
static int check_ref_room(struct inode *inode, const struct rename_side *to)
{
	int r = inode_ref_room(to->dir->root, inode->ino, to->dir->ino, to->name);

	return r == -EEXIST ? -EUCLEAN : r;
}

static int check_room(struct rename *r, const struct cred *cred)
{
	int rc = check_ref_room(r->from.inode, &r->to);

	if (rc == 0 && r->exchange)
		rc = check_ref_room(r->to.inode, &r->from);
	if (rc == 0)
		rc = namei_index_new(r->to.dir, &r->to.new_index);
	if (rc == 0)
		rc = r->exchange || r->whiteout ? namei_index_new(r->from.dir, &r->from.new_index)
						: namei_index_learn(r->from.dir);
	if (rc == 0 && r->whiteout)
		rc = creation_prepare(r->from.dir, S_IFCHR, 0, cred, &r->white);
	return rc;
}

static int drop_side(struct trans *trans, const struct rename_side *s)
{
	return namei_drop_name(trans, s->dir, s->name, s->inode, s->index);
}

static int add_side(struct trans *trans, const struct rename_side *s, struct inode *inode)
{
	namei_touch(inode);
	return namei_add_name(trans, s->dir, s->name, inode, s->new_index);
}

static int add_whiteout(struct trans *trans, struct rename *r)
{
	int rc = creation_insert(trans, &r->white);

	return rc < 0 ? rc : add_side(trans, &r->from, r->white.inode);
}

static int change_names(struct trans *trans, struct rename *r)
{
	int rc = drop_side(trans, &r->from);

	if (rc == 0 && r->to.inode)
		rc = drop_side(trans, &r->to);
	if (rc == 0)
		rc = add_side(trans, &r->to, r->from.inode);
	if (rc == 0 && r->exchange)
		return add_side(trans, &r->from, r->to.inode);
	if (rc == 0 && r->whiteout)
		rc = add_whiteout(trans, r);
	if (rc == 0 && r->to.inode)
		rc = namei_unlink_inode(trans, r->to.inode);
	return rc;
}

static int write_items(struct trans *trans, struct rename *r)
{
	int rc = inode_item_write(trans, r->from.dir);

	if (rc == 0 && r->to.dir != r->from.dir)
		rc = inode_item_write(trans, r->to.dir);
	if (rc == 0)
		rc = inode_item_write(trans, r->from.inode);
	if (rc == 0 && r->to.inode)
		rc = inode_item_write(trans, r->to.inode);
	return rc;
}

static int rename_commit(struct rename *r)
{
	_cleanup_trans_ struct trans trans = {};
	int rc = quota_check_nodes(r->to.dir->fs, r->to.dir->root->id, RENAME_ITEMS);

	rc = rc < 0 ? rc : trans_join(r->from.dir->fs, RENAME_ITEMS, &trans);
	if (rc < 0)
		return rc;
	rc = change_names(&trans, r);
	if (rc == 0)
		rc = write_items(&trans, r);
	if (rc < 0)
		trans_abort(&trans, rc, "rename");
	else if (r->whiteout)
		r->made = creation_publish(&r->white);
	trans_end(&trans);
	return rc;
}

/* 1: the names stand for one inode already, nothing to do. */
static int rename_prepare(struct rename *r, const struct cred *cred)
{
	int rc = lock_dirs(r);

	if (rc == 0)
		rc = namei_check_dir(r->from.dir, r->from.name);
	if (rc == 0)
		rc = namei_check_dir(r->to.dir, r->to.name);
	if (rc == 0)
		rc = find_both(r);
	if (rc < 0)
		return rc;
	if (r->to.inode == r->from.inode)
		return 1;
	rc = check_loops(r);
	if (rc < 0)
		return rc;
	lock_inodes(r);
	rc = check_inodes(r);
	return rc < 0 ? rc : check_room(r, cred);
}

static int check_flags(unsigned flags)
{
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	return (flags & RENAME_EXCHANGE) && flags != RENAME_EXCHANGE ? -EINVAL : 0;
}

int namei_rename(struct inode *old_dir, struct name old_name, struct inode *new_dir,
		 struct name new_name, unsigned flags, const struct cred *cred,
		 struct inode **gone)
{
	_cleanup_(rename_release) struct rename r = {
		.from = { .dir = old_dir, .name = old_name },
		.to = { .dir = new_dir, .name = new_name },
		.exchange = flags & RENAME_EXCHANGE,
		.noreplace = flags & RENAME_NOREPLACE,
		.whiteout = flags & RENAME_WHITEOUT,
	};
	int rc = check_flags(flags);

	if (gone)
		*gone = NULL;
	if (rc == 0)
		rc = inode_check_rw(old_dir);
	if (rc == 0)
		rc = inode_check_rw(new_dir);
	if (rc == 0 && old_dir->root != new_dir->root)
		rc = -EXDEV;
	if (rc == 0)
		rc = rename_prepare(&r, cred);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = rename_commit(&r);
	if (rc == 0 && gone && !r.exchange)
		*gone = TAKE(r.to.inode);
	return rc;
}
