/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transaction.c - see transaction.h.
 *
 * Invariants: `blocked` is set by exactly one thread at a time; while it is set and nobody is joined
 * that thread alone changes trees. The running transaction's number is the durable one's plus 1, or
 * plus 2 while one is being written.
 */
#include "core/trans/transaction.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/extent/delayed_ref.h"
#include "core/fs.h"
#include "core/log/log_write.h"
#include "core/quota/qgroup.h"
#include "core/space/space.h"
#include "core/subvol/root_table.h"
#include "core/trans/trans_mgr.h"
#include "core/tree/extent_buffer.h"
#include "core/tree/root.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

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

/* ---- joining ---- */

/* Those who wait are let in before the next block, however soon that comes. */
static void wait_unblocked(struct trans_mgr *m, struct fs *fs)
{
	m->join_waits++;
	m->waiting++;
	while (m->blocked && !atomic_load(&fs->error))
		cond_wait(&m->changed, &m->lock);
	m->waiting--;
	if (m->owed && --m->owed == 0)
		cond_broadcast(&m->changed);
}

/* Joins wait here while a commit freezes or an exclusive section runs. */
static int join_locked(struct trans_mgr *m, struct fs *fs, struct trans *ret)
{
	if (m->blocked)
		wait_unblocked(m, fs);
	if (atomic_load(&fs->error))
		return -EROFS;
	m->running->joined++;
	m->running->dirty = true;
	ret->fs = fs;
	ret->tx = m->running;
	ret->transid = m->running->transid;
	ret->exclusive = false;
	return 0;
}

enum load { LOAD_LIGHT, LOAD_HEAVY, LOAD_FULL };

/* Lock held. */
static enum load load_of(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	u64 dirty = m->running->node_count * (u64)fs->nodesize, refs = delayed_refs_count(fs);

	if (dirty > m->dirty_limit_bytes || refs > DELAYED_REF_LIMIT || quota_commit_due(fs))
		return LOAD_FULL;
	return dirty > m->dirty_limit_bytes / 2 || refs > DELAYED_REF_LIMIT / 2 ? LOAD_HEAVY :
										  LOAD_LIGHT;
}

/* A large transaction is committed soon, by the commit thread. Whoever would make one too large waits until it
 * is frozen, for one who is committing: never for the commit thread to begin, since that may be waiting for
 * a lock of ours, or be us. True: nobody is, the caller has to commit himself. */
static bool throttle(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;
	enum load load;
	u64 id;

	MUTEX_SCOPE(&m->lock);
	load = load_of(fs);
	id = m->running->transid;
	if (load == LOAD_HEAVY && !m->hurry && !m->committing) {
		m->hurry = true;
		cond_signal(&m->tick);
	}
	if (load != LOAD_FULL)
		return false;
	while (m->committing && m->running->transid == id)
		cond_wait(&m->changed, &m->lock);
	return m->running->transid == id;
}

