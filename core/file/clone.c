/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clone.c - one file's extents under another's range (reflink), and copying where that cannot be.
 *
 * Both inodes are locked for writing and both ranges exclusively, so there is no writer in place
 * below, and none will come: it would find the extent shared. What the source maps is looked up
 * inside the join that adds the reference: relocation's switch waits for joins, so the place is
 * true until the reference is queued.
 */
#include "core/extent/extent_alloc.h"
#include "core/file/file.h"
#include "core/file/file_extent.h"
#include "core/file/file_state.h"
#include "core/file/promise.h"
#include "core/fs.h"
#include "core/space/reservation.h"
#include "core/trans/transaction.h"
#include "disk/base/buffer.h"
#include "disk/base/sync_point.h"

#define DROP_BATCH 8
#define CLONE_ITEMS (2 * DROP_BATCH + 6)
#define COPY_BYTES MIB(1)
#define COPY_ROUNDS 16

struct clone {
	struct inode *src, *dst;
	struct file_state *src_st, *dst_st;
	u64 pos, end; /* in the source, whole sectors */
	u64 to;       /* where @pos goes */
};

static int add_reference(struct trans *trans, struct clone *c, const struct file_mapping *m,
			 u64 len)
{
	struct file_mapping piece = *m;
	int r;

	piece.off = c->to;
	piece.len = len;
	piece.extent_off = m->extent_off + (c->pos - m->off);
	piece.generation = trans->transid;
	r = data_extent_ref(trans, piece.disk_bytenr, piece.disk_bytes, c->dst->root->id,
			    c->dst->ino, piece.off - piece.extent_off);
	return r < 0 ? r : file_extent_insert(trans, c->dst, &piece);
}

/* The piece at c->pos, as far as one transaction goes. */
static int clone_joined(struct trans *trans, struct clone *c)
{
	struct file_mapping m;
	u64 end, done;
	int r = file_extent_lookup(c->src->root, c->src->ino, c->pos, &m);

	if (r < 0)
		return r;
	if (m.type == MAPPING_INLINE)
		return -EOPNOTSUPP; /* nothing was changed */
	end = c->to + (MIN(c->end, mapping_end(&m)) - c->pos);
	SP("rf.locked", .ino = c->src->ino, .bytenr = m.disk_bytenr);
	r = file_extent_drop(trans, c->dst, c->to, end, DROP_BATCH, &done);
	if (r < 0)
		return r;
	if (mapping_has_extent(&m)) {
		r = add_reference(trans, c, &m, done - c->to);
		SP("rf.ref", .ino = c->src->ino, .bytenr = m.disk_bytenr);
	} else {
		r = file_add_hole(trans, c->dst, c->to, done);
	}
	if (r == 0)
		r = inode_mark_dirty(c->dst, trans);
	if (r < 0)
		trans_abort(trans, r, "cloning an extent");
	file_state_touch_meta(c->dst_st, trans);
	c->pos += done - c->to;
	c->to = done;
	return r;
}

static int clone_piece(struct clone *c)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join(c->dst->fs, CLONE_ITEMS, &trans);

	return r < 0 ? r : clone_joined(&trans, c);
}

/* What was dirty where [@from, c->to) is mapped anew, with its promise of space. */
static void forget_replaced(struct clone *c, u64 from)
{
	u64 dirty = file_state_dirty_bytes(c->dst_st, from, c->to);

	file_state_clean(c->dst_st, from, c->to);
	data_unpromise(c->dst, dirty);
}

/* A piece that fails leaves what is behind it dirty. */
static int clone_pieces(struct clone *c)
{
	int r = 0;

	while (r == 0 && c->pos < c->end) {
		u64 from = c->to;

		r = clone_piece(c);
		if (r == 0)
			forget_replaced(c, from);
	}
	return r;
}

