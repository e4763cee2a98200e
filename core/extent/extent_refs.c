/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * extent_refs.c - listing every holder of an extent, and walking the extents of a range, for
 * relocation.
 *
 * Both read the tree only. Callbacks run without locks: a scan copies a batch of items under the
 * read lock and hands it out afterwards, so an item may have changed by then.
 */
#include "core/extent/extent_find.h"
#include "core/extent/keyed_ref.h"
#include "core/fs.h"
#include "core/tree/search.h"
#include "disk/base/log.h"

#define SCAN_BATCH 256

void ref_list_free(struct ref_list *list)
{
	free(list->v);
	*list = (struct ref_list){};
}

static int ref_list_add(struct ref_list *list, const struct ref_count *ref)
{
	if (list->count == list->room) {
		u32 room = list->room ? list->room * 2 : 8;
		struct ref_count *v = realloc(list->v, room * sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->room = room;
	}
	list->v[list->count++] = *ref;
	return 0;
}

static int list_inline(struct root *extent_root, u64 logical, struct ref_list *list)
{
	_cleanup_path_ struct path path = {};
	struct extent_edit edit;
	struct ref_count ref;
	u32 pos;
	int r = extent_item_find(extent_root, &path, logical, &edit);

	if (r)
		return r;
	extent_info_from_item(extent_root->fs, &edit, &list->info);
	for (pos = edit.refs_at; !r && inline_ref_next(&edit, &pos, &ref);)
		r = ref_list_add(list, &ref);
	return r;
}

static int list_keyed(struct root *extent_root, u64 logical, struct ref_list *list)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(logical, REF_TREE_BLOCK, 0);
	struct ref_count ref;
	int r = tree_search_next(extent_root, &key, &path);

	for (r = r == 1 ? 0 : r; !r; r = tree_next(&path)) {
		key = path_key(&path);
		if (!keyed_ref_is(&key, logical))
			return 0;
		r = keyed_ref_decode(&key, path_data(&path), path_size(&path), &ref);
		r = r ? r : ref_list_add(list, &ref);
		if (r)
			return r;
	}
	return r == 1 || r == -ENOENT ? 0 : r;
}

/* The listed counts must add up to the item's. */
static int list_check(const struct ref_list *list)
{
	u64 sum = 0;

	for (u32 i = 0; i < list->count; i++)
		sum += (u64)list->v[i].count;
	if (sum == list->info.refs)
		return 0;
	log_fault("extent %llu: item says %llu references, %llu found",
		  (unsigned long long)list->info.logical, (unsigned long long)list->info.refs,
		  (unsigned long long)sum);
	return -EUCLEAN;
}

int extent_refs_list_in(struct root *extent_root, u64 logical, struct ref_list *ret)
{
	_cleanup_ref_list_ struct ref_list list = {};
	int r = list_inline(extent_root, logical, &list);

	r = r ? r : list_keyed(extent_root, logical, &list);
	r = r ? r : list_check(&list);
	*ret = r ? (struct ref_list){} : TAKE(list);
	return r;
}

int extent_refs_list(struct fs *fs, u64 logical, struct ref_list *ret)
{
	return extent_refs_list_in(fs->extent_root, logical, ret);
}

struct scan_batch {
	u32 count;
	bool end;
	struct extent_info v[SCAN_BATCH];
};

/* Items from @key on that begin before @end; @key is moved behind the last one looked at. */
static int scan_fill(struct fs *fs, struct key *key, u64 end, struct scan_batch *batch)
{
	_cleanup_path_ struct path path = {};
	struct extent_edit edit;
	int r = tree_search_next(fs->extent_root, key, &path);

	batch->count = 0;
	batch->end = false;
	for (r = r == 1 ? 0 : r; !r && batch->count < SCAN_BATCH; r = tree_next(&path)) {
		struct key here = path_key(&path);

		if (here.objectid >= end) {
			batch->end = true;
			return 0;
		}
		*key = key_next(here);
		if (!extent_key_is(&here))
			continue;
		r = extent_edit_load(&edit, &here, path_data(&path), path_size(&path));
		if (r) {
			log_fault("extent item " KEY_FMT ": malformed", KEY_ARG(here));
			return r;
		}
		extent_info_from_item(fs, &edit, &batch->v[batch->count++]);
	}
	batch->end = r == 1 || r == -ENOENT;
	return batch->end ? 0 : r;
}

int extent_scan(struct fs *fs, u64 start, u64 end,
		int (*cb)(void *ctx, const struct extent_info *info), void *ctx)
{
	_cleanup_free_ struct scan_batch *batch = malloc(sizeof(*batch));
	struct key key = KEY(start, 0, 0);
	int r = batch ? 0 : -ENOMEM;

	if (r)
		return r;
	do {
		r = scan_fill(fs, &key, end, batch);
		for (u32 i = 0; !r && i < batch->count; i++)
			r = cb(ctx, &batch->v[i]);
	} while (!r && !batch->end);
	return r;
}
