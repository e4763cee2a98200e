/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_sync.c - making what was logged durable, and what keeps that from being possible; log_write.h.
 *
 * One sync writes what many have logged: whoever finds none running freezes the trees, then writes and
 * flushes without the mutex, while others log on, into copies, for the next sync. All of them are joined,
 * so the transaction does not end under them, and no superblock of a commit comes in between.
 */
#include "core/file/file.h"
#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/log/log_trees.h"
#include "core/log/log_write.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/volume/volume.h"

#define TRIES 3

int tree_log_create(struct fs *fs)
{
	struct tree_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log_changes_init(&log->changes);
	mutex_init(&log->lock, RANK_TREE_LOG);
	cond_init(&log->changed);
	log->next_sync = 1;
	log->base = fs->super;
	fs->log = log;
	return 0;
}

void tree_log_destroy(struct fs *fs)
{
	struct tree_log *log = fs->log;

	if (!log)
		return;
	log_trees_free(log);
	log_changes_destroy(&log->changes);
	cond_destroy(&log->changed);
	mutex_destroy(&log->lock);
	free(log);
	fs->log = NULL;
}

/* ---- told by others ---- */

void log_must_commit(struct trans *trans)
{
	log_changes_must_commit(&trans->fs->log->changes, trans->transid);
}

void log_name_dropped(struct trans *trans, u64 root_id, u64 dir, struct name name, u64 index)
{
	struct log_changes *changes = &trans->fs->log->changes;

	log_changes_add(changes, trans->transid, log_change_name(root_id, dir, name));
	log_changes_add(changes, trans->transid, log_change_index(root_id, dir, index));
}

void log_inode_renamed(struct trans *trans, u64 root_id, u64 ino)
{
	log_changes_add(&trans->fs->log->changes, trans->transid, log_change_inode(root_id, ino));
}

void log_extents_changed(struct trans *trans, struct inode *inode, u64 start, u64 end)
{
	bool noted;

	if (start >= end)
		return;
	mutex_lock(&inode->attr_lock);
	if (inode->log.changed_transid != trans->transid)
		inode->log.changed.count = 0;
	inode->log.changed_transid = trans->transid;
	inode->log.news = true;
	noted = log_ranges_add(&inode->log.changed, start, end) == 0;
	mutex_unlock(&inode->attr_lock);
	if (!noted)
		log_must_commit(trans);
}

int log_settle(struct trans *trans)
{
	struct tree_log *log = trans->fs->log;

	MUTEX_SCOPE(&log->lock);
	return log_trees_drop(trans, log);
}

void log_set_base(struct fs *fs, const struct btrfs_super_block *sb)
{
	MUTEX_SCOPE(&fs->log->lock);
	fs->log->base = *sb;
}

/* ---- syncs ---- */

/* Would the superblock of the transaction before not do? The log's mutex is held. */
static bool forbidden(struct trans *trans, const struct tree_log *log)
{
	struct fs *fs = trans->fs;

	return log_changes_forbid(&fs->log->changes, trans->transid) ||
	       get_le64(&log->base.generation) + 1 != trans->transid || space_chunks_pending(fs) ||
	       (atomic_load(&fs->incompat_used) & ~get_le64(&log->base.incompat_flags));
}

/* The trees cannot be told any more in this transaction. */
static int give_up(struct trans *trans, int err)
{
	if (err < 0 && err != -ENOSPC && err != -ENOMEM)
		log_fault("writing a log tree: %s: committing instead", strerror(-err));
	log_must_commit(trans);
	return 1;
}

static int write_frozen(struct fs *fs, const struct log_nodes *frozen, struct btrfs_super_block *sb)
{
	int r = log_nodes_write(fs, frozen);

	if (r == 0 && GUARD(copy_flush))
		r = volume_flush(fs->vol);
	SP("fy.log");
	if (r == 0)
		r = volume_write_super(fs->vol, sb, SUPER_PRIMARY);
	return r < 0 ? r : volume_flush(fs->vol);
}

