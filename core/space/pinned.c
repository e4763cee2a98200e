/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pinned.c - extents that came, went, or may be used again.
 *
 * Invariants: an extent's bytes are in exactly one of reserved, used, pinned, free. What one
 * transaction freed stays pinned until it is durable and every epoch that could have seen it is
 * over. The free-space tree changes with the extent tree: freed bytes enter it in the
 * transaction that frees them, although memory does not hand them out.
 * Called while delayed references run (one thread) and by whoever ends the last epoch (unpin).
 * Lock: GROUP_EDIT_SCOPE.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/space_impl.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

static struct pinned_set *pinned_set_of(struct block_group *bg, u64 transid)
{
	struct pinned_set *set;

	SLIST_FOREACH(set, &bg->pinned_sets, link) {
		if (set->transid == transid)
			return set;
	}
	set = malloc(sizeof(*set));
	if (!set)
		return NULL;
	set->transid = transid;
	free_extents_init(&set->extents);
	SLIST_INSERT_HEAD(&bg->pinned_sets, set, link);
	return set;
}

/* Inside an edit of the group. */
static int pin(struct block_group *bg, u64 transid, u64 logical, u64 len)
{
	struct pinned_set *set;
	int r;

	if (!GUARD(pin))
		return bg->loaded ? free_extents_add(&bg->free, logical, len) : 0;
	set = pinned_set_of(bg, transid);
	r = set ? free_extents_add(&set->extents, logical, len) : -ENOMEM;
	if (r == 0)
		bg->pinned += len;
	return r;
}

/* Notes [start, +len) for the free-space tree in @to, unless the opposite is still noted. */
static int note_change(struct free_extents *to, struct free_extents *opposite, u64 start, u64 len)
{
	u64 end = start + len;

	while (start < end) {
		const struct free_extent *e = free_extents_at(opposite, start);
		u64 from = e ? MIN(MAX(e->start, start), end) : end;
		u64 until = e ? MIN(e->start + e->len, end) : end;
		int r = 0;

		if (from > start)
			r = free_extents_add(to, start, from - start);
		if (r == 0 && until > from)
			r = free_extents_remove(opposite, from, until - from);
		if (r < 0)
			return r;
		start = until;
	}
	return 0;
}

static void change_super_used(struct fs *fs, s64 change)
{
	put_le64(&fs->super.bytes_used, get_le64(&fs->super.bytes_used) + (u64)change);
}

static int bad_change(struct fs *fs, u64 logical, u64 len, const char *what)
{
	log_fault("space: extent %llu + %llu: %s", (unsigned long long)logical,
		  (unsigned long long)len, what);
	return -EUCLEAN;
}

/* The group of the extent if it lies in it wholly. */
static struct block_group *group_of(struct fs *fs, u64 logical, u64 len)
{
	_cleanup_group_ struct block_group *bg = block_group_find(fs, logical);

	if (!bg || len > bg->length - (logical - bg->logical))
		return NULL;
	return TAKE(bg);
}

static int added(struct block_group *bg, u64 logical, u64 len)
{
	GROUP_EDIT_SCOPE(bg);
	if (bg->reserved < len)
		return bad_change(bg->fs, logical, len, "added, but was not handed out");
	bg->reserved -= len;
	bg->used += len;
	group_mark_dirty(bg->fs->space, bg);
	return note_change(&bg->tree_take, &bg->tree_give, logical, len);
}

int space_extent_added(struct trans *trans, u64 logical, u64 len, bool data)
{
	_cleanup_group_ struct block_group *bg = group_of(trans->fs, logical, len);
	int r;

	if (!bg || !(bg->flags & (data ? BTRFS_BLOCK_GROUP_DATA : ~BTRFS_BLOCK_GROUP_DATA & BTRFS_BLOCK_GROUP_TYPE_MASK)))
		return bad_change(trans->fs, logical, len, "added outside of its kind of group");
	r = added(bg, logical, len);
	if (r == 0)
		change_super_used(trans->fs, (s64)len);
	return r;
}

