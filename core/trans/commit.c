/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commit.c - how a transaction becomes durable, and the thread that sees to it from time to time.
 *
 * Commits are pipelined: joins are kept out while the running transaction settles and is frozen; then the
 * next one runs while the frozen one is written. One is written at a time, and the next is not frozen before
 * that is durable.
 *
 * A failure before the primary superblock is durable leaves the previous transaction in force: the file
 * system is aborted, nothing of this one or of a later one is ever referenced, and everybody who waits
 * for one of them gets the error. The other way round an operation that aborts the next transaction does
 * not keep the frozen one from becoming durable: that has nothing of it.
 */
#include <errno.h>
#include <string.h>

#include "core/file/file.h"
#include "core/fs.h"
#include "core/log/log_write.h"
#include "core/quota/qgroup.h"
#include "core/space/space.h"
#include "core/trans/trans_mgr.h"
#include "core/tree/node_cache.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/volume/volume.h"

#define DEFAULT_COMMIT_S 30u
#define UNPIN_POLL_MS 10
#define MS 1000000ull

/* From here on a change in memory (an inode item, content in place) is the next commit's. */
static void begin_settling(struct trans_mgr *m)
{
	MUTEX_SCOPE(&m->lock);
	m->settling = true;
	m->late = false;
}

/* The next transaction runs from here on; joins stay blocked until our caller lets them in. */
static void run_next(struct trans_mgr *m)
{
	struct transaction *frozen = m->running, *next;

	MUTEX_SCOPE(&m->lock);
	next = frozen == &m->slots[0] ? &m->slots[1] : &m->slots[0];
	next->transid = frozen->transid + 1;
	next->dirty = m->late;
	m->settling = false;
	m->writing = frozen;
	m->running = next;
}

static int settle_and_freeze(struct fs *fs, struct trans *trans)
{
	int r = atomic_load(&fs->error);

	begin_settling(fs->trans);
	if (r == 0)
		r = settle(trans);
	if (r == 0)
		r = atomic_load(&fs->error);
	if (r < 0) {
		fs_abort(fs, r, "settling the transaction");
		space_commit_failed(fs);
		return r;
	}
	transaction_freeze(fs, trans->tx);
	run_next(fs->trans);
	return 0;
}

static int freeze_running(struct fs *fs)
{
	struct trans trans = {};
	u64 held_ns;
	int r = settle_ahead(fs);

	if (r == 0)
		r = joins_block(fs, &trans);
	if (r < 0)
		return r;
	r = settle_and_freeze(fs, &trans);
	held_ns = joins_unblock(fs);
	MUTEX_SCOPE(&fs->trans->lock);
	fs->trans->freeze_ns = held_ns;
	return r;
}

static void publish(struct fs *fs, struct transaction *tx)
{
	struct trans_mgr *m = fs->trans;

	transaction_forget_nodes(tx);
	TRACE("commit.durable", .transid = tx->transid); /* before anybody hands out what it freed */
	unpin_later(fs, tx->transid);
	log_set_base(fs, &tx->super);
	MUTEX_SCOPE(&m->lock);
	m->durable = tx->transid;
	m->writing = NULL;
}

/* `committing` is ours. */
static int commit_running(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	const char *step = "";
	int r = freeze_running(fs);

	if (r < 0)
		return r;
	r = transaction_write(fs, m->writing, &step);
	if (r < 0) {
		fs_abort(fs, r, step);
		return r;
	}
	publish(fs, m->writing);
	node_cache_shrink(fs);
	return 0;
}

/* Lock held, but not over the commit. */
static int commit_as_the_one(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	int r;

	m->committing = true;
	mutex_unlock(&m->lock);
	r = commit_running(fs);
	mutex_lock(&m->lock);
	m->committing = false;
	cond_broadcast(&m->changed);
	return r;
}

int commit_until(struct fs *fs, u64 target)
{
	struct trans_mgr *m = fs->trans;
	int r = 0;

	MUTEX_SCOPE(&m->lock);
	while (m->durable < target && r == 0) {
		if (m->committing) /* ends in any case, and what is frozen may still succeed */
			cond_wait(&m->changed, &m->lock);
		else if (atomic_load(&fs->error))
			r = atomic_load(&fs->error);
		else
			r = commit_as_the_one(fs);
	}
	if (m->durable >= target)
		return 0;
	return atomic_load(&fs->error) ? atomic_load(&fs->error) : r;
}

