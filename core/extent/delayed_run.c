/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * delayed_run.c - applies queued reference changes to the extent tree.
 *
 * Each extent is one step under its reference mutex: taken out of the queue, its item edited in
 * memory and written back, keyed references changed. Changing the extent tree queues more (its own
 * nodes come and go), perhaps for the very extent in hand, so a head is taken out before it is
 * applied and rounds go on until the queue is empty. An extent whose references all went within
 * the transaction never gets an item. Counts below zero, missing items and leftovers are faults.
 *
 * Locks: joins are blocked; the reference mutex, inside it one tree lock at a time and perhaps
 * device reads (nobody who holds a tree lock can be waiting for the mutex now). Space and
 * checksums are told after the mutex.
 */
#include <time.h>

#include "core/extent/csum_tree.h"
#include "core/extent/delayed_queue.h"
#include "core/extent/extent_find.h"
#include "core/extent/keyed_ref.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

enum outcome { OUTCOME_CHANGED, OUTCOME_ADDED, OUTCOME_FREED, OUTCOME_CANCELLED };

static int fault(const struct dref_head *head, const char *what)
{
	log_fault("extent %llu (%s, length %llu): %s", (unsigned long long)head->logical,
		  head->is_data ? "data" : "node", (unsigned long long)head->len, what);
	return -EUCLEAN;
}

static int ref_fault(const struct dref_head *head, const struct ref_count *ref, const char *what)
{
	log_fault("extent %llu: ref kind %u root %llu parent %llu ino %llu offset %lld count %lld: "
		  "%s",
		  (unsigned long long)head->logical, (unsigned)ref->ref.kind,
		  (unsigned long long)ref->ref.root, (unsigned long long)ref->ref.parent,
		  (unsigned long long)ref->ref.ino, (long long)ref->ref.offset,
		  (long long)ref->count, what);
	return -EUCLEAN;
}

/* An item being changed, and what must go to keyed items once it has been written. */
struct apply {
	struct trans *trans;
	struct dref_head *head;
	struct extent_edit edit;
	u32 old_size;
	int keyed;    /* keyed references exist: 1, 0, -1 not known yet */
	u8 *to_keyed; /* one flag for each of head->refs */
	bool holder_gone;
};

static int apply_drop(struct apply *a, u32 i)
{
	const struct ref_count *ref = &a->head->refs[i];
	u32 size = a->edit.size;
	int r = ref->count < -(s64)UINT32_MAX
			? -EUCLEAN
			: inline_ref_drop(&a->edit, &ref->ref, (u32)-ref->count);

	a->holder_gone |= r == -ENOENT || a->edit.size != size;
	if (r == -ENOENT)
		r = keyed_ref_change(a->trans, a->head->logical, &ref->ref, ref->count);
	if (r == -ENOENT || r == -EUCLEAN)
		return ref_fault(a->head, ref, "dropped more often than held");
	return r;
}

static int apply_add(struct apply *a, u32 i)
{
	const struct ref_count *ref = &a->head->refs[i];
	u32 limit = extent_item_limit(a->trans->fs->nodesize);
	int r;

	if (ref->count > UINT32_MAX)
		return ref_fault(a->head, ref, "count overflows");
	r = inline_ref_add(&a->edit, &ref->ref, (u32)ref->count, a->keyed == 0, limit);
	if (r == -ENOENT && a->keyed < 0) {
		a->keyed = keyed_refs_exist(a->trans->fs, a->head->logical);
		if (a->keyed < 0)
			return a->keyed;
		r = inline_ref_add(&a->edit, &ref->ref, (u32)ref->count, a->keyed == 0, limit);
	}
	if (r == -EUCLEAN)
		return ref_fault(a->head, ref, "already held");
	if (r != -ENOENT)
		return r;
	a->keyed = 1;
	a->to_keyed[i] = 1;
	return 0;
}

/* Drops first: they make room for inline references. */
static int apply_refs(struct apply *a)
{
	int r = 0;

	for (u32 i = 0; !r && i < a->head->nr; i++)
		if (a->head->refs[i].count < 0)
			r = apply_drop(a, i);
	for (u32 i = 0; !r && i < a->head->nr; i++)
		if (a->head->refs[i].count > 0)
			r = apply_add(a, i);
	return r;
}