static void lock_inodes(struct inode *a, struct inode *b)
{
	struct inode *first = a->ino <= b->ino ? a : b;

	rwlock_wrlock(&first->lock);
	if (a != b)
		rwlock_wrlock(first == a ? &b->lock : &a->lock);
}

static void unlock_inodes(struct inode *a, struct inode *b)
{
	rwlock_unlock(&a->lock);
	if (a != b)
		rwlock_unlock(&b->lock);
}

static int clone_ranges(struct clone *c, u64 bytes)
{
	_cleanup_range_ struct range_lock from = {};
	_cleanup_range_ struct range_lock into = {};
	u64 ss = c->dst->fs->sectorsize, size = inode_size(c->dst), end = c->to + bytes;
	u64 start = ALIGN_DOWN(MIN(c->to, size), ss);
	int r = file_flush_range(c->src, c->pos, c->end);

	if (r < 0)
		return r;
	if (c->src != c->dst)
		range_lock(&c->src_st->ranges, &from, c->pos, c->end, true);
	range_lock(&c->dst_st->ranges, &into, start, UINT64_MAX, true);
	if (c->to > size)
		r = file_expand(c->dst, c->dst_st, size, c->to);
	if (r == 0)
		r = clone_pieces(c);
	return r < 0 ? r : file_written(c->dst, end);
}

/* May the two share extents? Checksums belong to the extent, so both files must want them. */
static int check_pair(struct inode *src, struct inode *dst, u64 to, u64 len)
{
	int r = file_check_write(dst, to, len);

	if (r < 0)
		return r;
	return file_nodatasum(src) == file_nodatasum(dst) ? 0 : -EOPNOTSUPP;
}

/* How much of the range can be shared: whole sectors, and a last partial one only where both files
 * end. */
static u64 clonable(struct inode *src, u64 off, struct inode *dst, u64 to, u64 len)
{
	u64 ss = src->fs->sectorsize;

	if (!IS_ALIGNED(off, ss) || !IS_ALIGNED(to, ss))
		return 0;
	if (off + len == inode_size(src) && to + len >= inode_size(dst))
		return len;
	return ALIGN_DOWN(len, ss);
}

s64 file_clone(struct inode *src, u64 off, struct inode *dst, u64 to, u64 len)
{
	struct clone c = {.src = src, .dst = dst, .src_st = file_state_get(src),
			  .dst_st = file_state_get(dst), .pos = off, .to = to};
	int r = c.src_st && c.dst_st ? check_pair(src, dst, to, len) : -ENOMEM;

	if (r < 0)
		return r;
	lock_inodes(src, dst);
	len = off < inode_size(src) ? MIN(len, inode_size(src) - off) : 0;
	len = clonable(src, off, dst, to, len);
	c.end = ALIGN_UP(off + len, (u64)src->fs->sectorsize);
	r = len ? clone_ranges(&c, len) : -EOPNOTSUPP;
	unlock_inodes(src, dst);
	flusher_remove_if_clean(dst);
	flusher_remove_if_clean(src);
	return r < 0 ? r : (s64)len;
}

static s64 copy_bytes(struct inode *src, u64 off, struct inode *dst, u64 to, u64 len)
{
	_cleanup_buffer_ u8 *buf = buffer_get(COPY_BYTES);
	u64 done = 0;

	if (!buf)
		return -ENOMEM;
	for (int round = 0; round < COPY_ROUNDS && done < len; round++) {
		int n = file_read(src, off + done, (u32)MIN(len - done, COPY_BYTES), buf, 0);

		if (n > 0)
			n = file_write(dst, to + done, buf, (u32)n, 0, NULL);
		if (n <= 0)
			return done || n == 0 ? (s64)done : n;
		done += (u64)n;
	}
	return (s64)done;
}

s64 file_copy_range(struct inode *src, u64 off, struct inode *dst, u64 to, u64 len)
{
	s64 n = file_clone(src, off, dst, to, len);

	return n == -EOPNOTSUPP ? copy_bytes(src, off, dst, to, len) : n;
}
