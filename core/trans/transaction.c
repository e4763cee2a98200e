/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transaction.c - see transaction.h.
 *
 * Invariants: `blocked` is set by exactly one thread at a time; while it is set and `joined` is 0
 * that thread alone changes trees. A transaction's number is the durable one's plus 1.
 */
#include "core/trans/transaction.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/extent/delayed_ref.h"
#include "core/file/file.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/space/block_group.h"
#include "core/space/space.h"
#include "core/subvol/root_table.h"
#include "core/trans/epoch.h"
#include "core/trans/trans_mgr.h"
#include "core/tree/extent_buffer.h"
#include "core/tree/root.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define DEFAULT_COMMIT_S 30u
#define UNPIN_POLL_MS 10
#define RECLAIM_WAIT_MS 1000
#define DELAYED_REF_LIMIT 65536u

int fs_error(struct fs *fs)
{
	if (atomic_load(&fs->error))
		return -EROFS;
	return fs->readonly ? -EROFS : 0;
}

void fs_abort(struct fs *fs, int err, const char *what)
{
	int healthy = 0;

	if (!atomic_compare_exchange_strong(&fs->error, &healthy, err ? err : -EIO))
		return;
	log_fault("%s: %s: read-only from now on", what, strerror(-err));
	if (!fs->trans)
		return;
	MUTEX_SCOPE(&fs->trans->lock);
	cond_broadcast(&fs->trans->changed);
}

void trans_abort(struct trans *trans, int err, const char *what)
{
	fs_abort(trans->fs, err, what);
}

/* Joins wait here while a commit or an exclusive section runs. */
static int join_locked(struct trans_mgr *m, struct fs *fs, struct trans *ret)
{
	m->join_waits += m->blocked;
	while (m->blocked && !atomic_load(&fs->error))
		cond_wait(&m->changed, &m->lock);
	if (atomic_load(&fs->error))
		return -EROFS;
	m->running.joined++;
	m->running.dirty = true;
	ret->fs = fs;
	ret->tx = &m->running;
	ret->transid = m->running.transid;
	ret->exclusive = false;
	return 0;
}

static bool over_limit(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	u64 dirty;

	mutex_lock(&m->lock);
	dirty = m->running.node_count * (u64)fs->nodesize;
	mutex_unlock(&m->lock);
	return dirty > m->dirty_limit_bytes || delayed_refs_count(fs) > DELAYED_REF_LIMIT ||
	       quota_commit_due(fs);
}

static int join(struct fs *fs, unsigned items, bool release, struct trans *ret)
{
	struct trans_mgr *m = fs->trans;
	int r = fs_error(fs);

	memset(ret, 0, sizeof(*ret));
	if (r < 0)
		return r;
	SP("tx.join");
	if (over_limit(fs)) {
		r = trans_commit(fs);
		if (r < 0)
			return r;
	}
	r = space_reserve_meta(fs, items, release, &ret->rsv);
	if (r < 0)
		return r;
	mutex_lock(&m->lock);
	r = join_locked(m, fs, ret);
	mutex_unlock(&m->lock);
	if (r < 0)
		space_release_meta(fs, &ret->rsv);
	else
		rank_enter(ret, RANK_JOIN);
	return r;
}

int trans_join(struct fs *fs, unsigned items, struct trans *ret)
{
	return join(fs, items, false, ret);
}

int trans_join_release(struct fs *fs, unsigned items, struct trans *ret)
{
	return join(fs, items, true, ret);
}

void trans_end(struct trans *trans)
{
	struct trans_mgr *m;

	if (!trans->tx || trans->exclusive)
		return;
	m = trans->fs->trans;
	rank_exit(trans);
	mutex_lock(&m->lock);
	if (--trans->tx->joined == 0 && m->blocked)
		cond_broadcast(&m->changed);
	mutex_unlock(&m->lock);
	space_release_meta(trans->fs, &trans->rsv);
	trans->tx = NULL;
}

void trans_take_rsv(struct trans *trans, unsigned items, struct meta_rsv *ret)
{
	u64 bytes = MIN(trans->rsv.bytes, space_items_bytes(trans->fs, items));

	trans->rsv.bytes -= bytes;
	ret->bytes += bytes;
}

/* Takes the right to change trees alone. Lock held. */
static int block_joins(struct trans_mgr *m, struct fs *fs)
{
	while (m->blocked && !atomic_load(&fs->error))
		cond_wait(&m->changed, &m->lock);
	if (atomic_load(&fs->error))
		return -EROFS;
	m->blocked = true;
	return 0;
}

static void wait_joined(struct trans_mgr *m)
{
	while (m->running.joined)
		cond_wait(&m->changed, &m->lock);
}

static void unblock_joins(struct trans_mgr *m)
{
	m->blocked = false;
	cond_broadcast(&m->changed);
}

