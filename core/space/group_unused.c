/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group_unused.c - empty groups of one kind make room for chunks of another.
 *
 * Deleting files leaves empty data groups behind, which keep the device's space from metadata, and the
 * other way round. They are removed when somebody would get -ENOSPC otherwise, not before: an empty
 * group costs nothing and is soon used again.
 * Invariants: a kind keeps a group; what is promised still fits without the group. One thread at a time.
 * Nothing maps into an empty group with nothing pinned, so there is no writer in place to wait for.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/space_impl.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"

#define REMOVE_AT_ONCE 4

/* The promises of the group's kind fit without it. Both mutexes held. */
static bool dispensable(const struct space *s, const struct space_info *info,
			const struct block_group *bg, u64 queued)
{
	bool meta = info == &s->info[SPACE_METADATA];
	u64 have = meta ? info->free_loaded : info->free;
	u64 own = group_free_bytes(bg);
	u64 need = info->promised + (meta ? 2 * s->global_reserve + queued : 0);

	if (meta && !bg->loaded)
		own = 0;
	return info->total > bg->length && have >= own && have - own >= need;
}

/* Makes the group read-only if it can be done without. */
static bool claim(struct block_group *bg, u64 queued)
{
	struct space *s = bg->fs->space;
	struct space_info *info = group_info(s, bg);
	bool ok;

	MUTEX_SCOPE(&s->lock);
	MUTEX_SCOPE(&bg->lock);
	ok = !bg->ro_count && !bg->removed && !bg->pending && !bg->on_dirty_list && !bg->used &&
	     !bg->pinned && !group_awaits_extents(bg) && dispensable(s, info, bg, queued);
	if (!ok)
		return false;
	group_sums_sub(bg);
	bg->ro_count++;
	group_sums_add(bg);
	return true;
}

static struct block_group *claim_unused(struct fs *fs, enum space_kind wanted)
{
	u64 queued = space_queued_bytes(fs), at = UINT64_MAX;

	/* From the end: the newest first. */
	for (;;) {
		_cleanup_group_ struct block_group *bg = block_group_prev(fs, at);
		enum space_kind kind;

		if (!bg)
			return NULL;
		at = bg->logical;
		kind = space_kind_of(bg->flags);
		if (kind != wanted && kind != SPACE_SYSTEM && claim(bg, queued))
			return TAKE(bg);
	}
}

/* 1 removed, 0 in use again, negative errno: aborted. */
static int remove_claimed(struct trans *trans, struct block_group *bg)
{
	int r = block_group_remove(trans, bg);

	if (r == -EBUSY) {
		block_group_clear_ro(trans->fs, bg);
		return 0;
	}
	if (r < 0)
		trans_abort(trans, r, "removing an empty block group");
	return r < 0 ? r : 1;
}

static int remove_some(struct fs *fs, enum space_kind wanted)
{
	_cleanup_trans_ struct trans trans = {0};
	int removed = 0;
	int r = trans_join_release(fs, BLOCK_GROUP_REMOVE_ITEMS, &trans);

	if (r == -ENOSPC)
		return 0;
	for (int i = 0; r >= 0 && i < REMOVE_AT_ONCE; i++) {
		_cleanup_group_ struct block_group *bg = claim_unused(fs, wanted);

		if (!bg)
			break;
		r = remove_claimed(&trans, bg);
		removed += r > 0 ? 1 : 0;
	}
	return r < 0 ? r : removed;
}

static bool begin(struct space *s)
{
	MUTEX_SCOPE(&s->lock);
	if (s->removing_unused)
		return false;
	s->removing_unused = true;
	return true;
}

static void end(struct space *s)
{
	MUTEX_SCOPE(&s->lock);
	s->removing_unused = false;
}

int space_remove_unused(struct fs *fs, enum space_kind wanted)
{
	int r;

	/* Also ends the recursion: the removal reserves space itself. */
	if (!begin(fs->space))
		return 0;
	r = remove_some(fs, wanted);
	if (r > 0 && trans_reclaim(fs) < 0)
		r = -EROFS;
	end(fs->space);
	return MIN(r, 1);
}
