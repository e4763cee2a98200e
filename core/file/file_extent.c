/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_extent.c - EXTENT_DATA items: encoding, cutting (pure) and looking up.
 *
 * Invariants of the format: items of a file do not overlap; disk_bytes and ram_bytes are the whole
 * extent's and never change when an item is cut; an inline extent is at file offset 0 alone.
 */
#include "core/file/file_extent.h"

#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/tree/search.h"
#include "disk/base/log.h"
#include "disk/codec/compress.h"

#define INLINE_HEADER offsetof(struct btrfs_file_extent_item, disk_bytenr)

static enum mapping_type mapping_type_of(u8 type, u64 disk_bytenr)
{
	if (type == BTRFS_FILE_EXTENT_INLINE)
		return MAPPING_INLINE;
	if (!disk_bytenr)
		return MAPPING_HOLE;
	return type == BTRFS_FILE_EXTENT_PREALLOC ? MAPPING_PREALLOC : MAPPING_REG;
}

void file_mapping_decode(const void *item, u32 size, u64 file_off, struct file_mapping *ret)
{
	struct btrfs_file_extent_item d = {0};
	bool is_inline;

	memcpy(&d, item, MIN((size_t)size, sizeof(d)));
	is_inline = d.type == BTRFS_FILE_EXTENT_INLINE;
	*ret = (struct file_mapping){
		.compression = d.compression,
		.other_encoding = d.encryption || d.other_encoding,
		.off = file_off,
		.ram_bytes = get_le64(&d.ram_bytes),
		.generation = get_le64(&d.generation),
	};
	if (!is_inline) {
		ret->disk_bytenr = get_le64(&d.disk_bytenr);
		ret->disk_bytes = get_le64(&d.disk_num_bytes);
		ret->extent_off = get_le64(&d.offset);
	}
	ret->len = is_inline ? ret->ram_bytes : get_le64(&d.num_bytes);
	ret->type = mapping_type_of(d.type, ret->disk_bytenr);
}

void file_mapping_encode(const struct file_mapping *m, struct btrfs_file_extent_item *ret)
{
	memset(ret, 0, sizeof(*ret));
	put_le64(&ret->generation, m->generation);
	put_le64(&ret->ram_bytes, m->ram_bytes);
	ret->compression = m->compression;
	ret->type = m->type == MAPPING_PREALLOC ? BTRFS_FILE_EXTENT_PREALLOC
						: BTRFS_FILE_EXTENT_REG;
	put_le64(&ret->disk_bytenr, m->disk_bytenr);
	put_le64(&ret->disk_num_bytes, m->disk_bytes);
	put_le64(&ret->offset, m->extent_off);
	put_le64(&ret->num_bytes, m->len);
}

bool file_mapping_same(const struct file_mapping *a, const struct file_mapping *b)
{
	return a->type == b->type && a->off == b->off && a->len == b->len &&
	       a->disk_bytenr == b->disk_bytenr && a->disk_bytes == b->disk_bytes &&
	       a->extent_off == b->extent_off && a->generation == b->generation &&
	       a->compression == b->compression;
}

int file_mapping_cut(const struct file_mapping *m, u64 start, u64 end, struct file_mapping ret[2])
{
	int n = 0;

	if (m->off < start) {
		ret[n] = *m;
		ret[n++].len = MIN(start, mapping_end(m)) - m->off;
	}
	if (mapping_end(m) > end) {
		u64 from = MAX(end, m->off);

		ret[n] = *m;
		ret[n].off = from;
		ret[n].len = mapping_end(m) - from;
		if (m->disk_bytenr)
			ret[n].extent_off += from - m->off;
		n++;
	}
	return n;
}

u64 file_mapping_cut_bytes(const struct file_mapping *m, u64 start, u64 end)
{
	u64 from = MAX(start, m->off), to = MIN(end, mapping_end(m));

	return m->disk_bytenr && from < to ? to - from : 0;
}

static bool is_extent_of(const struct key *key, u64 ino)
{
	return key->objectid == ino && key->type == BTRFS_EXTENT_DATA_KEY;
}

bool file_extent_here(const struct path *path, u64 ino, struct file_mapping *ret)
{
	struct key key;

	if (path_at_end(path))
		return false;
	key = path_key(path);
	if (!is_extent_of(&key, ino))
		return false;
	file_mapping_decode(path_data(path), path_size(path), key.offset, ret);
	if (ret->type == MAPPING_INLINE)
		ret->len = ALIGN_UP(MAX(ret->len, (u64)1), path->root->fs->sectorsize);
	return true;
}