int trans_commit(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	u64 target;
	int r = 0;

	if (fs->readonly)
		return 0;
	mutex_lock(&m->lock);
	target = m->running.transid;
	if (m->settling)
		target += m->running.dirty; /* what came too late for this one needs the next */
	else if (!m->running.dirty && !m->blocked)
		target = m->durable;
	while (m->durable < target) {
		r = block_joins(m, fs);
		if (r < 0)
			break;
		if (m->durable < target) {
			mutex_unlock(&m->lock); /* nobody else is stopped by who is parked here */
			SP("tx.block");
			mutex_lock(&m->lock);
			wait_joined(m);
			mutex_unlock(&m->lock);
			r = commit_run(fs);
			mutex_lock(&m->lock);
		}
		unblock_joins(m);
		if (r < 0)
			break;
	}
	if (atomic_load(&fs->error))
		r = atomic_load(&fs->error);
	mutex_unlock(&m->lock);
	return r;
}

int fs_sync(struct fs *fs)
{
	int r;

	if (fs->readonly)
		return 0;
	r = file_flush_all(fs);
	return r < 0 ? r : trans_commit(fs);
}

/* Joins are blocked for us from here to trans_exclusive_end(). */
static int exclusive_enter(struct fs *fs, struct trans *ret)
{
	struct trans_mgr *m = fs->trans;
	int r;

	MUTEX_SCOPE(&m->lock);
	r = block_joins(m, fs);
	if (r < 0)
		return r;
	wait_joined(m);
	m->running.dirty = true;
	ret->fs = fs;
	ret->tx = &m->running;
	ret->transid = m->running.transid;
	ret->exclusive = true;
	return 0;
}

static int exclusive_begin(struct fs *fs, unsigned items, bool release, struct trans *ret)
{
	int r = fs_error(fs);

	memset(ret, 0, sizeof(*ret));
	if (r < 0)
		return r;
	r = SP_FAIL("tx.reserve");
	if (r == 0)
		r = space_reserve_meta(fs, items, release, &ret->rsv);
	if (!GUARD(reserve_switch))
		r = 0;
	if (r < 0)
		return r;
	r = exclusive_enter(fs, ret);
	if (r < 0) {
		space_release_meta(fs, &ret->rsv);
		return r;
	}
	r = delayed_refs_run(ret);
	if (r < 0) {
		trans_abort(ret, r, "applying references");
		(void)!trans_exclusive_end(ret, false);
	}
	return r;
}

int trans_exclusive_begin(struct fs *fs, unsigned items, struct trans *ret)
{
	return exclusive_begin(fs, items, false, ret);
}

int trans_exclusive_begin_release(struct fs *fs, unsigned items, struct trans *ret)
{
	return exclusive_begin(fs, items, true, ret);
}

int trans_exclusive_end(struct trans *trans, bool commit)
{
	struct fs *fs = trans->fs;
	struct trans_mgr *m = fs->trans;
	int r = atomic_load(&fs->error);

	if (r == 0 && commit)
		r = commit_run(fs);
	mutex_lock(&m->lock);
	unblock_joins(m);
	mutex_unlock(&m->lock);
	space_release_meta(fs, &trans->rsv);
	trans->tx = NULL;
	return r;
}

void trans_note_dirty(struct fs *fs)
{
	MUTEX_SCOPE(&fs->trans->lock);
	fs->trans->running.dirty = true;
}

u64 trans_join_waits(struct fs *fs)
{
	MUTEX_SCOPE(&fs->trans->lock);
	return fs->trans->join_waits;
}

u64 trans_running_id(struct fs *fs)
{
	MUTEX_SCOPE(&fs->trans->lock);
	return fs->trans->running.transid;
}

u64 trans_durable_id(struct fs *fs)
{
	MUTEX_SCOPE(&fs->trans->lock);
	return fs->trans->durable;
}

/* Lists grow outside of any error path: without memory for them nothing can be committed. */
static void *grow(void *list, size_t count, size_t *room)
{
	void *grown;

	if (count < *room)
		return list;
	*room = *room ? *room * 2 : 256;
	grown = reallocarray(list, *room, sizeof(void *));
	if (!grown)
		abort();
	return grown;
}

void trans_mark_root_dirty(struct trans *trans, struct root *root)
{
	struct transaction *tx = trans->tx;

	MUTEX_SCOPE(&trans->fs->trans->lock);
	if (root->dirty)
		return;
	root->dirty = true;
	atomic_fetch_add(&root->refs, 1);
	tx->roots = grow(tx->roots, tx->root_count, &tx->root_room);
	tx->roots[tx->root_count++] = root;
}

