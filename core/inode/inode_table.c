/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_table.c - lookup and lifetime of inodes in memory, see inode.h and inode_table.h.
 *
 * Invariant: an inode is on the idle list iff refs is 0 and it is neither loading, dirty, writing
 * nor dying. Only idle inodes are evicted, so an item that is read is never older than memory.
 */
#include "core/inode/inode_table.h"

#include "core/file/file.h"
#include "core/fs.h"
#include "core/inode/inode_item.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"
#include "disk/base/log.h"

int inode_table_create(struct fs *fs)
{
	struct inode_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	mutex_init(&t->rename_lock, RANK_INODE);
	mutex_init(&t->lock, RANK_INODE_TABLE);
	cond_init(&t->changed);
	for (unsigned i = 0; i < INODE_HASH_BUCKETS; i++)
		LIST_INIT(&t->buckets[i]);
	TAILQ_INIT(&t->idle);
	TAILQ_INIT(&t->dirty);
	fs->inodes = t;
	return 0;
}

static struct inode_bucket *bucket_of(struct inode_table *t, u64 root_id, u64 ino)
{
	u64 h = (ino ^ root_id * 0x9e3779b97f4a7c15ULL) * 0x9e3779b97f4a7c15ULL;

	return &t->buckets[(h >> 32) & (INODE_HASH_BUCKETS - 1)];
}

int inode_alloc(struct fs *fs, struct root *root, u64 ino, struct inode **ret)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode) {
		root_put(root);
		return -ENOMEM;
	}
	inode->fs = fs;
	inode->root = root;
	inode->ino = ino;
	inode->refs = 1;
	rwlock_init(&inode->lock, RANK_INODE);
	mutex_init(&inode->attr_lock, RANK_ATTR);
	*ret = inode;
	return 0;
}

void inode_free(struct inode *inode)
{
	if (!inode)
		return;
	file_state_free(inode);
	log_ranges_free(&inode->log.changed);
	if (inode->item_rsv.bytes)
		space_release_meta(inode->fs, &inode->item_rsv);
	mutex_destroy(&inode->attr_lock);
	rwlock_destroy(&inode->lock);
	root_put(inode->root);
	free(inode);
}

static struct inode *find_locked(struct inode_table *t, u64 root_id, u64 ino)
{
	struct inode *inode;

	LIST_FOREACH(inode, bucket_of(t, root_id, ino), hash_link)
		if (inode->ino == ino && inode->root->id == root_id)
			return inode;
	return NULL;
}

static void insert_locked(struct inode_table *t, struct inode *inode)
{
	LIST_INSERT_HEAD(bucket_of(t, inode->root->id, inode->ino), inode, hash_link);
	t->count++;
}

static void remove_locked(struct inode_table *t, struct inode *inode)
{
	LIST_REMOVE(inode, hash_link);
	t->count--;
}

static void unlist_idle_locked(struct inode_table *t, struct inode *inode)
{
	if (!inode->idle)
		return;
	TAILQ_REMOVE(&t->idle, inode, idle_link);
	inode->idle = false;
	t->idle_count--;
}

static void unlist_dirty_locked(struct inode_table *t, struct inode *inode)
{
	if (!inode->listed_dirty)
		return;
	TAILQ_REMOVE(&t->dirty, inode, dirty_link);
	inode->listed_dirty = false;
	t->dirty_count--;
}

void inode_table_add(struct inode *inode)
{
	struct inode_table *t = inode->fs->inodes;

	MUTEX_SCOPE(&t->lock);
	insert_locked(t, inode);
}

/* 0 with a reference, -ESTALE, or 1: not there. Waits for one that is being loaded. */
static int find_ref_locked(struct inode_table *t, u64 root_id, u64 ino, struct inode **ret)
{
	struct inode *inode;

	while ((inode = find_locked(t, root_id, ino)) && inode->loading)
		cond_wait(&t->changed, &t->lock);
	if (!inode)
		return 1;
	if (inode->dying)
		return -ESTALE;
	unlist_idle_locked(t, inode);
	inode->refs++;
	*ret = inode;
	return 0;
}

static int find_ref(struct fs *fs, u64 root_id, u64 ino, struct inode **ret)
{
	MUTEX_SCOPE(&fs->inodes->lock);
	return find_ref_locked(fs->inodes, root_id, ino, ret);
}

/* Finds the inode after all, or puts @fresh there, marked as loading. */
static int find_or_add(struct inode *fresh, struct inode **ret)
{
	struct inode_table *t = fresh->fs->inodes;
	int r;

	MUTEX_SCOPE(&t->lock);
	r = find_ref_locked(t, fresh->root->id, fresh->ino, ret);
	if (r == 1) {
		fresh->loading = true;
		insert_locked(t, fresh);
	}
	return r;
}