static struct file_mapping implied_hole(u64 start, u64 end)
{
	return (struct file_mapping){
		.type = MAPPING_HOLE, .off = start, .len = end - start, .implied = true};
}

int file_extent_lookup_locked(struct root *root, u64 ino, u64 off, struct path *path,
			      struct file_mapping *ret)
{
	struct key key = file_extent_key(ino, off);
	u64 start = 0;
	int r = tree_search_prev(root, &key, path);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r >= 0 && file_extent_here(path, ino, ret)) {
		if (mapping_end(ret) > off)
			return 0;
		start = mapping_end(ret);
	}
	r = tree_search_next(root, &key, path);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r < 0 || !file_extent_here(path, ino, ret))
		*ret = implied_hole(start, UINT64_MAX);
	else if (ret->off > off)
		*ret = implied_hole(start, ret->off);
	return 0;
}

int file_extent_lookup(struct root *root, u64 ino, u64 off, struct file_mapping *ret)
{
	_cleanup_path_ struct path path = {};

	return file_extent_lookup_locked(root, ino, off, &path, ret);
}

/* Appends @m, preceded by the hole before it, if any. */
static int collect(struct file_mapping *ret, int n, int max, u64 *pos,
		   const struct file_mapping *m)
{
	if (m->off > *pos && n < max) {
		ret[n++] = implied_hole(*pos, m->off);
		*pos = m->off;
	}
	if (n < max) {
		ret[n++] = *m;
		*pos = mapping_end(m);
	}
	return n;
}

int file_extent_lookup_range(struct root *root, u64 ino, u64 start, u64 end,
			     struct file_mapping *ret, int max)
{
	_cleanup_path_ struct path path = {};
	struct key key = file_extent_key(ino, start);
	struct file_mapping m;
	u64 pos = start, next = UINT64_MAX;
	int n = 0, r = tree_search_prev(root, &key, &path);

	if (r >= 0) {
		if (file_extent_here(&path, ino, &m) && mapping_end(&m) > start)
			n = collect(ret, n, max, &pos, &m);
		r = pos < end && n < max ? tree_next(&path) : 0;
	} else if (r == -ENOENT) {
		r = tree_search_next(root, &key, &path);
		r = r == -ENOENT ? 1 : MIN(r, 0);
	}
	while (r == 0 && pos < end && n < max) {
		struct key at = path_key(&path);

		if (!is_extent_of(&at, ino))
			break;
		if (at.offset >= end) {
			next = at.offset;
			break;
		}
		if (file_extent_here(&path, ino, &m))
			n = collect(ret, n, max, &pos, &m);
		r = tree_next(&path);
	}
	if (r < 0)
		return r;
	if (pos < end && n < max)
		ret[n++] = implied_hole(pos, next);
	return n;
}

/* The bytes of the inline extent of @ino as the item holds them, in *ret for the caller to free:
 * their number. */
static int inline_copy(struct root *root, u64 ino, struct file_mapping *m, u8 **ret)
{
	_cleanup_path_ struct path path = {};
	struct key key = file_extent_key(ino, 0);
	int r = tree_search(root, &key, &path);
	u32 size;

	if (r < 0)
		return r;
	if (r > 0 || !file_extent_here(&path, ino, m) || m->type != MAPPING_INLINE)
		return -EAGAIN;
	size = path_size(&path);
	if (size <= INLINE_HEADER)
		return -EUCLEAN;
	size -= (u32)INLINE_HEADER;
	*ret = malloc(size);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, (const u8 *)path_data(&path) + INLINE_HEADER, size);
	return (int)size;
}

int file_extent_read_inline(struct root *root, u64 ino, void *buf, u32 len)
{
	_cleanup_free_ u8 *data = NULL;
	struct file_mapping m;
	int size = inline_copy(root, ino, &m, &data), r;

	if (size < 0)
		return size;
	len = (u32)MIN((u64)len, m.ram_bytes);
	if (!m.compression) {
		len = MIN(len, (u32)size);
		memcpy(buf, data, len);
		return (int)len;
	}
	r = decompress_data(m.compression, root->fs->sectorsize, data, (u32)size, buf, len);
	if (r == -EIO)
		log_fault("root %llu inode %llu: inline %s extent does not decompress",
			  (unsigned long long)root->id, (unsigned long long)ino,
			  compress_name(m.compression));
	return r < 0 ? r : (int)len;
}