void trans_add_dirty(struct trans *trans, struct extent_buffer *eb)
{
	struct transaction *tx = trans->tx;

	if (atomic_fetch_or(&eb->flags, EB_DIRTY) & EB_DIRTY)
		return;
	eb_get(eb);
	MUTEX_SCOPE(&trans->fs->trans->lock);
	tx->nodes = grow(tx->nodes, tx->node_count, &tx->node_room);
	tx->nodes[tx->node_count++] = eb;
}

void transaction_forget(struct fs *fs, struct transaction *tx)
{
	for (size_t i = 0; i < tx->node_count; i++) {
		atomic_fetch_and(&tx->nodes[i]->flags, ~EB_DIRTY);
		eb_put(tx->nodes[i]);
	}
	tx->node_count = 0;
	for (size_t i = 0; i < tx->root_count; i++) {
		tx->roots[i]->dirty = false;
		root_put(tx->roots[i]);
	}
	tx->root_count = 0;
}

static bool first_unpin(struct trans_mgr *m, struct unpin_wait *ret)
{
	MUTEX_SCOPE(&m->lock);
	if (m->unpin_count == 0)
		return false;
	*ret = m->unpins[0];
	return true;
}

/* Another thread may have done the same one meanwhile. */
static void drop_unpin(struct trans_mgr *m, u64 transid)
{
	MUTEX_SCOPE(&m->lock);
	if (m->unpin_count && m->unpins[0].transid == transid)
		memmove(m->unpins, m->unpins + 1, --m->unpin_count * sizeof(m->unpins[0]));
}

/* Hands out again what was pinned for epochs that are over. True if some still wait. */
static bool unpin_passed(struct fs *fs)
{
	struct unpin_wait first;

	while (first_unpin(fs->trans, &first)) {
		if (!epoch_passed(fs, first.epoch) && GUARD(epoch))
			return true;
		SP("tx.unpin", .transid = first.transid);
		space_unpin(fs, first.transid);
		drop_unpin(fs->trans, first.transid);
	}
	return false;
}

int trans_reclaim(struct fs *fs)
{
	const struct timespec tick = { .tv_nsec = 2000000 };
	int r = trans_commit(fs);

	for (int waited = 0; r == 0 && waited < RECLAIM_WAIT_MS; waited += 2) {
		if (!unpin_passed(fs))
			break;
		nanosleep(&tick, NULL);
	}
	return r;
}

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* Sleeps until @due or until something pinned may be handed out. False: time to stop. */
static bool commit_thread_wait(struct trans_mgr *m, u64 due)
{
	u64 now = now_ms();

	MUTEX_SCOPE(&m->lock);
	if (!m->stopping && now < due)
		cond_timedwait_ms(&m->tick, &m->lock,
				  m->unpin_count ? UNPIN_POLL_MS : MIN(due - now, (u64)60000));
	return !m->stopping;
}

static void *commit_thread(void *arg)
{
	struct fs *fs = arg;
	u64 period_ms = 1000 * (u64)(fs->opt.commit_s ? fs->opt.commit_s : DEFAULT_COMMIT_S);
	u64 due = now_ms() + period_ms;

	while (commit_thread_wait(fs->trans, quota_rescan_runs(fs) ? 0 : due)) {
		unpin_passed(fs);
		if (quota_rescan_runs(fs) && trans_commit(fs) < 0)
			log_fault("a commit for the rescan of quotas failed");
		if (now_ms() < due)
			continue;
		if (fs_error(fs) == 0 && fs_sync(fs) < 0)
			log_fault("the periodic commit failed");
		due = now_ms() + period_ms;
	}
	return NULL;
}

int trans_mgr_create(struct fs *fs)
{
	struct trans_mgr *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	mutex_init(&m->lock, RANK_TRANS);
	cond_init(&m->changed);
	cond_init(&m->tick);
	m->durable = get_le64(&fs->super.generation);
	m->running.transid = m->durable + 1;
	m->dirty_limit_bytes = MIN((u64)64 << 20, fs->opt.cache_bytes / 2);
	fs->trans = m;
	return 0;
}

int trans_mgr_start(struct fs *fs)
{
	int r = -pthread_create(&fs->trans->thread, NULL, commit_thread, fs);

	fs->trans->thread_runs = r == 0;
	return r;
}

void trans_mgr_stop(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;

	if (!m || !m->thread_runs)
		return;
	mutex_lock(&m->lock);
	m->stopping = true;
	cond_broadcast(&m->tick);
	mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	m->thread_runs = false;
}

void trans_mgr_destroy(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;

	if (!m)
		return;
	trans_mgr_stop(fs);
	transaction_forget(fs, &m->running);
	free(m->running.nodes);
	free(m->running.roots);
	cond_destroy(&m->changed);
	cond_destroy(&m->tick);
	mutex_destroy(&m->lock);
	free(m);
	fs->trans = NULL;
}