static int freed(struct block_group *bg, u64 transid, u64 logical, u64 len)
{
	int r;

	GROUP_EDIT_SCOPE(bg);
	if (bg->used < len)
		return bad_change(bg->fs, logical, len, "freed, but the group has less in use");
	r = pin(bg, transid, logical, len);
	if (r < 0)
		return bad_change(bg->fs, logical, len, "freed twice, or no memory");
	bg->used -= len;
	group_mark_dirty(bg->fs->space, bg);
	return note_change(&bg->tree_give, &bg->tree_take, logical, len);
}

int space_extent_freed(struct trans *trans, u64 logical, u64 len)
{
	_cleanup_group_ struct block_group *bg = group_of(trans->fs, logical, len);
	int r;

	if (!bg)
		return bad_change(trans->fs, logical, len, "freed, but no group holds it");
	r = freed(bg, trans->transid, logical, len);
	if (r == 0)
		change_super_used(trans->fs, -(s64)len);
	return r;
}

int space_alloc_cancelled(struct trans *trans, u64 logical, u64 len)
{
	_cleanup_group_ struct block_group *bg = group_of(trans->fs, logical, len);
	int r;

	if (!bg)
		return bad_change(trans->fs, logical, len, "given back, but no group holds it");
	GROUP_EDIT_SCOPE(bg);
	if (bg->reserved < len)
		return bad_change(bg->fs, logical, len, "given back, but was not handed out");
	r = pin(bg, trans->transid, logical, len);
	if (r < 0)
		return bad_change(bg->fs, logical, len, "given back twice, or no memory");
	bg->reserved -= len;
	return 0;
}

/* Moves one pinned set into the free space. Inside an edit of the group. */
static void unpin_set(struct block_group *bg, struct pinned_set *set)
{
	const struct free_extent *e = free_extents_at(&set->extents, 0);

	bg->pinned -= set->extents.bytes;
	for (; e; e = free_extents_next(e)) {
		TRACE("space.freed", .bytenr = e->start, .len = e->len, .bg = bg->logical);
		if (!bg->loaded)
			continue;
		if (free_extents_add(&bg->free, e->start, e->len) == 0)
			continue;
		log_fault("block group %llu: cannot reuse %llu bytes at %llu before the next mount",
			  (unsigned long long)bg->logical, (unsigned long long)e->len,
			  (unsigned long long)e->start);
		bg->reserved += e->len;
	}
	free_extents_clear(&set->extents);
	free(set);
}

static void unpin_group(struct block_group *bg, u64 transid)
{
	struct pinned_set *set, *next;

	GROUP_EDIT_SCOPE(bg);
	for (set = SLIST_FIRST(&bg->pinned_sets); set; set = next) {
		next = SLIST_NEXT(set, link);
		if (set->transid > transid)
			continue;
		SLIST_REMOVE(&bg->pinned_sets, set, pinned_set, link);
		unpin_set(bg, set);
	}
	if (bg->pinned == 0)
		cond_broadcast(&bg->changed);
}

static struct removed_chunk *next_forgettable(struct space *s, u64 transid)
{
	struct removed_chunk *rc;

	MUTEX_SCOPE(&s->lock);
	SLIST_FOREACH(rc, &s->removed, link) {
		if (rc->transid > transid)
			continue;
		SLIST_REMOVE(&s->removed, rc, removed_chunk, link);
		return rc;
	}
	return NULL;
}

/* The addresses and device extents of chunks removed up to @transid may be used again. */
static void forget_chunks(struct fs *fs, u64 transid)
{
	struct removed_chunk *rc;
	bool any = false;

	while ((rc = next_forgettable(fs->space, transid))) {
		if (chunk_map_remove(volume_chunks(fs->vol), rc->logical) < 0)
			log_fault("chunk %llu: was gone before", (unsigned long long)rc->logical);
		free(rc);
		any = true;
	}
	if (any && chunk_room_refresh(fs) < 0)
		log_fault("space: no memory to count the free device space");
}

void space_unpin(struct fs *fs, u64 transid)
{
	u64 at = 0;

	atomic_fetch_add(&fs->reuse_count, 1);
	for (;;) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, at);

		if (!bg)
			break;
		at = bg->logical + bg->length;
		unpin_group(bg, transid);
	}
	forget_chunks(fs, transid);
}
