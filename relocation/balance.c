/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance.c - the life of a balance: started, paused, taken up again, cancelled. See balance.h.
 *
 * Invariant: `present` from the moment a balance was accepted until it has ended and its item is
 * gone; `running` while its thread works. What it does is balance_run.c.
 */
#include "relocation/balance.h"

#include <errno.h>
#include <linux/btrfs_tree.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "core/tree/search.h"
#include "disk/base/lock.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "relocation/balance_item.h"
#include "relocation/balance_run.h"

struct balance {
	struct fs *fs;
	struct mutex lock; /* all below but the thread's own */
	struct cond ended;
	bool present, running;
	bool pause, cancel; /* asked for */
	bool joinable;
	pthread_t thread;
	struct btrfs_ioctl_balance_args args; /* flags and filters */

	struct balance_counts counts;

	/* constant while running */
	bool has_item;
	balance_done_fn *done;
	void *ctx;
	struct balance_filters filters; /* the thread's: limits count down */
};

/* ---- the thread ---- */

static bool stopped(void *ctx)
{
	struct balance *b = ctx;

	MUTEX_SCOPE(&b->lock);
	return b->pause || b->cancel;
}

/* What the ioctls show. Lock held. */
static struct btrfs_ioctl_balance_args snapshot(struct balance *b)
{
	struct btrfs_ioctl_balance_args args = b->args;

	args.state = (b->running ? BTRFS_BALANCE_STATE_RUNNING : 0) |
		     (b->pause ? BTRFS_BALANCE_STATE_PAUSE_REQ : 0) |
		     (b->cancel ? BTRFS_BALANCE_STATE_CANCEL_REQ : 0);
	args.stat.expected = atomic_load(&b->counts.expected);
	args.stat.considered = atomic_load(&b->counts.considered);
	args.stat.completed = atomic_load(&b->counts.completed);
	return args;
}

static int work(struct balance *b)
{
	struct stop_flag stop = { stopped, b };
	int r = b->has_item ? 0 : balance_item_write(b->fs, &b->args);

	if (r < 0)
		return r;
	b->has_item = true;
	return balance_run(b->fs, &b->filters, &stop, &b->counts);
}

static bool is_paused(struct balance *b, int err)
{
	MUTEX_SCOPE(&b->lock);
	return err == -ECANCELED && b->pause && !b->cancel && b->has_item;
}

/* The item of a balance that is over goes; the result of the whole. */
static int put_away(struct balance *b, int err)
{
	int r = TAKE(b->has_item) && fs_error(b->fs) == 0 ? balance_item_delete(b->fs) : 0;

	if (r < 0 && r != -ENOENT)
		log_fault("balance: its item cannot be deleted: %s", strerror(-r));
	return err < 0 || r == -ENOENT ? err : r;
}

/* Lock held; the walk is over. */
static void put_limits(struct balance *b)
{
	if (b->args.flags & BTRFS_BALANCE_DATA)
		balance_filter_put_limit(&b->filters.data, &b->args.data);
	if (b->args.flags & BTRFS_BALANCE_METADATA)
		balance_filter_put_limit(&b->filters.metadata, &b->args.meta);
	if (b->args.flags & BTRFS_BALANCE_SYSTEM)
		balance_filter_put_limit(&b->filters.system, &b->args.sys);
}

static void *balance_thread(void *arg)
{
	struct balance *b = arg;
	struct btrfs_ioctl_balance_args args;
	balance_done_fn *done = b->done;
	void *ctx = b->ctx;
	int r = work(b);
	bool paused = is_paused(b, r);

	if (!paused)
		r = put_away(b, r);
	mutex_lock(&b->lock);
	b->running = false;
	b->present = paused;
	put_limits(b);
	args = snapshot(b);
	cond_broadcast(&b->ended);
	mutex_unlock(&b->lock);
	if (done)
		done(ctx, r, &args);
	return NULL;
}

static void join_ended(struct balance *b)
{
	if (b->joinable)
		pthread_join(b->thread, NULL);
	b->joinable = false;
}

/* Lock held; nothing runs. */
static int launch(struct balance *b, balance_done_fn *done, void *ctx)
{
	int r;

	join_ended(b);
	b->counts = (struct balance_counts){};
	b->pause = b->cancel = false;
	b->done = done;
	b->ctx = ctx;
	r = -pthread_create(&b->thread, NULL, balance_thread, b);
	b->running = b->joinable = r == 0;
	b->present = b->running || b->has_item;
	return r;
}

/* ---- may it? ---- */

static int prepare(struct fs *fs, const struct btrfs_ioctl_balance_args *args,
		   struct balance_filters *filters)
{
	struct balance_profiles now = {
		.metadata = space_profiles(fs, BTRFS_BLOCK_GROUP_METADATA),
		.system = space_profiles(fs, BTRFS_BLOCK_GROUP_SYSTEM),
	};
	struct reason why = {};
	int r = balance_filters_parse(args, filters, &why);

