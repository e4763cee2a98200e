/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_change.c - dropping, adding and cutting EXTENT_DATA items.
 *
 * Invariants: every change of an item queues its reference change under the same tree write lock;
 * nbytes counts REG and PREALLOC lengths and inline data. A leaf that was copied for writing is
 * this root's own, so references are always by (root, ino, off - extent_off). Cutting an item
 * keeps its generation. The log is told what changed. An error leaves the transaction aborted.
 */
#include "core/extent/extent_alloc.h"
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/log/log_write.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"

#define INLINE_HEADER offsetof(struct btrfs_file_extent_item, disk_bytenr)

static int failed(struct trans *trans, int err, const char *what)
{
	trans_abort(trans, err, what);
	return err;
}

static int nbytes_add(struct trans *trans, struct inode *inode, s64 delta)
{
	int r;

	if (!delta)
		return 0;
	r = inode_change_begin(inode, trans);
	if (r < 0)
		return r;
	inode->a.nbytes += (u64)delta;
	inode_change_end(inode, trans);
	return 0;
}

static int ref_change(struct trans *trans, struct root *root, u64 ino, const struct file_mapping *m,
		      int count)
{
	struct ref ref = ref_data(root->id, 0, ino, m->off - m->extent_off);

	if (!m->disk_bytenr || !count)
		return 0;
	return dref_add(trans, m->disk_bytenr, m->disk_bytes, 0, true, &ref, count);
}

static void item_store(struct path *path, const struct file_mapping *m)
{
	struct btrfs_file_extent_item item;

	file_mapping_encode(m, &item);
	memcpy(path_data(path), &item, sizeof(item));
}

/* Puts the pieces that are left of the item at @path in its place. */
static int replace_item(struct trans *trans, struct path *path, const struct file_mapping *piece,
			int n)
{
	struct key key;
	int r;

	if (n == 0)
		return tree_delete(trans, path);
	key = path_key(path);
	if (key.offset != piece[0].off) {
		key.offset = piece[0].off;
		tree_set_key(trans, path, &key);
	}
	item_store(path, &piece[0]);
	if (n == 1)
		return 0;
	key.offset = piece[1].off;
	r = tree_duplicate_item(trans, path, &key);
	if (r < 0)
		return r;
	item_store(path, &piece[1]);
	return 0;
}

/* Cuts [start, end) out of the item @m at @path. *ret_bytes: what that takes off nbytes. */
static int cut_here(struct trans *trans, u64 ino, struct path *path, const struct file_mapping *m,
		    u64 start, u64 end, u64 *ret_bytes)
{
	struct file_mapping piece[2];
	int n, r;

	if (m->type == MAPPING_INLINE) {
		*ret_bytes = m->ram_bytes;
		return tree_delete(trans, path);
	}
	n = file_mapping_cut(m, start, end, piece);
	*ret_bytes = file_mapping_cut_bytes(m, start, end);
	r = ref_change(trans, path->root, ino, m, n - 1);
	return r < 0 ? r : replace_item(trans, path, piece, n);
}

/* The first item that ends behind @pos and begins before @end: 0 at it, 1 none. */
static int find_first(struct trans *trans, struct root *root, u64 ino, struct path *path, u64 pos,
		      u64 end, struct file_mapping *ret)
{
	struct key key = file_extent_key(ino, pos);
	int r = tree_search_cow_prev(trans, root, &key, -1, path);

	if (r >= 0 && file_extent_here(path, ino, ret) && mapping_end(ret) > pos)
		return 0;
	if (r >= 0)
		r = tree_next_cow(trans, path, -1);
	else if (r == -ENOENT)
		r = MIN(tree_search_cow_next(trans, root, &key, -1, path), 0);
	if (r == -ENOENT || r > 0)
		return 1;
	if (r < 0)
		return r;
	return file_extent_here(path, ino, ret) && ret->off < end ? 0 : 1;
}

int file_extent_drop_items(struct trans *trans, struct root *root, u64 ino, u64 start, u64 end,
			   unsigned budget, u64 *ret_end, u64 *bytes)
{
	_cleanup_path_ struct path path = {};
	u64 pos = start;

	while (pos < end && budget--) {
		struct file_mapping m;
		u64 cut;
		int r = find_first(trans, root, ino, &path, pos, end, &m);

		if (r < 0)
			return r;
		if (r > 0) {
			pos = end;
			break;
		}
		r = cut_here(trans, ino, &path, &m, start, end, &cut);
		path_release(&path);
		if (r < 0)
			return r;
		*bytes += cut;
		pos = m.type == MAPPING_INLINE ? MAX(pos, (u64)trans->fs->sectorsize)
					       : mapping_end(&m);
	}
	*ret_end = MIN(pos, end);
	return 0;
}

int file_extent_drop(struct trans *trans, struct inode *inode, u64 start, u64 end, unsigned budget,
		     u64 *ret_end)
{
	u64 bytes = 0;
	int r = file_extent_drop_items(trans, inode->root, inode->ino, start, end, budget, ret_end,
				       &bytes);

	if (r == 0)
		r = nbytes_add(trans, inode, -(s64)bytes);
	if (r == 0)
		log_extents_changed(trans, inode, start, *ret_end);
	return r < 0 ? failed(trans, r, "dropping file extents") : 0;
}

