/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_record.c - see log_record.h. */
#include "core/log/log_record.h"

#include "core/extent/csum_tree.h"
#include "core/file/file.h"
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/inode/inode_flags.h"
#include "core/inode/inode_item.h"
#include "core/inode/inode_ref.h"
#include "core/inode/name_item.h"
#include "core/log/log_changes.h"
#include "core/log/log_write.h"
#include "core/tree/search.h"

#define DEPTH_MAX 1000u
#define CSUM_PIECE MIB(1)

void log_record_free(struct log_record *rec)
{
	log_items_free(&rec->names);
	log_items_free(&rec->above);
	log_ranges_free(&rec->replaced);
	log_items_free(&rec->extents);
	log_items_free(&rec->csums);
}

u64 log_record_bytes(const struct log_record *rec)
{
	const struct log_items *all[] = { &rec->names, &rec->above, &rec->extents, &rec->csums };
	u64 bytes = sizeof(rec->item);

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		bytes += all[i]->used + all[i]->count * sizeof(struct btrfs_item);
	return bytes;
}

u64 log_record_items(const struct log_record *rec)
{
	return 1ULL + rec->names.count + rec->above.count + rec->extents.count + rec->csums.count;
}

static bool too_large(const struct log_record *rec)
{
	return log_record_bytes(rec) > LOG_RECORD_MAX;
}

/* ---- names, xattrs, directories above ---- */

/* All items of @ino with a type from @first on, up to XATTR_ITEM. */
static int copy_items(struct root *root, u64 ino, u8 first, struct log_items *ret)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(ino, first, 0);
	int r = tree_search_next(root, &key, &path);

	for (r = r > 0 ? 0 : r; r == 0; r = tree_next(&path)) {
		int added;

		key = path_key(&path);
		if (key.objectid != ino || key.type > BTRFS_XATTR_ITEM_KEY)
			return 0;
		added = log_items_add(ret, &key, path_data(&path), path_size(&path));
		if (added < 0)
			return added;
	}
	return r == -ENOENT || r == 1 ? 0 : r;
}

static bool have_inode(const struct log_items *items, u64 ino)
{
	for (u32 i = 0; i < items->count; i++)
		if (items->v[i].key.objectid == ino)
			return true;
	return false;
}

static bool is_reference(u8 type)
{
	return type == BTRFS_INODE_REF_KEY || type == BTRFS_INODE_EXTREF_KEY;
}

/* The next name in item @i; *name starts zeroed. False: no more. */
static bool next_name(const struct log_items *items, u32 i, struct name_record *name)
{
	const struct log_item *it = &items->v[i];

	if (!is_reference(it->key.type) ||
	    !name_record_at(it->key.type, log_item_data(items, i), it->size,
			    name->at + name->bytes, name))
		return false;
	if (it->key.type == BTRFS_INODE_REF_KEY)
		name->parent = it->key.offset;
	return true;
}

/* Did the name, or its place in the directory, stand for something else in this transaction? */
static bool was_another(const struct log_record *rec, struct log_changes *changes,
			const struct name_record *name)
{
	u64 root_id = rec->inode->root->id;

	return log_changes_have(changes, rec->transid,
				log_change_name(root_id, name->parent, name->name)) ||
	       log_changes_have(changes, rec->transid,
				log_change_index(root_id, name->parent, name->index));
}

/* A directory as it is in the tree, if it is younger than what the log stands on. 1: its name cannot be
 * told. *ret_parent: where it stands. */
static int add_directory(struct log_record *rec, struct log_changes *changes, u64 dir,
			 u64 *ret_parent)
{
	struct root *root = rec->inode->root;
	u32 first = rec->above.count;
	struct inode_attr a;
	int r = inode_item_read(root, dir, &a);

	if (r == 0)
		r = inode_ref_parent(root, dir, ret_parent);
	if (r < 0)
		return r == -ENOENT ? 1 : r;
	if (a.generation < rec->transid || have_inode(&rec->above, dir))
		return 0;
	r = copy_items(root, dir, BTRFS_INODE_ITEM_KEY, &rec->above);
	for (u32 i = first; r == 0 && i < rec->above.count; i++)
		for (struct name_record name = {}; r == 0 && next_name(&rec->above, i, &name);)
			r = was_another(rec, changes, &name);
	return r;
}

/* From a directory up to the subvolume's top. 1: one of them was moved. */
static int climb(struct log_record *rec, struct log_changes *changes, u64 dir)
{
	u64 root_id = rec->inode->root->id;

	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		int r;

		if (log_changes_have(changes, rec->transid, log_change_inode(root_id, dir)))
			return 1;
		if (dir == BTRFS_FIRST_FREE_OBJECTID)
			return 0;
		r = add_directory(rec, changes, dir, &dir);
		if (r != 0)
			return r;
	}
	return 1;
}