/* Everything logged so far becomes durable. Mutex held, but not over the writing. */
static int sync_all(struct trans *trans, struct tree_log *log)
{
	_cleanup_log_nodes_ struct log_nodes frozen = {};
	struct btrfs_super_block sb = log->base;
	struct fs *fs = trans->fs;
	u64 sync = log->next_sync;
	int r = forbidden(trans, log);

	SP("fy.settle");
	if (r == 0)
		r = log_trees_settle(trans, log);
	if (r == 0)
		r = log_nodes_freeze(fs, &log->nodes, &frozen);
	/* a chunk that came meanwhile may hold a node of the log, and only a commit tells where it is */
	if (r == 0 && forbidden(trans, log))
		r = 1;
	if (r != 0)
		return give_up(trans, r);
	put_le64(&sb.log_root, log->top->node->logical);
	sb.log_root_level = log->top->node->level;
	log->next_sync++;
	log->syncing = true;
	mutex_unlock(&log->lock);
	r = write_frozen(fs, &frozen, &sb);
	if (r < 0)
		fs_abort(fs, r, "writing the log");
	mutex_lock(&log->lock);
	log->syncing = false;
	if (r == 0)
		log->synced = sync;
	cond_broadcast(&log->changed);
	return r;
}

/* 0 as soon as @sync is durable; 1: commit instead. */
static int sync_wait(struct trans *trans, struct tree_log *log, u64 sync)
{
	int r = 0;

	MUTEX_SCOPE(&log->lock);
	while (r == 0 && log->synced < sync) {
		if (log_changes_forbid(&log->changes, trans->transid))
			return 1;
		if (fs_error(trans->fs) < 0)
			return fs_error(trans->fs);
		if (log->syncing)
			cond_wait(&log->changed, &log->lock);
		else
			r = sync_all(trans, log);
	}
	return r;
}

/* ---- one inode ---- */

/* Nothing of it waits for a commit. */
static bool is_durable(struct inode *inode)
{
	u64 durable = trans_durable_id(inode->fs);

	if (atomic_load(&inode->fs->moved_transid) > durable)
		return false;
	MUTEX_SCOPE(&inode->attr_lock);
	return !inode->item_dirty && inode->a.transid <= durable && inode->a.generation <= durable &&
	       inode->log.changed_transid <= durable;
}

/* Log and inode agree already. Mutex held. */
static bool is_logged(struct inode *inode, u64 transid)
{
	MUTEX_SCOPE(&inode->attr_lock);
	return inode->log.transid == transid && inode->log.sequence == inode->a.sequence &&
	       (inode->log.changed_transid != transid || !inode->log.news);
}

/* Of what the log has of @inode, at most. Mutex held. */
static u64 bytes_there(const struct tree_log *log, const struct inode *inode, u64 transid)
{
	if (inode->log.unknown == transid) /* any of it may be from before it came into memory again */
		return log->nodes.count * inode->fs->nodesize;
	return inode->log.transid == transid ? inode->log.bytes : 0;
}

/* Negative: it may be incomplete next time. */
static int mark_logged(struct tree_log *log, const struct log_record *rec)
{
	struct inode *inode = rec->inode;
	int r = 0;

	inode->log.bytes = bytes_there(log, inode, rec->transid) + log_record_bytes(rec);
	inode->log.transid = rec->transid;
	inode->log.sequence = rec->sequence;
	inode->log.digest = rec->digest;
	inode->log.sync = log->next_sync;
	MUTEX_SCOPE(&inode->attr_lock);
	if (TAKE(inode->log.unknown) == rec->transid) {
		inode->log.changed_transid = rec->transid;
		r = log_ranges_add(&inode->log.changed, 0, UINT64_MAX);
	}
	inode->log.news = false;
	log_ranges_keep_from(&inode->log.changed, rec->hole_end);
	return r;
}

/* Nodes that are there already and may have to be copied: each item may go into another one, and each
 * one with something older of the inode may be cut. */