/* Looks the same at every look: as old as the subvolume that it is in. */
static int load_stub(struct inode *inode)
{
	const struct btrfs_timespec *t = &inode->root->item.otime;
	struct timespec born = { .tv_sec = (time_t)get_le64(&t->sec),
				 .tv_nsec = (long)get_le32(&t->nsec) };

	inode->a = (struct inode_attr){ .mode = S_IFDIR | 0755, .nlink = 1, .atime = born,
					.mtime = born, .ctime = born, .otime = born };
	return 0;
}

static int load(struct inode *inode)
{
	int r = inode->ino & INODE_STUB_BIT ? load_stub(inode)
					    : inode_item_read(inode->root, inode->ino, &inode->a);
	struct inode_table *t = inode->fs->inodes;

	MUTEX_SCOPE(&t->lock);
	inode->loading = false;
	inode->type = inode->a.mode & S_IFMT;
	inode->log.unknown = inode->a.transid;
	if (r < 0)
		remove_locked(t, inode);
	cond_broadcast(&t->changed);
	return r;
}

int inode_get(struct fs *fs, u64 root_id, u64 ino, struct inode **ret)
{
	struct inode *fresh;
	struct root *root;
	int r = find_ref(fs, root_id, ino, ret);

	if (r != 1)
		return r;
	r = root_get(fs, root_id, &root);
	if (r < 0)
		return r;
	r = inode_alloc(fs, root, ino, &fresh);
	if (r < 0)
		return r;
	r = find_or_add(fresh, ret);
	if (r == 1) {
		r = load(fresh);
		if (r == 0)
			*ret = TAKE(fresh);
	}
	inode_free(fresh);
	return r;
}

struct inode *inode_ref(struct inode *inode)
{
	struct inode_table *t = inode->fs->inodes;

	MUTEX_SCOPE(&t->lock);
	inode->refs++;
	return inode;
}

/* refs is 0: where does it belong? One more than the limit pushes the oldest out: *ret_evicted. */
static void settle_idle_locked(struct inode_table *t, struct inode *inode,
			       struct inode **ret_evicted)
{
	if (inode->refs || inode->listed_dirty || inode->writing || inode->dying || inode->idle)
		return;
	inode->idle = true;
	TAILQ_INSERT_TAIL(&t->idle, inode, idle_link);
	t->idle_count++;
	if (t->idle_count <= INODE_IDLE_MAX)
		return;
	inode = TAILQ_FIRST(&t->idle);
	unlist_idle_locked(t, inode);
	remove_locked(t, inode);
	*ret_evicted = inode;
}

/* No name, no user: takes it out of everything and frees it. */
static void destroy_dead(struct inode *inode)
{
	struct inode_table *t = inode->fs->inodes;

	mutex_lock(&t->lock);
	while (inode->writing)
		cond_wait(&t->changed, &t->lock);
	unlist_dirty_locked(t, inode);
	remove_locked(t, inode);
	mutex_unlock(&t->lock);
	inode_free(inode);
}

static void delete_dead(struct inode *inode)
{
	if (atomic_load(&inode->fs->shut)) {
		atomic_store(&inode->root->orphans_done, false); /* its orphan item stays */
	} else if (!inode->fs->readonly && !fs_error(inode->fs)) {
		int r = inode_delete(inode);

		if (r < 0 && r != -EROFS)
			log_fault("tree %llu inode %llu: not deleted: %s",
				  (unsigned long long)inode->root->id,
				  (unsigned long long)inode->ino, strerror(-r));
	}
	destroy_dead(inode);
}

/* Many dirty inodes without users would fill the memory before the next commit: write this one
 * now. Only a hint: whoever fails leaves it to the commit. */
static void write_back_excess(struct inode *inode)
{
	struct fs *fs = inode->fs;
	_cleanup_trans_ struct trans trans = {};
	bool excess;

	mutex_lock(&fs->inodes->lock);
	excess = inode->refs == 1 && inode->listed_dirty && inode->a.nlink &&
		 fs->inodes->dirty_count > INODE_DIRTY_MAX;
	mutex_unlock(&fs->inodes->lock);
	if (!excess || fs_error(fs) || trans_join(fs, 1, &trans) < 0)
		return;
	if (inode_update(&trans, inode) < 0)
		return;
	mutex_lock(&inode->attr_lock);
	mutex_lock(&fs->inodes->lock);
	if (!inode->item_dirty)
		unlist_dirty_locked(fs->inodes, inode);
	mutex_unlock(&fs->inodes->lock);
	mutex_unlock(&inode->attr_lock);
}