static int join(struct fs *fs, unsigned items, bool release, struct trans *ret)
{
	struct trans_mgr *m = fs->trans;
	int r = fs_error(fs);

	memset(ret, 0, sizeof(*ret));
	if (r < 0)
		return r;
	SP("tx.join");
	if (throttle(fs)) {
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

/* ---- keeping joins out ---- */

/* Takes the right to change trees alone. Lock held. */
static int block_locked(struct trans_mgr *m, struct fs *fs)
{
	while ((m->blocked || m->owed) && !atomic_load(&fs->error))
		cond_wait(&m->changed, &m->lock);
	if (atomic_load(&fs->error))
		return -EROFS;
	m->blocked = true;
	m->blocked_at_ns = trans_now_ns();
	return 0;
}

static void wait_joined(struct trans_mgr *m)
{
	MUTEX_SCOPE(&m->lock);
	while (m->running->joined)
		cond_wait(&m->changed, &m->lock);
}

int joins_block(struct fs *fs, struct trans *ret)
{
	struct trans_mgr *m = fs->trans;
	int r;

	mutex_lock(&m->lock);
	r = block_locked(m, fs);
	mutex_unlock(&m->lock);
	if (r < 0)
		return r;
	SP("tx.block"); /* nobody else is stopped by who is parked here */
	wait_joined(m);
	ret->fs = fs;
	ret->tx = m->running;
	ret->transid = m->running->transid;
	ret->exclusive = true;
	return 0;
}

u64 joins_unblock(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;

	MUTEX_SCOPE(&m->lock);
	m->blocked = false;
	m->owed = m->waiting;
	cond_broadcast(&m->changed);
	return trans_now_ns() - m->blocked_at_ns;
}

static void leave(struct trans *trans)
{
	trans->held_ns = joins_unblock(trans->fs);
}

static int exclusive_enter(struct fs *fs, struct trans *ret)
{
	int r = settle_ahead(fs);

	if (r == 0)
		r = joins_block(fs, ret);
	if (r < 0)
		return r;
	trans_note_dirty(fs);
	log_must_commit(ret); /* whatever the section changes, a log does not tell it */
	r = delayed_refs_run(ret);
	if (r < 0) {
		trans_abort(ret, r, "applying references");
		leave(ret);
	}
	return r;
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
	if (r < 0)
		space_release_meta(fs, &ret->rsv);
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

/* How long the commit after the section kept joins out counts as well: it applies what that queued. */
static int commit_section(struct trans *trans)
{
	struct trans_mgr *m = trans->fs->trans;
	int r = commit_until(trans->fs, trans->transid);

	MUTEX_SCOPE(&m->lock);
	trans->held_ns = MAX(trans->held_ns, m->freeze_ns);
	return r;
}

int trans_exclusive_end(struct trans *trans, bool commit)
{
	int r = atomic_load(&trans->fs->error);

	leave(trans);
	if (r == 0 && commit)
		r = commit_section(trans);
	space_release_meta(trans->fs, &trans->rsv);
	trans->tx = NULL;
	return r;
}

/* ---- what there is to commit ---- */

void trans_note_dirty(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;

	MUTEX_SCOPE(&m->lock);
	if (m->settling)
		m->late = true;
	else
		m->running->dirty = true;
}

u64 trans_join_waits(struct fs *fs)
{
	MUTEX_SCOPE(&fs->trans->lock);
	return fs->trans->join_waits;
}

u64 trans_running_id(struct fs *fs)
{
	MUTEX_SCOPE(&fs->trans->lock);
	return fs->trans->running->transid;
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

	if (root->log) /* its place is nowhere in the trees of the transaction */
		return;
	MUTEX_SCOPE(&trans->fs->trans->lock);
	if (root->dirty)
		return;
	root->dirty = true;
	atomic_fetch_add(&root->refs, 1);
	tx->roots = grow(tx->roots, tx->root_count, &tx->root_room);
	tx->roots[tx->root_count++] = root;
}

void trans_forget_root(struct trans *trans, struct root *root)
{
	struct transaction *tx = trans->tx;
	size_t kept = 0;

	MUTEX_SCOPE(&trans->fs->trans->lock);
	for (size_t i = 0; i < tx->root_count; i++)
		if (tx->roots[i] != root)
			tx->roots[kept++] = tx->roots[i];
	if (kept == tx->root_count)
		return;
	tx->root_count = kept;
	root->dirty = false;
	root_put(root); /* the list's */
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

void transaction_forget_nodes(struct transaction *tx)
{
	for (size_t i = 0; i < tx->node_count; i++) {
		eb_clear(tx->nodes[i], EB_DIRTY);
		eb_put(tx->nodes[i]);
	}
	tx->node_count = 0;
}

void transaction_forget_roots(struct transaction *tx)
{
	for (size_t i = 0; i < tx->root_count; i++) {
		tx->roots[i]->dirty = false;
		root_put(tx->roots[i]);
	}
	tx->root_count = 0;
}

/* ---- life ---- */

int trans_mgr_create(struct fs *fs)
{
	struct trans_mgr *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	mutex_init(&m->lock, RANK_TRANS);
	cond_init(&m->changed);
	cond_init(&m->tick);
	m->durable = get_le64(&fs->super.generation);
	m->running = &m->slots[0];
	m->running->transid = m->durable + 1;
	m->dirty_limit_bytes = MIN((u64)64 << 20, fs->opt.cache_bytes / 2);
	fs->trans = m;
	return 0;
}

void trans_mgr_destroy(struct fs *fs)
{
	struct trans_mgr *m = fs->trans;

	if (!m)
		return;
	trans_mgr_stop(fs);
	for (size_t i = 0; i < ARRAY_SIZE(m->slots); i++) {
		transaction_forget_nodes(&m->slots[i]);
		transaction_forget_roots(&m->slots[i]);
		free(m->slots[i].nodes);
		free(m->slots[i].roots);
	}
	cond_destroy(&m->changed);
	cond_destroy(&m->tick);
	mutex_destroy(&m->lock);
	free(m);
	fs->trans = NULL;
}