static u64 copied_nodes(struct tree_log *log, const struct log_record *rec)
{
	u64 items = log_record_items(rec), older;

	MUTEX_SCOPE(&log->lock);
	older = 2 * bytes_there(log, rec->inode, rec->transid) / rec->inode->fs->nodesize;
	return MIN(items + older, (u64)log->nodes.count);
}

/* Nodes that the record may take, as items of a reservation: paths in two trees, and leaves half full. */
static unsigned reserved_items(struct tree_log *log, const struct log_record *rec)
{
	u64 nodes = 2 * log_record_bytes(rec) / rec->inode->fs->nodesize;

	return 2 + (unsigned)((nodes + copied_nodes(log, rec)) / 4);
}

/* Joins, in the transaction that the record was made in. -EAGAIN: it is over. 1: no room. */
static int join_for(struct log_record *rec, struct trans *trans)
{
	int r = trans_join(rec->inode->fs, reserved_items(rec->inode->fs->log, rec), trans);

	if (r < 0)
		return r == -ENOSPC ? 1 : r;
	if (trans->transid == rec->transid)
		return 0;
	trans_end(trans);
	return -EAGAIN;
}

static int put_joined(struct trans *trans, struct tree_log *log, const struct log_record *rec,
		      u64 *ret_sync)
{
	int r;

	MUTEX_SCOPE(&log->lock);
	if (forbidden(trans, log))
		return 1;
	r = log_trees_put(trans, log, rec);
	if (r == 0)
		r = mark_logged(log, rec);
	if (r != 0)
		return give_up(trans, r);
	*ret_sync = rec->inode->log.sync;
	return 0;
}

/* What is left to be waited for. */
struct rest {
	u64 sync;
	bool flush; /* for content that went in place after its record was made */
};

/* The inode and all of its content are locked. Ends joined if it is logged. */
static int log_locked(struct inode *inode, u64 transid, struct trans *trans, struct rest *ret)
{
	_cleanup_log_record_ struct log_record rec = { .inode = inode, .transid = transid };
	struct tree_log *log = inode->fs->log;
	u32 known = 0;
	bool done, again;
	int r;

	mutex_lock(&log->lock);
	again = inode->log.transid == transid;
	known = inode->log.digest;
	done = is_logged(inode, transid);
	*ret = (struct rest){ .sync = inode->log.sync, .flush = done };
	mutex_unlock(&log->lock);
	r = done ? 0 : log_record_fill(&rec, &log->changes, again ? &known : NULL);
	if (r == 0)
		r = join_for(&rec, trans);
	if (r == 0 && !done)
		r = put_joined(trans, log, &rec, &ret->sync);
	return r;
}

static int log_inode(struct inode *inode, u64 transid, struct trans *trans, struct rest *ret)
{
	_cleanup_range_ struct range_lock range = {};
	int r;

	RDLOCK_SCOPE(&inode->lock);
	/* guard fsync_inflight: what somebody is writing back now is part of it */
	r = GUARD(fsync_inflight) ? file_hold(inode, &range) : 0;
	return r < 0 ? r : log_locked(inode, transid, trans, ret);
}

static int try_once(struct inode *inode)
{
	_cleanup_trans_ struct trans trans = {};
	struct fs *fs = inode->fs;
	u64 transid = trans_running_id(fs);
	struct rest rest = {};
	int r;

	if (log_changes_forbid(&fs->log->changes, transid))
		return 1;
	r = trans_wait_durable(fs, transid - 1); /* a log stands on it */
	if (r < 0)
		return r;
	if (is_durable(inode))
		return volume_flush(fs->vol);
	r = log_inode(inode, transid, &trans, &rest);
	if (r == 0)
		r = sync_wait(&trans, fs->log, rest.sync);
	return r == 0 && rest.flush ? volume_flush(fs->vol) : r;
}

int log_sync_inode(struct inode *inode)
{
	int r = -EAGAIN;

	if (!inode_is_reg(inode) || inode->fs->opt.notreelog)
		return 1;
	for (int i = 0; r == -EAGAIN && i < TRIES; i++)
		r = try_once(inode);
	return r == -EAGAIN ? 1 : r;
}