static int apply_keyed(struct apply *a)
{
	int r = 0;

	for (u32 i = 0; !r && i < a->head->nr; i++) {
		const struct ref_count *ref = &a->head->refs[i];

		if (!a->to_keyed[i])
			continue;
		r = keyed_ref_change(a->trans, a->head->logical, &ref->ref, ref->count);
		if (r == -EUCLEAN)
			return ref_fault(a->head, ref, "keyed item cannot take it");
	}
	return r;
}

static struct key new_item_key(const struct fs *fs, const struct dref_head *head)
{
	if (!head->is_data && fs_has_incompat(fs, BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA))
		return KEY(head->logical, BTRFS_METADATA_ITEM_KEY, head->level);
	return KEY(head->logical, BTRFS_EXTENT_ITEM_KEY, head->len);
}

static int apply_create(struct apply *a, enum outcome *outcome)
{
	struct dref_head *head = a->head;
	struct fs *fs = a->trans->fs;
	struct key key = new_item_key(fs, head);
	bool info = !head->is_data && key.type == BTRFS_EXTENT_ITEM_KEY;
	int r;

	*outcome = OUTCOME_CANCELLED;
	if (!head->nr)
		return 0;
	if (head->total <= 0)
		return fault(head, "new, but no references are left");
	*outcome = OUTCOME_ADDED;
	a->keyed = 0;
	extent_edit_init(&a->edit, &key, head->generation ?: a->trans->transid, head->flags_set,
			 info ? &head->first_key : NULL, head->level);
	if (head->is_data && head->owner)
		extent_edit_set_owner(&a->edit, head->owner);
	quota_simple_change(fs, head->owner, head->len, extent_edit_generation(&a->edit), 1);
	extent_edit_set_refs(&a->edit, (u64)head->total);
	r = apply_refs(a);
	r = r ? r : tree_insert(a->trans, fs->extent_root, &key, a->edit.data, a->edit.size);
	if (r == -EEXIST)
		return fault(head, "allocated twice");
	return r ? r : apply_keyed(a);
}

static int item_delete(struct apply *a)
{
	_cleanup_path_ struct path path = {};
	struct key next;
	int r;

	if (a->edit.size != a->edit.refs_at)
		return fault(a->head, "count is zero, inline references are left");
	r = tree_search_cow(a->trans, a->trans->fs->extent_root, &a->edit.key, -1, &path);
	if (r)
		return r < 0 ? r : fault(a->head, "item vanished");
	r = tree_delete(a->trans, &path);
	if (r || path.lock == PATH_UNLOCKED || path_at_end(&path))
		return r;
	next = path_key(&path);
	return keyed_ref_is(&next, a->head->logical)
		       ? fault(a->head, "count is zero, keyed references are left")
		       : 0;
}

static int item_write_back(struct apply *a)
{
	_cleanup_path_ struct path path = {};
	u32 size = a->edit.size;
	int grow = size > a->old_size ? (int)(size - a->old_size) : 0;
	int r = tree_search_cow(a->trans, a->trans->fs->extent_root, &a->edit.key, grow, &path);

	if (r)
		return r < 0 ? r : fault(a->head, "item vanished");
	if (grow)
		r = tree_extend_item(a->trans, &path, (u32)grow);
	else if (size < a->old_size)
		tree_truncate_item(a->trans, &path, size, false);
	if (!r)
		memcpy(path_data(&path), a->edit.data, size);
	return r;
}

static int item_load(struct apply *a)
{
	_cleanup_path_ struct path path = {};
	struct dref_head *head = a->head;
	struct extent_info info;
	int r = extent_item_find(a->trans->fs->extent_root, &path, head->logical, &a->edit);

	if (r)
		return r == -ENOENT ? fault(head, "has no item") : r;
	a->old_size = a->edit.size;
	extent_info_from_item(a->trans->fs, &a->edit, &info);
	if (extent_edit_is_data(&a->edit) != head->is_data || info.length != head->len ||
	    info.level != head->level)
		return fault(head, "item is of another extent");
	if ((s64)info.refs + head->total < 0)
		return fault(head, "reference count below zero");
	return 0;
}

