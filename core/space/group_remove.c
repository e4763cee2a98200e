/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group_remove.c - taking an empty block group away.
 *
 * Invariants: a group is removed only when used, reserved and pinned are 0, looked at again inside the
 * removing transaction; pinned is 0 only after the transaction that emptied it is durable and unseen.
 * The chunk stays in the chunk map, and its device extents taken, until the removal is durable and all
 * epochs are over: readers that still hold an old address find their bytes.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/log/log_write.h"
#include "core/space/free_space_cache.h"
#include "core/space/free_space_tree.h"
#include "core/space/space_impl.h"
#include "core/trans/transaction.h"
#include "disk/base/sync_point.h"

bool group_awaits_extents(const struct block_group *bg)
{
	return GUARD(bg_remove) && (bg->reserved || bg->reservations);
}

/* Space and group mutex held. */
static bool removable(const struct block_group *bg)
{
	return bg->ro_count && !bg->removed && !bg->pending && !bg->on_dirty_list && !bg->used &&
	       !bg->pinned && !bg->nocow_writers && !group_awaits_extents(bg);
}

/* From here on nobody finds the group; false: it is in use, nothing changed. */
static bool unregister(struct space *s, struct block_group *bg)
{
	bool ok;

	WRLOCK_SCOPE(&s->table_lock);
	mutex_lock(&s->lock);
	mutex_lock(&bg->lock);
	ok = removable(bg);
	if (ok) {
		group_sums_sub(bg);
		bg->removed = true;
	}
	mutex_unlock(&bg->lock);
	mutex_unlock(&s->lock);
	if (!ok)
		return false;
	s->logical_end = MAX(s->logical_end, ALIGN_UP(bg->logical + bg->length, STRIPE_LEN));
	group_table_remove(s, bg);
	return true;
}

static int forget_later(struct trans *trans, u64 logical)
{
	struct space *s = trans->fs->space;
	struct removed_chunk *rc = malloc(sizeof(*rc));

	if (!rc)
		return -ENOMEM;
	rc->logical = logical;
	rc->transid = trans->transid;
	MUTEX_SCOPE(&s->lock);
	SLIST_INSERT_HEAD(&s->removed, rc, link);
	return 0;
}

static int delete_items(struct trans *trans, struct block_group *bg, const struct chunk *chunk)
{
	int r = 0;

	group_tree_lock(bg);
	if (trans->fs->fst_root)
		r = free_space_tree_delete(trans, bg->logical, bg->length);
	group_tree_unlock(bg);
	if (r == 0)
		r = free_space_cache_remove(trans, bg->logical);
	if (r == 0)
		r = group_item_delete(trans, bg);
	if (r == 0)
		r = chunk_items_delete(trans, chunk);
	return r;
}

int block_group_remove(struct trans *trans, struct block_group *bg)
{
	_cleanup_chunk_ struct chunk *chunk =
		chunk_map_find(volume_chunks(trans->fs->vol), bg->logical);
	int r = SP_FAIL("bg.remove", .bg = bg->logical);

	if (r < 0)
		return r;
	if (space_ensure_system(trans->fs) < 0)
		return -EBUSY;
	if (!chunk || !unregister(trans->fs->space, bg))
		return -EBUSY;
	log_must_commit(trans);
	r = delete_items(trans, bg, chunk);
	return r < 0 ? r : forget_later(trans, bg->logical);
}