/* The names in one reference item. 1: one of them stood for something else before. */
static int check_names(struct log_record *rec, struct log_changes *changes, u32 i, u64 *last_parent)
{
	struct name_record name = {};

	while (next_name(&rec->names, i, &name)) {
		int r = was_another(rec, changes, &name);

		if (r == 0 && name.parent != *last_parent)
			r = climb(rec, changes, name.parent);
		if (r != 0)
			return r;
		*last_parent = name.parent;
	}
	return 0;
}

static int fill_names(struct log_record *rec, struct log_changes *changes, const u32 *known_digest)
{
	struct inode *inode = rec->inode;
	u64 last_parent = 0;
	int r = copy_items(inode->root, inode->ino, BTRFS_INODE_REF_KEY, &rec->names);

	if (r < 0)
		return r;
	rec->digest = log_items_digest(&rec->names);
	if (known_digest && *known_digest == rec->digest)
		return 0;
	if (log_changes_have(changes, rec->transid, log_change_inode(inode->root->id, inode->ino)))
		return 1;
	for (u32 i = 0; r == 0 && i < rec->names.count; i++)
		r = check_names(rec, changes, i, &last_parent);
	return r;
}

/* ---- extents ---- */

struct extent_walk {
	struct log_record *rec;
	u64 pos;      /* everything before has been looked at */
	bool sums;
	struct log_ranges summed; /* addresses whose checksums are new */
};

/* At the first extent that ends behind @start, or at something else behind it: 0; 1 nothing there. */
static int first_extent(struct root *root, u64 ino, u64 start, struct path *path)
{
	struct key key = file_extent_key(ino, start);
	struct file_mapping m;
	int r = tree_search_prev(root, &key, path);

	if (r == -ENOENT) {
		r = tree_search_next(root, &key, path);
		return r == -ENOENT ? 1 : MIN(r, 0);
	}
	if (r < 0)
		return r;
	return file_extent_here(path, ino, &m) && mapping_end(&m) > start ? 0 : tree_next(path);
}

static int add_hole(struct extent_walk *w, u64 start, u64 end)
{
	struct log_record *rec = w->rec;
	struct file_mapping m = {.type = MAPPING_HOLE, .off = start, .generation = rec->transid};
	struct key key = file_extent_key(rec->inode->ino, start);
	struct btrfs_file_extent_item item;

	end = MIN(end, rec->hole_end);
	if (start >= end || !fs_has_incompat(rec->inode->fs, BTRFS_FEATURE_INCOMPAT_NO_HOLES))
		return 0;
	m.len = m.ram_bytes = end - start;
	file_mapping_encode(&m, &item);
	return log_items_add(&rec->extents, &key, &item, sizeof(item));
}

/* Checksums of what this transaction wrote of @m in [start, end). Compressed extents have them as a
 * whole. */
static int note_sums(struct extent_walk *w, const struct file_mapping *m, u64 start, u64 end)
{
	u64 from = MAX(start, m->off), to = MIN(end, mapping_end(m));

	if (!w->sums || m->type != MAPPING_REG || !m->disk_bytenr ||
	    m->generation < w->rec->transid || from >= to)
		return 0;
	if (m->compression)
		return log_ranges_add(&w->summed, m->disk_bytenr, m->disk_bytenr + m->disk_bytes);
	from += mapping_logical(m) - m->off;
	to += mapping_logical(m) - m->off;
	return log_ranges_add(&w->summed, from, to);
}

static int add_extent(struct extent_walk *w, struct path *path, const struct file_mapping *m,
		      u64 start, u64 end)
{
	struct key key = path_key(path);
	int r = add_hole(w, w->pos, m->off);

	if (r == 0)
		r = log_items_add(&w->rec->extents, &key, path_data(path), path_size(path));
	if (r == 0)
		r = note_sums(w, m, start, end);
	w->pos = mapping_end(m);
	return r;
}

/* All that covers [start, end), as whole items. */
static int walk_range(struct extent_walk *w, u64 start, u64 end)
{
	_cleanup_path_ struct path path = {};
	struct inode *inode = w->rec->inode;
	struct file_mapping m;
	u64 low;
	int r;

	start = MAX(start, w->pos);
	if (start >= end)
		return 0;
	low = w->pos = start;
	for (r = first_extent(inode->root, inode->ino, start, &path); r == 0; r = tree_next(&path)) {
		if (!file_extent_here(&path, inode->ino, &m) || m.off >= end)
			break;
		low = MIN(low, m.off);
		r = add_extent(w, &path, &m, start, end);
		if (r < 0 || w->pos >= end || too_large(w->rec))
			break;
	}
	path_release(&path);
	if (r >= 0)
		r = add_hole(w, w->pos, end);
	w->pos = MAX(w->pos, end);
	return r < 0 ? r : log_ranges_add(&w->rec->replaced, low, w->pos);
}