	if (r == 0)
		r = balance_filters_check_redundancy(filters, args->flags, &now, &why);
	if (r < 0 && why.text[0])
		log_info("balance refused: %s", why.text);
	return r;
}

/* ---- from outside ---- */

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

/* The paused one goes on: by the rule for one whose progress nobody knows, but limits go on counting. */
static int resume(struct balance *b, balance_done_fn *done, void *ctx)
{
	struct balance_filters left = b->filters;
	struct reason why = {};
	int r;

	if (!b->present)
		return -ENOTCONN;
	if (b->running)
		return -EINPROGRESS;
	b->args.flags |= BTRFS_BALANCE_RESUME;
	if (GUARD(resume_rule))
		balance_args_resume(&b->args);
	r = balance_filters_parse(&b->args, &b->filters, &why);
	if (r < 0)
		return r;
	b->filters.data.limit_max = left.data.limit_max;
	b->filters.metadata.limit_max = left.metadata.limit_max;
	b->filters.system.limit_max = left.system.limit_max;
	return launch(b, done, ctx);
}

int balance_start(struct fs *fs, const struct btrfs_ioctl_balance_args *args,
		  balance_done_fn *done, void *ctx)
{
	bool resumes = args->flags & BTRFS_BALANCE_RESUME;
	struct balance *b = fs->relocation;
	struct balance_filters filters;
	int r = fs_error(fs);

	if (r == 0 && !resumes)
		r = prepare(fs, args, &filters);
	if (r < 0)
		return r;
	MUTEX_SCOPE(&b->lock);
	if (resumes)
		return resume(b, done, ctx);
	if (b->present && GUARD(exclop))
		return -EINPROGRESS;
	b->args = *args;
	b->filters = filters;
	return launch(b, done, ctx);
}

int balance_recover(struct fs *fs, bool skip)
{
	struct balance *b = fs->relocation;
	struct btrfs_ioctl_balance_args args;
	struct balance_filters filters;
	int r = balance_item_read(fs, &args);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	args.flags &= BTRFS_BALANCE_TYPE_MASK | BTRFS_BALANCE_FORCE;
	r = prepare(fs, &args, &filters);
	if (r == -EOPNOTSUPP || r == -EINVAL) {
		skip = true; /* it can be cancelled, or the kernel takes it up */
		r = 0;
	}
	if (r < 0)
		return r;
	MUTEX_SCOPE(&b->lock);
	b->args = args;
	b->filters = filters;
	b->has_item = b->present = true;
	if (skip) {
		log_info("balance: paused, its resumption is skipped");
		return 0;
	}
	log_info("balance: resumed");
	return resume(b, NULL, NULL);
}

/* Lock held. */
static void wait_ended(struct balance *b)
{
	while (b->running)
		cond_wait(&b->ended, &b->lock);
}

void balance_request_stop(struct fs *fs)
{
	struct balance *b = fs->relocation;

	MUTEX_SCOPE(&b->lock);
	b->cancel = true;
}

int balance_pause(struct fs *fs)
{
	struct balance *b = fs->relocation;

	MUTEX_SCOPE(&b->lock);
	if (!b->running)
		return -ENOTCONN;
	b->pause = true;
	wait_ended(b);
	b->pause = false;
	return 0;
}

int balance_cancel(struct fs *fs)
{
	struct balance *b = fs->relocation;
	int r = 0;

	MUTEX_SCOPE(&b->lock);
	if (!b->present)
		return -ENOTCONN;
	if (b->running) {
		b->cancel = true;
		wait_ended(b);
		return 0;
	}
	r = fs_error(fs);
	b->running = r == 0; /* keeps others away */
	mutex_unlock(&b->lock);
	if (r == 0)
		r = put_away(b, 0);
	mutex_lock(&b->lock);
	b->running = false;
	b->present = r < 0;
	b->has_item = r < 0;
	cond_broadcast(&b->ended);
	return r;
}

int balance_progress(struct fs *fs, struct btrfs_ioctl_balance_args *ret)
{
	struct balance *b = fs->relocation;

	MUTEX_SCOPE(&b->lock);
	if (!b->present)
		return -ENOTCONN;
	*ret = snapshot(b);
	return 0;
}

void balance_shutdown(struct fs *fs)
{
	struct balance *b = fs->relocation;

	if (!b)
		return;
	mutex_lock(&b->lock);
	b->pause = true;
	wait_ended(b);
	mutex_unlock(&b->lock);
	join_ended(b);
	cond_destroy(&b->ended);
	mutex_destroy(&b->lock);
	free(b);
	fs->relocation = NULL;
}
