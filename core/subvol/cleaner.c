/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cleaner.c - see cleaner.h. */
#include "core/subvol/cleaner.h"

#include <pthread.h>

#include "core/fs.h"
#include "core/inode/orphan.h"
#include "core/subvol/subvol_drop.h"
#include "core/tree/search.h"
#include "disk/base/lock.h"
#include "disk/base/log.h"

#define ASK_MS 50

struct cleaner {
	struct fs *fs;
	struct mutex lock; /* all below */
	struct cond changed;
	bool wanted;   /* there may be something to drop */
	bool working;
	bool stopping;
	unsigned held;
	int error; /* of what was given up */
	bool thread_runs;
	pthread_t thread;
};

static bool is_stopping(struct cleaner *c)
{
	MUTEX_SCOPE(&c->lock);
	return c->stopping;
}

static int drop_tree(struct cleaner *c, const struct key *key)
{
	_cleanup_dead_tree_ struct dead_tree *tree = NULL;
	int r = dead_tree_open(c->fs, key, &tree);

	if (r == 0)
		log_info("deleting tree " KEY_FMT, KEY_ARG(*key));
	for (r = r == 0 ? 1 : r; r == 1;)
		r = is_stopping(c) ? -ECANCELED : dead_tree_step(tree);
	return r;
}

/* What cannot be dropped is named and left alone; the rest goes on. */
static int drop_trees(struct cleaner *c)
{
	struct key key = KEY_MIN;
	int r, bad = 0;

	while ((r = dead_tree_next(c->fs, &key)) == 0) {
		r = drop_tree(c, &key);
		if (r == -ECANCELED || r == -EROFS)
			return r;
		if (r < 0) {
			log_fault("tree " KEY_FMT " cannot be deleted: %s", KEY_ARG(key),
				  strerror(-r));
			bad = r;
		}
		key = key_next(key);
	}
	return r == -ENOENT ? bad : r;
}

/* Copies that an interrupted relocation had made, whoever points to them by now. */
static int drop_copies(struct fs *fs)
{
	return fs->data_reloc_root ? orphan_cleanup(fs, BTRFS_DATA_RELOC_TREE_OBJECTID) : 0;
}

static int clean(struct cleaner *c)
{
	int copies = drop_copies(c->fs);
	int trees = drop_trees(c);

	return copies < 0 ? copies : trees;
}

/* True: there is work, and it is begun. */
static bool wait_for_work(struct cleaner *c)
{
	MUTEX_SCOPE(&c->lock);
	while (!c->stopping && (!c->wanted || c->held))
		cond_wait(&c->changed, &c->lock);
	if (c->stopping)
		return false;
	c->wanted = false;
	c->working = true;
	return true;
}

static void work_done(struct cleaner *c, int r)
{
	MUTEX_SCOPE(&c->lock);
	c->working = false;
	c->error = r;
	cond_broadcast(&c->changed);
}

static void *cleaner_thread(void *arg)
{
	struct cleaner *c = arg;

	while (wait_for_work(c))
		work_done(c, clean(c));
	return NULL;
}

int cleaner_create(struct fs *fs)
{
	struct cleaner *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fs = fs;
	mutex_init(&c->lock, RANK_TABLE_OUTER);
	cond_init(&c->changed);
	fs->cleaner = c;
	return 0;
}

int cleaner_wake(struct fs *fs)
{
	struct cleaner *c = fs->cleaner;
	int r = 0;

	MUTEX_SCOPE(&c->lock);
	c->wanted = true;
	if (!c->thread_runs)
		r = -pthread_create(&c->thread, NULL, cleaner_thread, c);
	c->thread_runs = r == 0;
	cond_broadcast(&c->changed);
	return r;
}

/* 1: the data relocation tree has orphans. */
static int has_copies(struct fs *fs)
{
	struct key key = KEY(BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, 0);
	_cleanup_path_ struct path path = {};
	int r = fs->data_reloc_root ? tree_search_next(fs->data_reloc_root, &key, &path) : -ENOENT;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	key = path_key(&path);
	return key.objectid == BTRFS_ORPHAN_OBJECTID && key.type == BTRFS_ORPHAN_ITEM_KEY;
}

int cleaner_start(struct fs *fs)
{
	struct key key = KEY_MIN;
	int r;

	if (fs->readonly)
		return 0;
	mutex_lock(&fs->cleaner->lock);
	fs->cleaner->stopping = false;
	fs->cleaner->error = 0;
	mutex_unlock(&fs->cleaner->lock);
	r = has_copies(fs);
	if (r == 0) {
		r = dead_tree_next(fs, &key);
		r = r == -ENOENT ? 0 : r == 0 ? 1 : r;
	}
	return r > 0 ? cleaner_wake(fs) : r;
}

int cleaner_hold(struct fs *fs, bool (*stopped)(void *ctx), void *ctx)
{
	struct cleaner *c = fs->cleaner;

	for (;;) {
		if (stopped && stopped(ctx))
			return -ECANCELED;
		MUTEX_SCOPE(&c->lock);
		if (c->stopping)
			return -ECANCELED;
		if (!c->working && (c->held || !c->wanted)) {
			c->held += c->error == 0;
			return c->error;
		}
		(void)cond_timedwait_ms(&c->changed, &c->lock, ASK_MS);
	}
}

void cleaner_release(struct fs *fs)
{
	struct cleaner *c = fs->cleaner;

	MUTEX_SCOPE(&c->lock);
	if (--c->held == 0)
		cond_broadcast(&c->changed);
}

void cleaner_stop(struct fs *fs)
{
	struct cleaner *c = fs->cleaner;

	if (!c)
		return;
	mutex_lock(&c->lock);
	c->stopping = true;
	cond_broadcast(&c->changed);
	mutex_unlock(&c->lock);
	if (TAKE(c->thread_runs))
		pthread_join(c->thread, NULL);
}

void cleaner_destroy(struct fs *fs)
{
	struct cleaner *c = fs->cleaner;

	if (!c)
		return;
	cleaner_stop(fs);
	cond_destroy(&c->changed);
	mutex_destroy(&c->lock);
	free(c);
	fs->cleaner = NULL;
}
