/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance.c - see balance.h. */
#include "relocation/balance.h"

#include <errno.h>
#include <linux/btrfs_tree.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/fs.h"
#include "core/space/block_group.h"
#include "core/trans/transaction.h"
#include "core/tree/search.h"
#include "disk/base/lock.h"
#include "disk/base/log.h"
#include "disk/volume/volume.h"
#include "relocation/filter.h"
#include "relocation/group.h"

struct balance {
	struct fs *fs;
	struct mutex lock; /* all below but the thread's own */
	struct cond ended;
	bool running;
	bool stop;
	bool joinable;
	pthread_t thread;
	struct btrfs_ioctl_balance_args args; /* as asked for, and what was done so far */

	/* constant while running */
	balance_done_fn *done;
	void *ctx;
	struct balance_filters filters;
};

/* Chunks as they were at the start, in ascending order. */
struct chunk_list {
	struct chunk **v;
	size_t count;
};

static void chunk_list_free(struct chunk_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		chunk_put(list->v[i]);
	free(list->v);
}

static int chunk_list_fill(struct fs *fs, struct chunk_list *list)
{
	struct chunk_map *map = volume_chunks(fs->vol);
	struct chunk *chunk;

	for (u64 at = 0; (chunk = chunk_map_next(map, at)); at = chunk->logical + chunk->length) {
		struct chunk **v = reallocarray(list->v, list->count + 1, sizeof(struct chunk *));

		if (!v) {
			chunk_put(chunk);
			return -ENOMEM;
		}
		list->v = v;
		v[list->count++] = chunk;
	}
	return 0;
}

static u64 group_used(struct block_group *bg)
{
	MUTEX_SCOPE(&bg->lock);
	return bg->used;
}

/* Does the group pass the filters now, `limit` aside? */
static bool matches(struct fs *fs, struct balance_filters *filters, const struct chunk *chunk)
{
	_cleanup_group_ struct block_group *bg = block_group_find(fs, chunk->logical);

	return bg && balance_filter_match(balance_filter_for(filters, chunk->type), chunk,
					  group_used(bg));
}

/* A first look: how many will be taken, and which types have fewer than their minimum. */
static u64 count_expected(struct fs *fs, struct balance_filters *filters,
			  const struct chunk_list *list)
{
	struct balance_filters left = *filters;
	u64 expected = 0, seen[3] = { 0 };
	struct balance_filter *of[3] = { &left.data, &left.metadata, &left.system };

	for (size_t i = list->count; i-- > 0;) {
		const struct chunk *chunk = list->v[i];
		struct balance_filter *f = balance_filter_for(&left, chunk->type);

		if (!matches(fs, filters, chunk) || f->limit_max == 0)
			continue;
		f->limit_max--;
		for (unsigned t = 0; t < 3; t++)
			seen[t] += f == of[t];
		expected++;
	}
	filters->data.wanted &= seen[0] >= left.data.limit_min;
	filters->metadata.wanted &= seen[1] >= left.metadata.limit_min;
	filters->system.wanted &= seen[2] >= left.system.limit_min;
	return expected;
}

static bool stopped(void *ctx)
{
	struct balance *b = ctx;

	MUTEX_SCOPE(&b->lock);
	return b->stop;
}

static void count(struct balance *b, __u64 *counter)
{
	MUTEX_SCOPE(&b->lock);
	++*counter;
}

static int balance_chunk(struct balance *b, const struct chunk *chunk)
{
	_cleanup_group_ struct block_group *bg = NULL;
	struct balance_filter *f = balance_filter_for(&b->filters, chunk->type);
	struct stop_flag stop = { stopped, b };
	int r;

	count(b, &b->args.stat.considered);
	if (!matches(b->fs, &b->filters, chunk) || f->limit_max == 0)
		return 0;
	f->limit_max--;
	bg = block_group_find(b->fs, chunk->logical);
	if (!bg)
		return 0;
	r = group_relocate(b->fs, bg, &stop);
	if (r == 0)
		count(b, &b->args.stat.completed);
	return r;
}

/* Out of space for one group does not end it: a smaller one may still fit. */
static int balance_chunks(struct balance *b, const struct chunk_list *list)
{
	u64 no_space = 0;
	u64 expected = count_expected(b->fs, &b->filters, list);

	mutex_lock(&b->lock);
	b->args.stat.expected = expected;
	mutex_unlock(&b->lock);
	for (size_t i = list->count; i-- > 0;) {
		int r = stopped(b) ? -ECANCELED : balance_chunk(b, list->v[i]);

		if (r == -ENOSPC)
			no_space++;
		else if (r < 0)
			return r;
	}
	if (no_space)
		log_info("balance: no space to move %llu block groups",
			 (unsigned long long)no_space);
	return no_space ? -ENOSPC : 0;
}

