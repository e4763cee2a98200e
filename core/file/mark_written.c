/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mark_written.c - preallocated space becomes a written extent.
 *
 * The pieces that replace the item are worked out purely (plan), then stored under one write lock.
 * Their place is what the caller's one lookup said: the token keeps that true, so it is not asked
 * again here. The item's ends are: writers of other sectors of the same extent may have split it
 * since. A written neighbour of the same extent takes the new piece in, so that a file filled
 * in order ends with one item. References: one a piece.
 */
#include "core/extent/extent_alloc.h"
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/log/log_write.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"

#define PIECES_MAX 3

static struct file_mapping part(const struct file_mapping *m, u64 start, u64 end,
				enum mapping_type type, u64 transid)
{
	struct file_mapping p = *m;

	p.type = type;
	p.extent_off += start - m->off;
	p.off = start;
	p.len = end - start;
	p.generation = transid;
	return p;
}

/* What [start, end) of @m being written leaves: in order, without regard to neighbours. */
static int plan(const struct file_mapping *m, u64 start, u64 end, u64 transid,
		struct file_mapping piece[PIECES_MAX])
{
	int n = 0;

	if (m->off < start)
		piece[n++] = part(m, m->off, start, MAPPING_PREALLOC, transid);
	piece[n++] = part(m, start, end, MAPPING_REG, transid);
	if (end < mapping_end(m))
		piece[n++] = part(m, end, mapping_end(m), MAPPING_PREALLOC, transid);
	return n;
}

static bool decode_slot(const struct path *path, int slot, u64 ino, struct file_mapping *ret)
{
	const void *node = path_node_data(path);
	struct key key;

	if (slot < 0 || slot >= path_nritems(path))
		return false;
	key = node_key(node, (u32)slot);
	if (key.objectid != ino || key.type != BTRFS_EXTENT_DATA_KEY)
		return false;
	file_mapping_decode(leaf_data(node, (u32)slot), leaf_item_size(node, (u32)slot),
			    key.offset, ret);
	return true;
}

static bool joins(const struct file_mapping *a, const struct file_mapping *b)
{
	return a->type == MAPPING_REG && b->type == MAPPING_REG &&
	       a->disk_bytenr == b->disk_bytenr && a->disk_bytes == b->disk_bytes &&
	       mapping_end(a) == b->off && a->extent_off + a->len == b->extent_off;
}

static void store(struct path *path, const struct file_mapping *m)
{
	struct btrfs_file_extent_item item;

	file_mapping_encode(m, &item);
	memcpy(path_data(path), &item, sizeof(item));
}

static void store_at_key(struct trans *trans, struct path *path, const struct file_mapping *m,
			 u64 ino)
{
	struct key old = path_key(path), key = file_extent_key(ino, m->off);

	if (!key_equal(&old, &key))
		tree_set_key(trans, path, &key);
	store(path, m);
}

/* A written item right before takes the first piece in: *n pieces are left in @piece. */
static void merge_left(struct path *path, u64 ino, struct file_mapping *piece, int *n)
{
	struct file_mapping before;

	if (!decode_slot(path, path->slots[0] - 1, ino, &before) || !joins(&before, &piece[0]))
		return;
	before.len += piece[0].len;
	before.generation = piece[0].generation;
	path->slots[0]--;
	store(path, &before);
	path->slots[0]++;
	memmove(piece, piece + 1, (size_t)--*n * sizeof(*piece));
}

/* The last piece takes in a written item right behind, which goes: 1, or 0 if there is none. */
static int merge_right(struct trans *trans, struct path *path, u64 ino,
		       struct file_mapping *piece, int n)
{
	struct file_mapping behind;
	int r;

	if (n == 0 || !decode_slot(path, path->slots[0] + 1, ino, &behind) ||
	    !joins(&piece[n - 1], &behind))
		return 0;
	piece[n - 1].len += behind.len;
	path->slots[0]++;
	r = tree_delete(trans, path);
	if (r < 0)
		return r;
	path->slots[0]--;
	return 1;
}

static int store_pieces(struct trans *trans, struct path *path, u64 ino,
			const struct file_mapping *piece, int n)
{
	if (n == 0)
		return tree_delete(trans, path);
	store_at_key(trans, path, &piece[0], ino);
	for (int i = 1; i < n; i++) {
		struct key key = file_extent_key(ino, piece[i].off);
		int r = tree_duplicate_item(trans, path, &key);

		if (r < 0)
			return r;
		store(path, &piece[i]);
	}
	return 0;
}

/* The preallocated item that holds [start, end) now. @m, the caller's, gets its ends. */
static int find_now(struct trans *trans, struct inode *inode, u64 start, u64 end,
		    struct path *path, struct file_mapping *m)
{
	struct key key = file_extent_key(inode->ino, start);
	struct file_mapping now;
	int r = tree_search_cow_prev(trans, inode->root, &key, 0, path);

	if (r < 0)
		return r == -ENOENT ? -EUCLEAN : r;
	if (!decode_slot(path, path->slots[0], inode->ino, &now) || now.off > start ||
	    mapping_end(&now) < end || now.type != MAPPING_PREALLOC)
		return -EUCLEAN;
	m->extent_off += now.off - m->off;
	m->off = now.off;
	m->len = now.len;
	return 0;
}

static int mark_written(struct trans *trans, struct inode *inode, struct file_mapping *m, u64 start,
			u64 end)
{
	_cleanup_path_ struct path path = {};
	struct ref ref = ref_data(inode->root->id, 0, inode->ino, m->off - m->extent_off);
	struct file_mapping piece[PIECES_MAX];
	int n, gone, r = find_now(trans, inode, start, end, &path, m);

	if (r < 0)
		return r;
	n = plan(m, start, end, trans->transid, piece);
	merge_left(&path, inode->ino, piece, &n);
	gone = 1 + merge_right(trans, &path, inode->ino, piece, n);
	if (gone < 1)
		return gone - 1;
	if (n != gone) {
		r = dref_add(trans, m->disk_bytenr, m->disk_bytes, 0, true, &ref, n - gone);
		if (r < 0)
			return r;
	}
	return store_pieces(trans, &path, inode->ino, piece, n);
}

int file_extent_mark_written(struct trans *trans, struct inode *inode, const struct file_mapping *m,
			     u64 start, u64 end)
{
	struct file_mapping now = *m;
	int r = mark_written(trans, inode, &now, start, end);

	log_extents_changed(trans, inode, start, end);
	if (r < 0)
		trans_abort(trans, r, "marking a preallocated extent written");
	return r;
}
