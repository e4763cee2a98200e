/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_info.c - reference count and flags of an extent, and whether somebody else holds it.
 *
 * Invariant: item and queue are looked at under the extent's reference mutex, so nothing is
 * counted twice or missed while the queue is applied. Under the mutex only cached nodes are looked
 * at; what is missing is read after letting go, and the look begins again.
 */
#include "core/extent/extent_info.h"

#include "core/extent/delayed_queue.h"
#include "core/extent/extent_find.h"
#include "core/extent/keyed_ref.h"
#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/search.h"
#include "disk/base/log.h"

#define MISSES_MAX 1000

void kept_nodes_put(struct kept_nodes *kept)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kept->nodes); i++)
		eb_put(kept->nodes[i]);
	*kept = (struct kept_nodes){};
}

int kept_nodes_read(struct kept_nodes *kept, struct tree_miss *miss)
{
	struct extent_buffer **slot = &kept->nodes[kept->next++ % ARRAY_SIZE(kept->nodes)];
	struct extent_buffer *eb = NULL;
	int r = tree_miss_read(miss, &eb);

	if (r)
		return r == -EAGAIN ? 0 : r;
	eb_put(*slot);
	*slot = eb;
	return 0;
}

int extent_item_find(struct root *extent_root, struct path *path, u64 logical,
		     struct extent_edit *ret)
{
	struct key key = KEY(logical, BTRFS_METADATA_ITEM_KEY, UINT64_MAX);
	int r = tree_search_prev(extent_root, &key, path);

	if (r < 0)
		return r;
	key = path_key(path);
	if (key.objectid != logical || !extent_key_is(&key)) {
		path_release(path);
		return -ENOENT;
	}
	r = extent_edit_load(ret, &key, path_data(path), path_size(path));
	if (r)
		log_fault("extent item " KEY_FMT ": references do not fit %u bytes", KEY_ARG(key),
			  path_size(path));
	return r;
}

void extent_info_from_item(struct fs *fs, const struct extent_edit *e, struct extent_info *ret)
{
	bool skinny = e->key.type == BTRFS_METADATA_ITEM_KEY;

	*ret = (struct extent_info){.logical = e->key.objectid,
				    .length = skinny ? fs->nodesize : e->key.offset,
				    .refs = extent_edit_refs(e),
				    .flags = extent_edit_flags(e),
				    .generation = extent_edit_generation(e),
				    .owner = extent_edit_owner(e),
				    .level = extent_edit_level(e)};
}

static int item_info_cached(struct fs *fs, u64 logical, struct extent_info *ret,
			    struct tree_miss *miss)
{
	_cleanup_path_ struct path path = {.cached_only = true};
	struct extent_edit edit;
	int r = extent_item_find(fs->extent_root, &path, logical, &edit);

	if (!r)
		extent_info_from_item(fs, &edit, ret);
	else if (r == -EAGAIN)
		*miss = TAKE(path.miss);
	return r;
}

int extent_info_cached(struct fs *fs, u64 logical, struct extent_info *ret, struct tree_miss *miss)
{
	struct dref_sum sum = dref_peek(fs, logical, NULL, NULL);
	struct extent_info info = {.logical = logical, .length = sum.len, .level = sum.level};
	int r = sum.create ? 0 : item_info_cached(fs, logical, &info, miss);

	if (r)
		return r;
	if ((s64)info.refs + sum.total < 0) {
		log_fault("extent %llu: %llu references and %lld queued",
			  (unsigned long long)logical, (unsigned long long)info.refs,
			  (long long)sum.total);
		return -EUCLEAN;
	}
	info.refs += (u64)sum.total;
	info.flags |= sum.flags_set;
	if (!info.refs)
		return -ENOENT;
	*ret = info;
	return 0;
}

static int look_once(struct fs *fs, u64 logical, extent_look_fn look, void *arg,
		     struct tree_miss *miss)
{
	MUTEX_SCOPE(ref_mutex(fs, logical));

	return look(fs, logical, arg, miss);
}

int extent_look(struct fs *fs, u64 logical, extent_look_fn look, void *arg)
{
	_cleanup_kept_ struct kept_nodes kept = {};

	for (int i = 0; i < MISSES_MAX; i++) {
		struct tree_miss miss = {};
		int r = look_once(fs, logical, look, arg, &miss);

		if (r != -EAGAIN)
			return r;
		r = kept_nodes_read(&kept, &miss);
		if (r)
			return r;
	}
	log_fault("extent %llu: the extent tree did not stay readable",
		  (unsigned long long)logical);
	return -EIO;
}

static int look_info(struct fs *fs, u64 logical, void *arg, struct tree_miss *miss)
{
	return extent_info_cached(fs, logical, arg, miss);
}

int extent_info(struct fs *fs, u64 logical, struct extent_info *ret)
{
	return extent_look(fs, logical, look_info, ret);
}

struct shared_query {
	u64 len;
	struct ref ours;
};

/* How many references the item has in all and how many of them are ours. */
static int item_counts(struct fs *fs, u64 logical, const struct shared_query *q, s64 *all,
		       s64 *ours, struct tree_miss *miss)
{
	_cleanup_path_ struct path path = {.cached_only = true};
	struct extent_edit edit;
	u32 pos, count = 0;
	int r = extent_item_find(fs->extent_root, &path, logical, &edit);

	if (!r && (!extent_edit_is_data(&edit) || edit.key.offset != q->len))
		r = -ENOENT;
	if (!r && !inline_ref_find(&edit, &q->ours, &pos, &count)) {
		path_release(&path);
		path.cached_only = true;
		r = keyed_ref_count(fs, &path, logical, &q->ours, &count);
		r = r == -ENOENT ? 0 : r;
	}
	if (r == -EAGAIN)
		*miss = TAKE(path.miss);
	if (r)
		return r;
	*all = (s64)extent_edit_refs(&edit);
	*ours = count;
	return 0;
}

static int look_shared(struct fs *fs, u64 logical, void *arg, struct tree_miss *miss)
{
	const struct shared_query *q = arg;
	s64 all = 0, ours = 0, queued_ours = 0;
	struct dref_sum sum = dref_peek(fs, logical, &q->ours, &queued_ours);
	int r = sum.create ? 0 : item_counts(fs, logical, q, &all, &ours, miss);

	if (r)
		return r == -ENOENT ? 1 : r;
	if (sum.others || dropped_since(fs->drefs, logical, trans_durable_id(fs)))
		return 1; /* somebody came, or went but would come back after a crash */
	ours += queued_ours;
	return ours <= 0 || all + sum.total != ours;
}

int data_extent_shared(struct fs *fs, u64 logical, u64 len, u64 root, u64 ino, u64 extent_file_off)
{
	struct shared_query q = {.len = len, .ours = ref_data(root, 0, ino, extent_file_off)};

	return extent_look(fs, logical, look_shared, &q);
}