static int add_csum_item(struct log_record *rec, u64 logical, const u8 *csums, u32 sectors)
{
	struct key key = KEY(BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, logical);

	return log_items_add(&rec->csums, &key, csums, sectors * rec->inode->fs->csum_size);
}

/* Each run of sectors that have one. */
static int add_csum_runs(struct log_record *rec, u64 logical, u32 sectors, const u8 *csums,
			 const bool *present)
{
	struct fs *fs = rec->inode->fs;
	int r = 0;

	for (u32 i = 0, n; r == 0 && i < sectors; i += n) {
		for (n = 1; i + n < sectors && present[i + n] == present[i];)
			n++;
		if (present[i])
			r = add_csum_item(rec, logical + (u64)i * fs->sectorsize,
					  csums + (size_t)i * fs->csum_size, n);
	}
	return r;
}

static int add_csums(struct log_record *rec, u64 logical, u64 len)
{
	struct fs *fs = rec->inode->fs;
	u32 sectors = (u32)(len / fs->sectorsize);
	_cleanup_free_ u8 *csums = malloc((size_t)sectors * fs->csum_size);
	_cleanup_free_ bool *present = malloc(sectors * sizeof(*present));
	int r;

	if (!csums || !present)
		return -ENOMEM;
	r = csum_lookup(fs, logical, len, csums, present);
	return r <= 0 ? r : add_csum_runs(rec, logical, sectors, csums, present);
}

static int fill_csums(struct log_record *rec, const struct log_ranges *summed)
{
	int r = 0;

	for (u32 i = 0; i < summed->count; i++)
		for (u64 at = summed->v[i].start; r == 0 && at < summed->v[i].end; at += CSUM_PIECE) {
			r = add_csums(rec, at, MIN(CSUM_PIECE, summed->v[i].end - at));
			r = r == 0 && too_large(rec) ? 1 : r;
		}
	return r;
}

/* What changed in this transaction since it was last logged. */
static int changed_ranges(struct log_record *rec, struct log_ranges *ret)
{
	struct inode *inode = rec->inode;
	int r = 0;

	if (inode->log.unknown == rec->transid)
		return log_ranges_add(ret, 0, UINT64_MAX);
	MUTEX_SCOPE(&inode->attr_lock);
	if (inode->log.changed_transid != rec->transid)
		return 0;
	for (u32 i = 0; r == 0 && i < inode->log.changed.count; i++)
		r = log_ranges_add(ret, inode->log.changed.v[i].start, inode->log.changed.v[i].end);
	return r;
}

static int fill_extents(struct log_record *rec, const struct inode_attr *a)
{
	_cleanup_log_ranges_ struct log_ranges changed = {};
	struct extent_walk w = {.rec = rec, .sums = !(a->flags & BTRFS_INODE_NODATASUM)};
	int r = changed_ranges(rec, &changed);

	rec->hole_end = ALIGN_UP(get_le64(&rec->item.size), (u64)rec->inode->fs->sectorsize);
	/* whoever replays drops what lies behind the end first */
	if (r == 0 && (a->flags & BTRFS_INODE_PREALLOC))
		r = log_ranges_add(&changed, rec->hole_end, UINT64_MAX);
	for (u32 i = 0; r == 0 && i < changed.count; i++)
		r = walk_range(&w, changed.v[i].start, changed.v[i].end);
	r = r == 0 && too_large(rec) ? 1 : r;
	if (r == 0)
		r = fill_csums(rec, &w.summed);
	log_ranges_free(&w.summed);
	return r;
}

/* ---- all of it ---- */

static int fill_item(struct log_record *rec, struct inode_attr *a)
{
	struct inode *inode = rec->inode;
	struct key key = KEY(inode->ino, BTRFS_INODE_ITEM_KEY, 0);
	int r = tree_lookup(inode->root, &key, &rec->item, sizeof(rec->item));

	if (r < 0)
		return r == -ENOENT ? 1 : r;
	inode_attr_copy(inode, a);
	rec->sequence = a->sequence;
	a->transid = rec->transid;
	a->size = file_disk_size(inode);
	inode_item_encode(a, &rec->item);
	return a->nlink ? 0 : 1;
}

int log_record_fill(struct log_record *rec, struct log_changes *changes, const u32 *known_digest)
{
	struct inode_attr a;
	int r;

	/* the tree that the log is for has to be there before */
	if (get_le64(&rec->inode->root->item.otransid) >= rec->transid)
		return 1;
	r = fill_item(rec, &a);
	if (r == 0)
		r = fill_names(rec, changes, known_digest);
	if (r == 0)
		r = fill_extents(rec, &a);
	return r == 0 && too_large(rec) ? 1 : r;
}
