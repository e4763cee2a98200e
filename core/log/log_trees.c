/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_trees.c - see log_trees.h. */
#include "core/log/log_trees.h"

#include "core/extent/csum_tree.h"
#include "core/extent/tree_block.h"
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"

/* What syncs have taken stays taken until the next commit; a commit is cheap against that many syncs. */
#define LOG_NODES_MAX 4096u

/* An empty log tree, whose nodes are ours. */
static int tree_new(struct trans *trans, struct tree_log *log, struct root **ret)
{
	struct root *tree = root_new(trans->fs, BTRFS_TREE_LOG_OBJECTID, NULL);
	struct key first = KEY_MIN;
	int r;

	if (!tree)
		return -ENOMEM;
	tree->log = &log->nodes;
	r = tree_block_alloc(trans, tree, 0, &first, &tree->node);
	if (r < 0) {
		root_put(tree);
		return r;
	}
	*ret = tree;
	return 0;
}

/* The tree of the subvolume @id, made at first use. 1: there are too many. */
static int subvol_get(struct trans *trans, struct tree_log *log, u64 id, struct log_subvol **ret)
{
	struct log_subvol *s;
	int r;

	for (unsigned i = 0; i < log->subvol_count; i++)
		if (log->subvols[i].id == id) {
			*ret = &log->subvols[i];
			return 0;
		}
	if (log->subvol_count == LOG_SUBVOLS_MAX)
		return 1;
	s = &log->subvols[log->subvol_count];
	*s = (struct log_subvol){ .id = id };
	r = tree_new(trans, log, &s->tree);
	if (r < 0)
		return r;
	log->subvol_count++;
	*ret = s;
	return 0;
}

/* ---- changing a log tree ---- */

static int delete_between(struct trans *trans, struct root *tree, struct key key,
			  const struct key *last)
{
	for (;;) {
		_cleanup_path_ struct path path = {};
		int r = tree_search_cow_next(trans, tree, &key, -1, &path);

		if (r < 0)
			return r == -ENOENT ? 0 : r;
		key = path_key(&path);
		if (key_cmp(&key, last) > 0)
			return 0;
		r = tree_delete(trans, &path);
		if (r < 0)
			return r;
	}
}

static int put_items(struct trans *trans, struct root *tree, const struct log_items *items)
{
	int r = 0;

	for (u32 i = 0; r == 0 && i < items->count; i++)
		r = tree_put(trans, tree, &items->v[i].key, log_item_data(items, i),
			     items->v[i].size);
	return r;
}

/* Directories only have to be there: what the log has of one is left alone. */
static int put_missing(struct trans *trans, struct root *tree, const struct log_items *items)
{
	int r = 0;

	for (u32 i = 0; r == 0 && i < items->count; i++) {
		r = tree_insert(trans, tree, &items->v[i].key, log_item_data(items, i),
				items->v[i].size);
		r = r == -EEXIST ? 0 : r;
	}
	return r;
}

/* Write-locked at the first logged extent that meets [start, end): 0; 1 none. */
static int find_extent(struct trans *trans, struct root *tree, u64 ino, u64 start, u64 end,
		       struct path *path, struct file_mapping *ret)
{
	struct key key = file_extent_key(ino, start);
	int r = tree_search_cow_prev(trans, tree, &key, -1, path);

	if (r >= 0 && file_extent_here(path, ino, ret) && mapping_end(ret) > start)
		return 0;
	r = tree_search_cow_next(trans, tree, &key, -1, path);
	if (r < 0)
		return r == -ENOENT ? 1 : r;
	return file_extent_here(path, ino, ret) && ret->off < end ? 0 : 1;
}

/* Leaves of the item at @path what lies outside of [start, end). */
static int cut_extent(struct trans *trans, struct path *path, const struct file_mapping *m,
		      u64 start, u64 end)
{
	struct file_mapping piece[2];
	struct btrfs_file_extent_item item;
	int n = m->type == MAPPING_INLINE ? 0 : file_mapping_cut(m, start, end, piece), r = 0;
	struct key key;

	if (n == 0)
		return tree_delete(trans, path);
	key = path_key(path);
	for (int i = 0; r == 0 && i < n; i++) {
		bool moved = key.offset != piece[i].off;

		key.offset = piece[i].off;
		if (i > 0)
			r = tree_duplicate_item(trans, path, &key);
		else if (moved)
			tree_set_key(trans, path, &key);
		if (r < 0)
			break;
		file_mapping_encode(&piece[i], &item);
		memcpy(path_data(path), &item, sizeof(item));
	}
	return r;
}