static int apply_existing(struct apply *a, enum outcome *outcome)
{
	struct dref_head *head = a->head;
	int r = item_load(a);

	*outcome = OUTCOME_CHANGED;
	a->keyed = -1;
	r = r ? r : apply_refs(a);
	if (r)
		return r;
	extent_edit_set_refs(&a->edit, extent_edit_refs(&a->edit) + (u64)head->total);
	extent_edit_set_flags(&a->edit, extent_edit_flags(&a->edit) | head->flags_set);
	if (!extent_edit_refs(&a->edit)) {
		*outcome = OUTCOME_FREED;
		quota_simple_change(a->trans->fs,
				    head->is_data ? extent_edit_owner(&a->edit) : head->owner,
				    head->len, extent_edit_generation(&a->edit), -1);
		return item_delete(a);
	}
	if (head->is_data && a->holder_gone)
		r = dropped_note(a->trans->fs->drefs, head->logical, a->trans->transid);
	r = r ? r : item_write_back(a);
	return r ? r : apply_keyed(a);
}

static int apply_head(struct trans *trans, struct dref_head *head, enum outcome *outcome)
{
	_cleanup_free_ struct apply *a = malloc(sizeof(*a));
	_cleanup_free_ u8 *to_keyed = calloc(head->nr + 1, 1);

	if (!a || !to_keyed)
		return -ENOMEM;
	a->trans = trans;
	a->head = head;
	a->to_keyed = to_keyed;
	a->holder_gone = false;
	return head->create ? apply_create(a, outcome) : apply_existing(a, outcome);
}

static int tell_others(struct trans *trans, const struct dref_head *head, enum outcome outcome)
{
	int r = 0;

	if (outcome == OUTCOME_ADDED)
		return space_extent_added(trans, head->logical, head->len, head->is_data);
	if (outcome == OUTCOME_CHANGED)
		return 0;
	if (head->is_data)
		r = csum_delete(trans, head->logical, head->len);
	if (r)
		return r;
	return outcome == OUTCOME_FREED ? space_extent_freed(trans, head->logical, head->len)
					: space_alloc_cancelled(trans, head->logical, head->len);
}

static int take_and_apply(struct trans *trans, u64 logical, struct dref_head **head,
			  enum outcome *outcome)
{
	MUTEX_SCOPE(ref_mutex(trans->fs, logical));

	*head = dref_take(trans->fs->drefs, logical);
	return *head ? apply_head(trans, *head, outcome) : 0;
}

static int run_one(struct trans *trans, u64 logical)
{
	struct dref_head *head = NULL;
	enum outcome outcome = OUTCOME_CHANGED;
	int r = take_and_apply(trans, logical, &head, &outcome);

	if (!r && head)
		r = tell_others(trans, head, outcome);
	dref_head_free(head);
	return r;
}

/* Applying an extent-tree change queues more, but ever less: each round copies only nodes that
 * this transaction has not copied yet. The bound catches a mistake in that argument. */
#define ROUNDS_MAX 1000

int delayed_refs_run(struct trans *trans)
{
	dropped_forget(trans->fs->drefs, trans_durable_id(trans->fs));
	for (int round = 0; round < ROUNDS_MAX; round++) {
		_cleanup_free_ u64 *list = NULL;
		s64 nr = dref_collect(trans->fs->drefs, &list);
		int r = 0;

		for (s64 i = 0; !r && i < nr; i++)
			r = run_one(trans, list[i]);
		if (r || nr <= 0)
			return r ? r : (int)nr;
	}
	log_fault("delayed refs did not settle in %d rounds", ROUNDS_MAX);
	return -EUCLEAN;
}

static bool passed(u64 deadline_ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec >= deadline_ns;
}

int delayed_refs_run_some(struct trans *trans, u64 deadline_ns)
{
	_cleanup_free_ u64 *list = NULL;
	s64 nr = dref_collect(trans->fs->drefs, &list);
	int r = nr < 0 ? (int)nr : 0;

	for (s64 i = 0; r == 0 && i < nr && (i % 16 || !passed(deadline_ns)); i++)
		r = run_one(trans, list[i]);
	return r;
}
