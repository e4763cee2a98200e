/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flusher.c - which files are dirty, how much memory that takes, and the thread that writes back.
 *
 * The list holds a reference to each inode on it; a file leaves it when it is clean. The thread
 * wakes when much is dirty or something is old; writers wait when too much is. Files that were
 * unlinked and closed meanwhile are discarded instead of written.
 * Locks: the flusher's mutex is outside a file_state's and the inode table's, inside joins and tree
 * locks.
 */
#include <pthread.h>
#include <time.h>

#include "core/file/file.h"
#include "core/file/file_state.h"
#include "core/fs.h"
#include "core/inode/inode_table.h"

#define START_BYTES MIB(24)
#define STOP_BYTES MIB(12) /* far enough below for the thread not to be woken by every write */
#define LIMIT_BYTES MIB(64)
#define AGE_MS 5000
#define TICK_MS 1000

struct file_flusher {
	struct fs *fs;
	_Atomic u64 bytes; /* of all dirty windows */
	_Atomic u32 waiters;

	struct mutex lock; /* all below */
	struct cond wake;  /* the thread */
	struct cond room;  /* throttled writers */
	TAILQ_HEAD(, file_state) files;
	u64 count;
	bool running, stopping;
	pthread_t thread;
};

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

int file_flusher_create(struct fs *fs)
{
	struct file_flusher *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->fs = fs;
	mutex_init(&f->lock, RANK_ATTR);
	cond_init(&f->wake);
	cond_init(&f->room);
	TAILQ_INIT(&f->files);
	fs->flusher = f;
	return 0;
}

void file_flusher_destroy(struct fs *fs)
{
	struct file_flusher *f = fs->flusher;

	if (!f)
		return;
	cond_destroy(&f->room);
	cond_destroy(&f->wake);
	mutex_destroy(&f->lock);
	free(f);
	fs->flusher = NULL;
}

void flusher_account(struct fs *fs, u64 before, u64 after)
{
	struct file_flusher *f = fs->flusher;
	u64 bytes;

	if (before == after)
		return;
	bytes = atomic_fetch_add(&f->bytes, (after - before) * DIRTY_WINDOW);
	bytes += (after - before) * DIRTY_WINDOW;
	if (after < before && bytes <= LIMIT_BYTES && atomic_load(&f->waiters)) {
		mutex_lock(&f->lock);
		cond_broadcast(&f->room);
		mutex_unlock(&f->lock);
	}
}

void flusher_add(struct inode *inode)
{
	struct file_flusher *f = inode->fs->flusher;
	struct file_state *st = atomic_load(&inode->file);

	mutex_lock(&f->lock);
	if (!st->listed) {
		st->listed = true;
		st->listed_at_ms = now_ms();
		inode_ref(inode);
		TAILQ_INSERT_TAIL(&f->files, st, link);
		f->count++;
	}
	if (atomic_load(&f->bytes) > START_BYTES)
		cond_signal(&f->wake);
	mutex_unlock(&f->lock);
}

void flusher_remove_if_clean(struct inode *inode)
{
	struct file_flusher *f = inode->fs->flusher;
	struct file_state *st = atomic_load(&inode->file);
	bool removed = false;

	mutex_lock(&f->lock);
	if (st->listed && !file_state_dirty_bytes(st, 0, UINT64_MAX)) {
		st->listed = false;
		TAILQ_REMOVE(&f->files, st, link);
		f->count--;
		removed = true;
	}
	mutex_unlock(&f->lock);
	if (removed)
		inode_put(inode);
}

/* The file that became dirty first, with a reference. It goes to the list's end, so that one that
 * stays dirty does not hold up the others. */
static struct inode *take_oldest(struct file_flusher *f, bool only_old)
{
	struct file_state *st;
	u64 now = now_ms();

	MUTEX_SCOPE(&f->lock);
	st = TAILQ_FIRST(&f->files);
	if (!st || (only_old && now - st->listed_at_ms < AGE_MS))
		return NULL;
	TAILQ_REMOVE(&f->files, st, link);
	TAILQ_INSERT_TAIL(&f->files, st, link);
	st->listed_at_ms = now;
	return inode_ref(st->inode);
}