/* What has to be durable for whoever asks now. Lock held. */
static u64 target_now(const struct trans_mgr *m)
{
	if (m->settling) /* what came too late for this one needs the next */
		return m->running->transid + m->late;
	if (m->running->dirty || m->blocked)
		return m->running->transid;
	return m->running->transid - 1;
}

int trans_wait_durable(struct fs *fs, u64 transid)
{
	return commit_until(fs, transid);
}

int commit_changes(struct fs *fs, bool *ret_flushed)
{
	struct trans_mgr *m = fs->trans;
	u64 target;

	mutex_lock(&m->lock);
	target = target_now(m);
	*ret_flushed = target >= m->running->transid;
	mutex_unlock(&m->lock);
	if (atomic_load(&fs->error))
		return atomic_load(&fs->error);
	return commit_until(fs, target);
}

int trans_commit(struct fs *fs)
{
	bool flushed;
	int r;

	if (fs->readonly)
		return 0;
	r = commit_changes(fs, &flushed);
	/* content that was written in place may be all there is */
	return r < 0 || flushed ? r : volume_flush(fs->vol);
}

int fs_sync(struct fs *fs)
{
	int r;

	if (fs->readonly)
		return 0;
	r = file_flush_all(fs);
	return r < 0 ? r : trans_commit(fs);
}

/* ---- the thread ---- */

enum work { WORK_STOP, WORK_WAIT, WORK_HURRY, WORK_DUE };

/* Sleeps until @due_ns, or until a commit is wanted (@busy: at once) or something pinned may be handed out. */
static enum work commit_thread_wait(struct trans_mgr *m, u64 due_ns, bool busy)
{
	u64 now = trans_now_ns();

	MUTEX_SCOPE(&m->lock);
	m->hurry |= busy;
	if (!m->stopping && !m->hurry && now < due_ns)
		cond_timedwait_ms(&m->tick, &m->lock,
				  m->unpin_count ? UNPIN_POLL_MS :
						   MIN((due_ns - now) / MS + 1, (u64)60000));
	if (m->stopping)
		return WORK_STOP;
	if (trans_now_ns() >= due_ns) {
		m->hurry = false;
		return WORK_DUE;
	}
	return TAKE(m->hurry) ? WORK_HURRY : WORK_WAIT;
}

static void commit_in_time(struct fs *fs, enum work work)
{
	bool flushed;
	int r = 0;

	if (fs_error(fs))
		return;
	if (work == WORK_DUE)
		r = file_flush_all(fs);
	if (r == 0)
		r = commit_changes(fs, &flushed);
	if (r < 0)
		log_fault("the periodic commit failed");
}

static void *commit_thread(void *arg)
{
	struct fs *fs = arg;
	u64 period_ns = 1000 * MS * (fs->opt.commit_s ? fs->opt.commit_s : DEFAULT_COMMIT_S);
	u64 due_ns = trans_now_ns() + period_ns;
	enum work work;

	while ((work = commit_thread_wait(fs->trans, due_ns, quota_rescan_runs(fs))) != WORK_STOP) {
		unpin_passed(fs);
		if (work == WORK_WAIT)
			continue;
		commit_in_time(fs, work);
		if (trans_now_ns() >= due_ns)
			due_ns = trans_now_ns() + period_ns;
	}
	return NULL;
}

int trans_mgr_start(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	int r;

	MUTEX_SCOPE(&m->lock);
	r = -pthread_create(&m->thread, NULL, commit_thread, fs);
	m->thread_runs = r == 0;
	return r;
}

void trans_mgr_stop(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	bool runs;

	if (!m)
		return;
	mutex_lock(&m->lock);
	runs = TAKE(m->thread_runs);
	m->stopping = true;
	cond_broadcast(&m->tick);
	cond_broadcast(&m->changed);
	mutex_unlock(&m->lock);
	if (runs)
		pthread_join(m->thread, NULL);
}
