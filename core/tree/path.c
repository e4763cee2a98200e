/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * path.c - releasing paths, following pointers in the cache, reading what was missed.
 *
 * A pointer is believed under the tree lock only. A miss copies what the pointer says, enters an
 * epoch before the lock goes, and the read is checked against it; if no mirror has such a node the
 * pointer is looked at again, since it may have been replaced meanwhile.
 */
#include "core/fs.h"
#include "core/tree/node_cache.h"
#include "core/tree/tree_internal.h"
#include "disk/base/log.h"

void path_unlock(struct path *path)
{
	if (path->lock != PATH_UNLOCKED)
		rwlock_unlock(&path->root->lock);
	path->lock = PATH_UNLOCKED;
	for (int i = 0; i < NODE_LEVEL_MAX; i++) {
		eb_put(path->nodes[i]);
		path->nodes[i] = NULL;
	}
}

void path_release(struct path *path)
{
	path_unlock(path);
	tree_miss_drop(&path->miss);
	for (int i = 0; i < PATH_KEPT; i++) {
		eb_put(path->kept[i]);
		path->kept[i] = NULL;
	}
	path->kept_next = 0;
}

static void path_keep(struct path *path, struct extent_buffer *eb)
{
	eb_put(path->kept[path->kept_next]);
	path->kept[path->kept_next] = eb;
	path->kept_next = (path->kept_next + 1) % PATH_KEPT;
}

int path_read_miss(struct path *path)
{
	struct extent_buffer *eb;
	int rc;

	path_unlock(path);
	if (!path->miss.set)
		return 0;
	rc = tree_miss_read(&path->miss, &eb);
	if (rc == -EAGAIN)
		return 0;
	if (rc < 0)
		path_release(path);
	else
		path_keep(path, eb);
	return rc;
}

struct key path_key(const struct path *path)
{
	return node_key(path->nodes[0]->data, (u32)path->slots[0]);
}

u32 path_size(const struct path *path)
{
	return leaf_item_size(path->nodes[0]->data, (u32)path->slots[0]);
}

void *path_data(const struct path *path)
{
	return leaf_data_mut(path->nodes[0]->data, (u32)path->slots[0]);
}

/* Does the pointer still say what the miss was about? Looks at cached nodes only; not known means
 * no, since a search keeps what it reads, so that starting again ends. */
static bool miss_pointer_is_same(const struct tree_miss *miss)
{
	const struct node_expect *want = &miss->expect;
	_cleanup_eb_ struct extent_buffer *eb = NULL;

	RDLOCK_SCOPE(&miss->root->lock);
	eb = eb_get(miss->root->node);
	while (eb->level > want->level) {
		struct extent_buffer *child;
		int slot;

		if (!node_nritems(eb->data))
			return false;
		node_find_slot(eb->data, &miss->key, &slot);
		if (eb->level == want->level + 1)
			return node_blockptr(eb->data, (u32)slot) == want->logical &&
			       node_ptr_generation(eb->data, (u32)slot) == want->generation;
		child = node_cache_find(eb->fs, node_blockptr(eb->data, (u32)slot));
		if (!child || child->generation != node_ptr_generation(eb->data, (u32)slot)) {
			eb_put(child);
			return false;
		}
		eb_put(eb);
		eb = child;
	}
	return false;
}

static bool miss_still_wanted(void *ctx)
{
	return miss_pointer_is_same(ctx);
}

int tree_miss_read(struct tree_miss *miss, struct extent_buffer **ret)
{
	struct node_expect want = miss->expect;
	int rc;

	want.still_wanted = miss_still_wanted;
	want.ctx = miss;
	rc = node_cache_read(miss->root->fs, &want, ret);
	if (rc == -EIO && !miss_pointer_is_same(miss))
		rc = -EAGAIN;
	tree_miss_drop(miss);
	return rc;
}

void tree_miss_drop(struct tree_miss *miss)
{
	if (miss->set)
		epoch_exit(&miss->epoch);
	miss->set = false;
}

static void path_set_miss(struct path *path, int level)
{
	const void *node = path->nodes[level]->data;
	u32 slot = (u32)path->slots[level];
	struct root *root = path->root;

	tree_miss_drop(&path->miss);
	path->miss = (struct tree_miss){
		.set = true,
		.root = root,
		.epoch = epoch_enter(root->fs),
		.key = node_key(node, slot),
		.expect =
			{
				.logical = node_blockptr(node, slot),
				.generation = node_ptr_generation(node, slot),
				.exact_generation = true,
				.level = (u8)(level - 1),
				.owner = root->shareable ? 0 : root->id,
				.has_first_key = true,
				.first_key = node_key(node, slot),
			},
	};
}

int path_child_at(struct path *path, int level, int slot, struct extent_buffer **ret)
{
	const void *node = path->nodes[level]->data;
	u64 logical = node_blockptr(node, (u32)slot);
	u64 generation = node_ptr_generation(node, (u32)slot);
	_cleanup_eb_ struct extent_buffer *eb = node_cache_find(path->root->fs, logical);

	if (!eb || (eb->generation != generation && !eb_test(eb, EB_DIRTY)))
		return -EAGAIN;
	if (eb->generation != generation || eb->level != level - 1) {
		log_fault("tree %llu: node %llu: pointer in %llu slot %d wants generation %llu "
			  "level %d, "
			  "node has %llu level %u",
			  (unsigned long long)path->root->id, (unsigned long long)logical,
			  (unsigned long long)path->nodes[level]->logical, slot,
			  (unsigned long long)generation, level - 1,
			  (unsigned long long)eb->generation, eb->level);
		return -EUCLEAN;
	}
	*ret = TAKE(eb);
	return 0;
}

int path_descend(struct path *path, int level)
{
	struct extent_buffer *child;
	int rc = path_child_at(path, level, path->slots[level], &child);

	if (rc == -EAGAIN)
		path_set_miss(path, level);
	if (rc < 0)
		return rc;
	eb_put(path->nodes[level - 1]);
	path->nodes[level - 1] = child;
	return 0;
}

bool node_find_slot(const void *node, const struct key *key, int *ret)
{
	bool exact;
	u32 slot = node_bsearch(node, key, &exact);

	if (node_level(node) && !exact && slot)
		slot--;
	*ret = (int)slot;
	return exact;
}