static bool unlinked(struct inode *inode)
{
	MUTEX_SCOPE(&inode->attr_lock);

	return inode->a.nlink == 0;
}

/* Is there no reference but @known ones? */
static bool only_refs(struct inode *inode, u32 known)
{
	MUTEX_SCOPE(&inode->fs->inodes->lock);

	return inode->refs == known;
}

/* @inode is the flusher's reference, besides the list's. */
static void flush_one(struct inode *inode)
{
	/* Nobody but the list and us: the data has no reader left. Nobody can open it again. */
	if (unlinked(inode) && only_refs(inode, 2)) {
		file_discard(inode);
		flusher_remove_if_clean(inode);
	} else if (file_flush(inode) < 0) {
		/* Logged, and told to the next fsync. */
	}
	inode_put(inode);
}

static void flush_some(struct file_flusher *f)
{
	struct inode *inode;

	bool much = atomic_load(&f->bytes) > START_BYTES;

	while (!f->stopping && (inode = take_oldest(f, !much))) {
		flush_one(inode);
		much = much && atomic_load(&f->bytes) > STOP_BYTES;
	}
}

static void *flusher_main(void *arg)
{
	struct file_flusher *f = arg;

	mutex_lock(&f->lock);
	while (!f->stopping) {
		if (atomic_load(&f->bytes) <= START_BYTES)
			(void)cond_timedwait_ms(&f->wake, &f->lock, TICK_MS);
		mutex_unlock(&f->lock);
		flush_some(f);
		mutex_lock(&f->lock);
	}
	mutex_unlock(&f->lock);
	return NULL;
}

int file_flusher_start(struct fs *fs)
{
	struct file_flusher *f = fs->flusher;
	int r = pthread_create(&f->thread, NULL, flusher_main, f);

	if (r)
		return -r;
	f->running = true;
	return 0;
}

void file_flusher_stop(struct fs *fs)
{
	struct file_flusher *f = fs->flusher;

	if (!f || !f->running)
		return;
	mutex_lock(&f->lock);
	f->stopping = true;
	cond_broadcast(&f->wake);
	cond_broadcast(&f->room);
	mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	f->running = false;
}

void flusher_throttle(struct inode *inode)
{
	struct file_flusher *f = inode->fs->flusher;

	if (likely(atomic_load(&f->bytes) <= LIMIT_BYTES))
		return;
	if (!f->running) {
		(void)!file_flush_all(inode->fs);
		return;
	}
	atomic_fetch_add(&f->waiters, 1);
	mutex_lock(&f->lock);
	while (atomic_load(&f->bytes) > LIMIT_BYTES && !f->stopping) {
		cond_signal(&f->wake);
		(void)cond_timedwait_ms(&f->room, &f->lock, TICK_MS);
	}
	mutex_unlock(&f->lock);
	atomic_fetch_sub(&f->waiters, 1);
}

/* Every file on the list now, each with a reference. */
static struct inode **list_all(struct file_flusher *f, u64 *ret_count)
{
	struct file_state *st;
	struct inode **all;
	u64 n = 0;

	MUTEX_SCOPE(&f->lock);
	all = malloc((f->count + 1) * sizeof(*all));
	if (!all)
		return NULL;
	TAILQ_FOREACH(st, &f->files, link)
		all[n++] = inode_ref(st->inode);
	*ret_count = n;
	return all;
}

int file_flush_all(struct fs *fs)
{
	_cleanup_free_ struct inode **all = NULL;
	u64 n;
	int first = 0;

	all = list_all(fs->flusher, &n);
	if (!all)
		return -ENOMEM;
	for (u64 i = 0; i < n; i++) {
		int r = file_flush(all[i]);

		if (r < 0 && first == 0)
			first = r;
		inode_put(all[i]);
	}
	return first;
}