static int cut_range(struct trans *trans, struct root *tree, u64 ino, u64 start, u64 end)
{
	for (;;) {
		_cleanup_path_ struct path path = {};
		struct file_mapping m;
		int r = find_extent(trans, tree, ino, start, end, &path, &m);

		if (r != 0)
			return MIN(r, 0);
		r = cut_extent(trans, &path, &m, start, end);
		if (r < 0)
			return r;
	}
}

static int put_names(struct trans *trans, struct root *tree, const struct log_record *rec,
		     bool again)
{
	u64 ino = rec->inode->ino;
	struct key last = KEY(ino, BTRFS_XATTR_ITEM_KEY, UINT64_MAX);
	int r = 0;

	if (rec->inode->log.transid == rec->transid && rec->inode->log.digest == rec->digest)
		return 0;
	if (again)
		r = delete_between(trans, tree, KEY(ino, BTRFS_INODE_REF_KEY, 0), &last);
	return r < 0 ? r : put_items(trans, tree, &rec->names);
}

static int put_extents(struct trans *trans, struct root *tree, const struct log_record *rec,
		       bool again)
{
	int r = 0;

	for (u32 i = 0; again && r == 0 && i < rec->replaced.count; i++)
		r = cut_range(trans, tree, rec->inode->ino, rec->replaced.v[i].start,
			      rec->replaced.v[i].end);
	return r < 0 ? r : put_items(trans, tree, &rec->extents);
}

static int put_csums(struct trans *trans, struct root *tree, const struct log_record *rec)
{
	struct fs *fs = trans->fs;
	int r = 0;

	for (u32 i = 0; r == 0 && i < rec->csums.count; i++) {
		const struct log_item *it = &rec->csums.v[i];

		r = csum_insert_in(trans, tree, it->key.offset,
				   (u64)(it->size / fs->csum_size) * fs->sectorsize,
				   log_item_data(&rec->csums, i));
	}
	return r;
}

static int put_record(struct trans *trans, struct root *tree, const struct log_record *rec)
{
	struct key key = KEY(rec->inode->ino, BTRFS_INODE_ITEM_KEY, 0);
	/* what came into memory again may be in the log from before */
	bool again = rec->inode->log.transid == rec->transid ||
		     rec->inode->log.unknown == rec->transid;
	int r = put_missing(trans, tree, &rec->above);

	if (r == 0)
		r = tree_put(trans, tree, &key, &rec->item, sizeof(rec->item));
	if (r == 0)
		r = put_names(trans, tree, rec, again);
	if (r == 0)
		r = put_extents(trans, tree, rec, again);
	if (r == 0)
		r = put_csums(trans, tree, rec);
	return r;
}

int log_trees_put(struct trans *trans, struct tree_log *log, const struct log_record *rec)
{
	struct log_subvol *s;
	int r;

	if (log->nodes.count > LOG_NODES_MAX)
		return 1;
	log->transid = trans->transid;
	r = subvol_get(trans, log, rec->inode->root->id, &s);
	if (r != 0)
		return r;
	s->changed = true;
	return put_record(trans, s->tree, rec);
}

/* ---- the tree of roots ---- */

static void fill_root_item(const struct root *tree, struct btrfs_root_item *item)
{
	memset(item, 0, sizeof(*item));
	put_le64(&item->inode.generation, 1);
	put_le64(&item->inode.size, 3);
	put_le64(&item->inode.nbytes, tree->fs->nodesize);
	put_le32(&item->inode.nlink, 1);
	put_le32(&item->inode.mode, S_IFDIR | 0755);
	put_le64(&item->bytenr, tree->node->logical);
	put_le64(&item->generation, tree->node->generation);
	put_le64(&item->generation_v2, tree->node->generation);
	item->level = tree->node->level;
}

int log_trees_settle(struct trans *trans, struct tree_log *log)
{
	struct btrfs_root_item item;
	int r = log->top ? 0 : tree_new(trans, log, &log->top);

	for (unsigned i = 0; r == 0 && i < log->subvol_count; i++) {
		struct log_subvol *s = &log->subvols[i];
		struct key key = KEY(BTRFS_TREE_LOG_OBJECTID, BTRFS_ROOT_ITEM_KEY, s->id);

		if (!s->changed)
			continue;
		fill_root_item(s->tree, &item);
		r = tree_put(trans, log->top, &key, &item, sizeof(item));
		s->changed = r < 0;
	}
	return r;
}

void log_trees_free(struct tree_log *log)
{
	for (unsigned i = 0; i < log->subvol_count; i++)
		root_put(log->subvols[i].tree);
	log->subvol_count = 0;
	root_put(TAKE(log->top));
	log_nodes_free(&log->nodes);
	log->transid = 0;
}

int log_trees_drop(struct trans *trans, struct tree_log *log)
{
	int r = log_nodes_pin(trans, &log->nodes);

	log_trees_free(log);
	return r;
}