int file_extent_insert(struct trans *trans, struct inode *inode, const struct file_mapping *m)
{
	struct btrfs_file_extent_item item;
	struct key key = file_extent_key(inode->ino, m->off);
	int r;

	file_mapping_encode(m, &item);
	r = tree_insert(trans, inode->root, &key, &item, sizeof(item));
	if (r == 0 && m->disk_bytenr)
		r = nbytes_add(trans, inode, (s64)m->len);
	log_extents_changed(trans, inode, m->off, mapping_end(m));
	return r < 0 ? failed(trans, r, "adding a file extent") : 0;
}

/* Does @b go on where @a ends, in file and extent? */
static bool continues(const struct file_mapping *a, const struct file_mapping *b)
{
	return a->type == b->type && a->disk_bytenr && a->disk_bytenr == b->disk_bytenr &&
	       a->disk_bytes == b->disk_bytes && a->ram_bytes == b->ram_bytes &&
	       mapping_end(a) == b->off && a->extent_off + a->len == b->extent_off &&
	       a->compression == b->compression && !a->other_encoding && !b->other_encoding;
}

static int append_item(struct trans *trans, struct inode *inode, const struct file_mapping *m)
{
	_cleanup_path_ struct path path = {};
	struct key key = file_extent_key(inode->ino, m->off);
	struct file_mapping before;
	int r = tree_search_cow_prev(trans, inode->root, &key, 0, &path);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!file_extent_here(&path, inode->ino, &before) || !continues(&before, m))
		return 0;
	before.len += m->len;
	before.generation = m->generation;
	item_store(&path, &before);
	return 1;
}

int file_extent_append(struct trans *trans, struct inode *inode, const struct file_mapping *m)
{
	int r = append_item(trans, inode, m);

	if (r == 1) {
		int r2 = nbytes_add(trans, inode, (s64)m->len);

		r = r2 < 0 ? r2 : 1;
		log_extents_changed(trans, inode, m->off, mapping_end(m));
	}
	return r < 0 ? failed(trans, r, "growing a file extent") : r;
}

int file_extent_insert_inline(struct trans *trans, struct inode *inode, const void *data, u32 len,
			      u8 compression, u32 ram_bytes)
{
	struct btrfs_file_extent_item head = {0};
	struct key key = file_extent_key(inode->ino, 0);
	_cleanup_free_ u8 *item = malloc(INLINE_HEADER + len);
	int r = -ENOMEM;

	if (item) {
		put_le64(&head.generation, trans->transid);
		put_le64(&head.ram_bytes, ram_bytes);
		head.compression = compression;
		head.type = BTRFS_FILE_EXTENT_INLINE;
		memcpy(item, &head, INLINE_HEADER);
		memcpy(item + INLINE_HEADER, data, len);
		r = tree_insert(trans, inode->root, &key, item, (u32)INLINE_HEADER + len);
	}
	if (r == 0)
		r = nbytes_add(trans, inode, ram_bytes);
	log_extents_changed(trans, inode, 0, trans->fs->sectorsize);
	return r < 0 ? failed(trans, r, "adding an inline extent") : 0;
}

/* Shortens the inline extent at @path to @size bytes. Compressed ones keep their data: only what
 * lies behind the file's end changes its meaning. */
static int cut_inline(struct trans *trans, struct path *path, const struct file_mapping *m,
		      u64 size, u64 *ret_bytes)
{
	struct btrfs_file_extent_item head;

	if (size == 0) {
		*ret_bytes = m->ram_bytes;
		return tree_delete(trans, path);
	}
	if (m->compression || size >= m->ram_bytes)
		return 0;
	*ret_bytes = m->ram_bytes - size;
	memcpy(&head, path_data(path), INLINE_HEADER);
	put_le64(&head.ram_bytes, size);
	memcpy(path_data(path), &head, INLINE_HEADER);
	tree_truncate_item(trans, path, (u32)(INLINE_HEADER + size), false);
	return 0;
}

/* One item from the end: 0 cut, 1 nothing left to cut. */
static int cut_last(struct trans *trans, struct inode *inode, u64 size, u64 *ret_from,
		    u64 *ret_bytes)
{
	_cleanup_path_ struct path path = {};
	struct key key = file_extent_key(inode->ino, UINT64_MAX);
	u64 end = ALIGN_UP(size, (u64)inode->fs->sectorsize);
	struct file_mapping m;
	int r = tree_search_cow_prev(trans, inode->root, &key, -1, &path);

	if (r < 0)
		return r == -ENOENT ? 1 : r;
	if (!file_extent_here(&path, inode->ino, &m))
		return 1;
	if (m.type == MAPPING_INLINE) {
		*ret_from = size;
		log_extents_changed(trans, inode, 0, trans->fs->sectorsize);
		r = cut_inline(trans, &path, &m, size, ret_bytes);
		return r < 0 ? r : 1;
	}
	if (mapping_end(&m) <= end)
		return 1;
	*ret_from = MAX(m.off, size);
	return cut_here(trans, inode->ino, &path, &m, end, UINT64_MAX, ret_bytes);
}

int file_extent_cut_tail(struct trans *trans, struct inode *inode, u64 size, unsigned budget,
			 u64 *ret_from)
{
	int r = 0;

	while (r == 0 && budget--) {
		u64 bytes = 0;

		r = cut_last(trans, inode, size, ret_from, &bytes);
		if (r >= 0) {
			int r2 = nbytes_add(trans, inode, -(s64)bytes);

			r = r2 < 0 ? r2 : r;
		}
	}
	log_extents_changed(trans, inode, ALIGN_UP(size, (u64)inode->fs->sectorsize), UINT64_MAX);
	return r < 0 ? failed(trans, r, "cutting a file's end") : r;
}