static int balance_run(struct balance *b)
{
	_cleanup_(chunk_list_free) struct chunk_list list = {};
	int r = chunk_list_fill(b->fs, &list);

	return r < 0 ? r : balance_chunks(b, &list);
}

static void *balance_thread(void *arg)
{
	struct balance *b = arg;
	struct btrfs_ioctl_balance_args args;
	balance_done_fn *done = b->done;
	void *ctx = b->ctx;
	int r = balance_run(b);

	mutex_lock(&b->lock);
	b->args.state = 0;
	args = b->args;
	b->running = false;
	cond_broadcast(&b->ended);
	mutex_unlock(&b->lock);
	done(ctx, r, &args);
	return NULL;
}

/* A subvolume that is half deleted has nodes with references that its root does not lead to. */
static int refuse_half_deleted(struct fs *fs)
{
	struct key key = { BTRFS_FIRST_FREE_OBJECTID, BTRFS_ROOT_ITEM_KEY, 0 };
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(fs->tree_root, &key, &path);

	for (; r >= 0; r = tree_next(&path)) {
		struct btrfs_root_item item = {};

		if (path_at_end(&path))
			return 0;
		key = path_key(&path);
		if (key.objectid > BTRFS_LAST_FREE_OBJECTID)
			return 0;
		if (key.type != BTRFS_ROOT_ITEM_KEY)
			continue;
		memcpy(&item, path_data(&path), MIN((size_t)path_size(&path), sizeof(item)));
		if (get_le32(&item.refs) || item.drop_progress.objectid)
			continue;
		log_fault("balance refused: subvolume %llu is half deleted",
			  (unsigned long long)key.objectid);
		return -EOPNOTSUPP;
	}
	return r == -ENOENT ? 0 : r;
}

int balance_create(struct fs *fs)
{
	struct balance *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->fs = fs;
	mutex_init(&b->lock, RANK_TABLE_OUTER);
	cond_init(&b->ended);
	fs->relocation = b;
	return 0;
}

static void join_ended(struct balance *b)
{
	if (b->joinable)
		pthread_join(b->thread, NULL);
	b->joinable = false;
}

int balance_start(struct fs *fs, const struct btrfs_ioctl_balance_args *args,
		  balance_done_fn *done, void *ctx)
{
	struct balance *b = fs->relocation;
	struct balance_filters filters;
	struct reason why = {};
	int r = fs_error(fs);

	if (r == 0)
		r = balance_filters_parse(args, &filters, &why);
	if (r < 0 && why.text[0])
		log_info("balance refused: %s", why.text);
	if (r == 0)
		r = refuse_half_deleted(fs);
	if (r < 0)
		return r;
	MUTEX_SCOPE(&b->lock);
	if (b->running)
		return -EINPROGRESS;
	join_ended(b);
	b->args = *args;
	b->args.state = BTRFS_BALANCE_STATE_RUNNING;
	b->args.stat = (struct btrfs_balance_progress){};
	b->filters = filters;
	b->stop = false;
	b->done = done;
	b->ctx = ctx;
	r = -pthread_create(&b->thread, NULL, balance_thread, b);
	b->running = b->joinable = r == 0;
	return r;
}

void balance_request_stop(struct fs *fs)
{
	struct balance *b = fs->relocation;

	MUTEX_SCOPE(&b->lock);
	b->stop = true;
	b->args.state |= b->running ? BTRFS_BALANCE_STATE_CANCEL_REQ : 0;
}

int balance_cancel(struct fs *fs)
{
	struct balance *b = fs->relocation;

	MUTEX_SCOPE(&b->lock);
	if (!b->running)
		return -ENOTCONN;
	b->stop = true;
	b->args.state |= BTRFS_BALANCE_STATE_CANCEL_REQ;
	while (b->running)
		cond_wait(&b->ended, &b->lock);
	return 0;
}

int balance_progress(struct fs *fs, struct btrfs_ioctl_balance_args *ret)
{
	struct balance *b = fs->relocation;

	MUTEX_SCOPE(&b->lock);
	if (!b->running)
		return -ENOTCONN;
	*ret = b->args;
	return 0;
}

void balance_shutdown(struct fs *fs)
{
	struct balance *b = fs->relocation;

	if (!b)
		return;
	balance_request_stop(fs);
	join_ended(b);
	cond_destroy(&b->ended);
	mutex_destroy(&b->lock);
	free(b);
	fs->relocation = NULL;
}