void inode_put(struct inode *inode)
{
	struct inode *evicted = NULL;
	struct inode_table *t;
	bool dead;

	if (!inode)
		return;
	write_back_excess(inode);
	t = inode->fs->inodes;
	mutex_lock(&t->lock);
	dead = --inode->refs == 0 && (inode->a.nlink == 0 || inode->dying);
	if (dead && inode->dying) { /* drained already: only the struct is left */
		mutex_unlock(&t->lock);
		destroy_dead(inode);
		return;
	}
	if (dead)
		inode->dying = true;
	if (inode->refs == 0)
		settle_idle_locked(t, inode, &evicted);
	mutex_unlock(&t->lock);
	if (dead)
		delete_dead(inode);
	inode_free(evicted);
}

void inode_putp(struct inode **inode)
{
	inode_put(*inode);
}

void inode_table_list_dirty(struct inode *inode)
{
	struct inode_table *t = inode->fs->inodes;

	MUTEX_SCOPE(&t->lock);
	if (inode->listed_dirty)
		return;
	unlist_idle_locked(t, inode);
	inode->listed_dirty = true;
	TAILQ_INSERT_TAIL(&t->dirty, inode, dirty_link);
	t->dirty_count++;
}

void inode_forget_dirty(struct inode *inode)
{
	struct inode_table *t = inode->fs->inodes;

	MUTEX_SCOPE(&inode->attr_lock);
	inode->item_dirty = false;
	if (inode->item_rsv.bytes)
		space_release_meta(inode->fs, &inode->item_rsv);
	MUTEX_SCOPE(&t->lock);
	unlist_dirty_locked(t, inode);
}

static struct inode *pop_dirty(struct inode_table *t)
{
	struct inode *inode;

	MUTEX_SCOPE(&t->lock);
	inode = TAILQ_FIRST(&t->dirty);
	if (!inode)
		return NULL;
	unlist_dirty_locked(t, inode);
	inode->writing = true;
	return inode;
}

static void write_ended(struct inode_table *t, struct inode *inode)
{
	struct inode *evicted = NULL;

	mutex_lock(&t->lock);
	inode->writing = false;
	settle_idle_locked(t, inode, &evicted);
	cond_broadcast(&t->changed);
	mutex_unlock(&t->lock);
	inode_free(evicted);
}

static bool still_dirty(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);
	return inode->item_dirty;
}

int inodes_write_dirty(struct trans *trans, u64 most)
{
	struct inode_table *t = trans->fs->inodes;
	struct inode *inode;
	u64 left = MIN(most, inode_table_dirty_count(trans->fs));
	int r = 0;

	for (; r == 0 && left && (inode = pop_dirty(t)); left--) {
		if (still_dirty(inode))
			r = inode_item_write(trans, inode);
		write_ended(t, inode);
	}
	return r;
}

u64 inode_table_count(struct fs *fs)
{
	MUTEX_SCOPE(&fs->inodes->lock);
	return fs->inodes->count;
}

u64 inode_table_dirty_count(struct fs *fs)
{
	MUTEX_SCOPE(&fs->inodes->lock);
	return fs->inodes->dirty_count;
}

/* An inode without a name that is not being deleted yet; it is marked so, with a reference. */
static struct inode *next_dead(struct inode_table *t)
{
	struct inode *inode;

	MUTEX_SCOPE(&t->lock);
	for (unsigned i = 0; i < INODE_HASH_BUCKETS; i++)
		LIST_FOREACH(inode, &t->buckets[i], hash_link)
			if (inode->a.nlink == 0 && !inode->dying) {
				inode->dying = true;
				inode->refs++;
				return inode;
			}
	return NULL;
}

void inode_table_drain(struct fs *fs)
{
	struct inode *inode;
	int r = 0;

	while (r >= 0 && !fs->readonly && !atomic_load(&fs->shut) && !fs_error(fs) &&
	       (inode = next_dead(fs->inodes))) {
		r = inode_delete(inode);
		inode_put(inode);
	}
}

void inode_table_destroy(struct fs *fs)
{
	struct inode_table *t = fs->inodes;
	struct inode *inode;

	if (!t)
		return;
	for (unsigned i = 0; i < INODE_HASH_BUCKETS; i++)
		while ((inode = LIST_FIRST(&t->buckets[i]))) {
			LIST_REMOVE(inode, hash_link);
			inode_free(inode);
		}
	cond_destroy(&t->changed);
	mutex_destroy(&t->lock);
	mutex_destroy(&t->rename_lock);
	free(t);
	fs->inodes = NULL;
}
