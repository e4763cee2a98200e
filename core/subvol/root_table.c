/* SPDX-License-Identifier: GPL-2.0-or-later */
/* root_table.c - see root_table.h.
 *
 * Locks: the table's mutex covers the list only; loading happens without it, and of two threads
 * that loaded the same root the first one's stays.
 */
#include "core/subvol/root_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/trans/epoch.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/node_cache.h"
#include "core/tree/root.h"
#include "core/tree/search.h"
#include "disk/base/log.h"

TAILQ_HEAD(root_list, root);

struct root_table {
	struct mutex lock;
	struct root_list roots;
};

struct root *root_new(struct fs *fs, u64 root_id, struct extent_buffer *node)
{
	struct root *root = calloc(1, sizeof(*root));

	if (!root)
		return NULL;
	root->fs = fs;
	root->id = root_id;
	root->node = node;
	atomic_init(&root->refs, 1);
	rwlock_init(&root->lock, RANK_TREE);
	return root;
}

static void root_free(struct root *root)
{
	eb_put(root->node);
	rwlock_destroy(&root->lock);
	free(root);
}

/* Roots of the table are freed with the table; it holds a reference of its own. */
void root_put(struct root *root)
{
	if (root && atomic_fetch_sub(&root->refs, 1) == 1)
		root_free(root);
}

void root_putp(struct root **root)
{
	root_put(*root);
}

int root_load_at(struct fs *fs, u64 root_id, u64 logical, u64 generation, u8 level,
		 struct root **ret)
{
	struct node_expect want = { .logical = logical, .generation = generation, .level = level };
	_cleanup_eb_ struct extent_buffer *node = NULL;
	struct root *root;
	EPOCH_SCOPE(fs);
	int r = node_cache_read(fs, &want, &node);

	if (r < 0)
		return r;
	root = root_new(fs, root_id, node);
	if (!root)
		return -ENOMEM;
	node = NULL;
	*ret = root;
	return 0;
}

static bool is_subvolume_id(u64 id)
{
	return id == BTRFS_FS_TREE_OBJECTID ||
	       (id >= BTRFS_FIRST_FREE_OBJECTID && id <= BTRFS_LAST_FREE_OBJECTID);
}

int root_read_item(struct root *tree_root, u64 root_id, struct btrfs_root_item *ret)
{
	struct key key = { root_id, BTRFS_ROOT_ITEM_KEY, 0 };
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(tree_root, &key, &path);

	if (r < 0)
		return r;
	key = path_key(&path);
	if (key.objectid != root_id || key.type != BTRFS_ROOT_ITEM_KEY)
		return -ENOENT;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, path_data(&path), MIN((size_t)path_size(&path), sizeof(*ret)));
	if (get_le64(&ret->generation_v2) != get_le64(&ret->generation))
		memset((u8 *)ret + offsetof(struct btrfs_root_item, generation_v2), 0,
		       sizeof(*ret) - offsetof(struct btrfs_root_item, generation_v2));
	return 0;
}

int root_load_from(struct root *tree_root, u64 root_id, struct root **ret)
{
	struct fs *fs = tree_root->fs;
	struct btrfs_root_item item;
	struct root *root;
	int r = root_read_item(tree_root, root_id, &item);

	if (r < 0)
		return r;
	r = root_load_at(fs, root_id, get_le64(&item.bytenr), get_le64(&item.generation),
			 item.level, &root);
	if (r < 0)
		return r;
	root->item = item;
	root->shareable = is_subvolume_id(root_id);
	root->last_snapshot = get_le64(&item.last_snapshot);
	*ret = root;
	return 0;
}

int root_load(struct fs *fs, u64 root_id, struct root **ret)
{
	return root_load_from(fs->tree_root, root_id, ret);
}

int root_create(struct trans *trans, u64 root_id, struct root **ret)
{
	struct key key = { root_id, BTRFS_ROOT_ITEM_KEY, 0 }, first = KEY_MIN;
	struct root *root = root_new(trans->fs, root_id, NULL);
	int r;

	if (!root)
		return -ENOMEM;
	r = tree_block_alloc(trans, root, 0, &first, &root->node);
	if (r == 0) {
		put_le64(&root->item.bytenr, root->node->logical);
		put_le64(&root->item.generation, trans->transid);
		put_le64(&root->item.generation_v2, trans->transid);
		put_le64(&root->item.bytes_used, trans->fs->nodesize);
		put_le32(&root->item.refs, 1);
		r = tree_insert(trans, trans->fs->tree_root, &key, &root->item,
				sizeof(root->item));
	}
	if (r < 0) {
		root_free(root);
		return r;
	}
	trans_mark_root_dirty(trans, root);
	*ret = root;
	return 0;
}

static struct root *find_locked(struct root_table *table, u64 root_id)
{
	struct root *root;

	TAILQ_FOREACH(root, &table->roots, table_link)
		if (root->id == root_id) {
			atomic_fetch_add(&root->refs, 1);
			return root;
		}
	return NULL;
}

/* Keeps @loaded unless another thread was faster. */
static struct root *keep(struct root_table *table, struct root *loaded)
{
	struct root *root;

	MUTEX_SCOPE(&table->lock);
	root = find_locked(table, loaded->id);
	if (root) {
		root_put(loaded);
		return root;
	}
	atomic_fetch_add(&loaded->refs, 1);
	TAILQ_INSERT_HEAD(&table->roots, loaded, table_link);
	return loaded;
}

int root_get_any(struct fs *fs, u64 root_id, struct root **ret)
{
	struct root *root;
	int r;

	mutex_lock(&fs->roots->lock);
	root = find_locked(fs->roots, root_id);
	mutex_unlock(&fs->roots->lock);
	if (!root && root_id == BTRFS_DATA_RELOC_TREE_OBJECTID && fs->data_reloc_root) {
		root = fs->data_reloc_root;
		atomic_fetch_add(&root->refs, 1);
	} else if (!root) {
		if (!is_subvolume_id(root_id))
			return -ENOENT;
		r = root_load(fs, root_id, &root);
		if (r < 0)
			return r;
		root = keep(fs->roots, root);
	}
	*ret = root;
	return 0;
}

int root_get(struct fs *fs, u64 root_id, struct root **ret)
{
	struct root *root;
	int r = root_get_any(fs, root_id, &root);

	if (r < 0)
		return r;
	if (get_le32(&root->item.refs) == 0) { /* being deleted */
		root_put(root);
		return -ENOENT;
	}
	*ret = root;
	return 0;
}

int root_table_create(struct fs *fs)
{
	struct root_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	mutex_init(&table->lock, RANK_INODE_TABLE);
	TAILQ_INIT(&table->roots);
	fs->roots = table;
	return 0;
}

void root_table_destroy(struct fs *fs)
{
	struct root_table *table = fs->roots;
	struct root *root;

	if (!table)
		return;
	while ((root = TAILQ_FIRST(&table->roots))) {
		TAILQ_REMOVE(&table->roots, root, table_link);
		root_put(root);
	}
	mutex_destroy(&table->lock);
	free(table);
	fs->roots = NULL;
}
