/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * in_place.c - overwriting an extent where it is, through its block group's gate.
 *
 * One lookup gives decision, group, address and item update. The token is taken under
 * the tree lock that shows the mapping: from then on relocation can neither copy nor move that
 * extent, and the file's range lock keeps everybody else off, so what the lookup said stays true
 * until the token is put, after the I/O and after the item update. Whether somebody else shares
 * the extent or a checksum covers it is asked under the token; both would only become true later
 * through someone who waits for it.
 * Refused (hole, inline, shared, snapshotted, checksummed, encoded, read-only group): copy.
 * Faults met while asking are errors, never "must copy".
 */
#include "core/extent/csum_tree.h"
#include "core/extent/extent_info.h"
#include "core/file/file_extent.h"
#include "core/file/write_run.h"
#include "core/fs.h"
#include "core/space/block_group.h"
#include "core/trans/transaction.h"
#include "core/tree/search.h"
#include "disk/base/buffer.h"
#include "disk/base/sync_point.h"

/* Two more pieces, checksums, the inode. */
#define CONVERT_ITEMS 6
#define SIZE_ITEMS 1

struct place {
	struct file_mapping m;
	u64 start, end; /* in the file */
	u64 logical;
	u64 group;
	struct block_group *token;
};

static void token_put(struct place *p)
{
	if (p->token)
		block_group_writer_put(TAKE(p->token));
}

#define _cleanup_place_ _cleanup_(token_put)

#define PLACE_KEYS(run, p)                                                                         \
	.ino = (run)->inode->ino, .root = (run)->inode->root->id, .off = (p)->start,               \
	.len = (p)->end - (p)->start, .bytenr = (p)->logical, .bg = (p)->group

/* What the item itself allows. @root is locked. */
static bool item_allows(struct inode *inode, const struct file_mapping *m)
{
	if (m->type != MAPPING_PREALLOC && (m->type != MAPPING_REG || !file_nodatacow(inode)))
		return false;
	if (m->compression || m->other_encoding)
		return false;
	return m->generation > inode->root->last_snapshot;
}

/* Looks up run->pos and takes the token: 1, or 0 if that place is not to be written. */
static int place_find(const struct write_run *run, struct place *p)
{
	_cleanup_path_ struct path path = {};
	struct inode *inode = run->inode;
	int r;

	SP("wr.lookup", .ino = inode->ino, .root = inode->root->id, .off = run->pos,
	   .len = run->end - run->pos);
	r = file_extent_lookup_locked(inode->root, inode->ino, run->pos, &path, &p->m);
	if (r < 0)
		return r;
	p->start = run->pos;
	p->end = MIN(run->end, mapping_end(&p->m));
	if (!path.lock || p->m.implied || !item_allows(inode, &p->m))
		return 0;
	p->logical = mapping_logical(&p->m) + (p->start - p->m.off);
	if (!GUARD(token_each) && run->pos > run->start) /* as if the first piece's were enough */
		return 1;
	if (!block_group_writer_get(inode->fs, p->logical, p->end - p->start, &p->token))
		return 0;
	p->group = p->token->logical;
	return 1;
}

/* 1 if nobody else sees these bytes and no checksum speaks of them. The token is held. */
static int place_private(const struct write_run *run, const struct place *p)
{
	struct inode *inode = run->inode;
	int r = 0;

	if (GUARD(crossref))
		r = data_extent_shared(inode->fs, p->m.disk_bytenr, p->m.disk_bytes,
				       inode->root->id, inode->ino, p->m.off - p->m.extent_off);
	if (r == 0)
		r = csum_any(inode->fs, p->logical, p->end - p->start);
	return r < 0 ? r : r == 0;
}

static int convert_joined(struct write_run *run, struct trans *trans, const struct place *p,
			  const u8 *csums)
{
	int r = 0;

	if (csums)
		r = csum_insert(trans, p->logical, p->end - p->start, csums);
	if (r < 0) {
		trans_abort(trans, r, "checksumming a preallocated extent");
		return r;
	}
	r = file_extent_mark_written(trans, run->inode, &p->m, p->start, p->end);
	if (r < 0)
		return r;
	TRACE("item.converted", PLACE_KEYS(run, p));
	r = write_run_arrived(run, trans, p->start, p->end);
	if (r < 0)
		trans_abort(trans, r, "updating a written inode");
	return r;
}

/* The preallocated piece holds data now: its item says so, in the transaction that runs. */
static int place_convert(struct write_run *run, const struct place *p)
{
	_cleanup_trans_ struct trans trans = {};
	_cleanup_buffer_ u8 *csums = NULL;
	int r;

	if (!file_nodatasum(run->inode)) {
		csums = write_run_csums(run, p->start, p->end);
		if (!csums)
			return -ENOMEM;
	}
	SP("wr.convert", PLACE_KEYS(run, p));
	r = write_run_join(run, CONVERT_ITEMS, &trans);
	return r < 0 ? r : convert_joined(run, &trans, p, csums);
}

/* The item on disk had to show a smaller size while these bytes were in memory only. */
static int place_size_shown(struct write_run *run, const struct place *p)
{
	_cleanup_trans_ struct trans trans = {};
	int r = write_run_join(run, SIZE_ITEMS, &trans);

	if (r < 0)
		return r;
	r = write_run_arrived(run, &trans, p->start, p->end);
	if (r < 0)
		trans_abort(&trans, r, "updating a written inode");
	return r;
}

/* Content is there, no extent item changes. */
static int place_overwritten(struct write_run *run, const struct place *p)
{
	if (run->dirty) {
		/* Before they are clean: from then on somebody else may move it up. */
		bool lags = file_state_size_lags(run->st);

		file_state_clean(run->st, p->start, p->end);
		if (lags)
			return place_size_shown(run, p);
	}
	if (!run->new_size || p->end <= inode_size(run->inode))
		return 0;
	return file_written(run->inode, MIN(p->end, run->new_size));
}

static s64 place_write(struct write_run *run, struct place *p)
{
	int r;

	if (!GUARD(token_until_io))
		token_put(p);
	r = write_run_io(run, p->start, p->end, p->logical, p->group);
	if (r < 0 && !GUARD(put_on_error))
		p->token = NULL;
	if (r < 0)
		return r;
	if (!GUARD(token_until_convert))
		token_put(p);
	if (p->m.type == MAPPING_PREALLOC)
		r = place_convert(run, p);
	else
		r = place_overwritten(run, p);
	SP("wr.put", PLACE_KEYS(run, p));
	return r < 0 ? r : (s64)(p->end - p->start);
}

s64 write_in_place(struct write_run *run, u64 *ret_cow)
{
	_cleanup_place_ struct place p = {};
	int r = place_find(run, &p);

	if (r < 0)
		return r;
	*ret_cow = p.end - p.start;
	if (r == 0)
		return 0;
	r = place_private(run, &p);
	if (r <= 0)
		return r;
	SP("wr.token", PLACE_KEYS(run, &p)); /* decided, token in hand, nothing written yet */
	return place_write(run, &p);
}
