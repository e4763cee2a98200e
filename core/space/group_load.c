/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group_load.c - a group's free space comes into memory when it is first needed.
 *
 * Without a free-space tree the mount loads all groups from the extent tree, before anything changes it.
 *
 * Invariant: nothing was handed out of a group that is not loaded, so what may be handed out is what
 * the free-space tree says, less what is pinned and less the superblock stripes; the bytes must agree
 * with the group's counters.
 * Lock: group_tree_lock() keeps the commit from changing the items meanwhile. It is a flag with a
 * condition and not a mutex, since tree locks and device reads happen inside. A loader waits for
 * nothing but reads, so a commit may wait for it.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/free_space_scan.h"
#include "core/space/free_space_tree.h"
#include "core/space/space_impl.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

void group_tree_lock(struct block_group *bg)
{
	MUTEX_SCOPE(&bg->lock);
	while (bg->tree_busy)
		cond_wait(&bg->changed, &bg->lock);
	bg->tree_busy = true;
}

void group_tree_unlock(struct block_group *bg)
{
	MUTEX_SCOPE(&bg->lock);
	bg->tree_busy = false;
	cond_broadcast(&bg->changed);
}

struct exclusion {
	struct free_extents *set;
	int error;
};

static void exclude_stripe(void *ctx, u64 logical, u64 len)
{
	struct exclusion *x = ctx;

	if (x->error == 0)
		x->error = free_extents_subtract(x->set, logical, len);
}

static int exclude_stripes(struct block_group *bg, const struct chunk *chunk,
			   struct free_extents *set)
{
	struct exclusion x = {.set = set};

	volume_super_stripes(bg->fs->vol, chunk, exclude_stripe, &x);
	return x.error;
}

/* Group mutex held. */
static int exclude_pinned(struct block_group *bg, struct free_extents *set)
{
	const struct pinned_set *pinned;

	SLIST_FOREACH(pinned, &bg->pinned_sets, link) {
		const struct free_extent *e = free_extents_at(&pinned->extents, 0);

		for (; e; e = free_extents_next(e)) {
			int r = free_extents_subtract(set, e->start, e->len);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Makes @set the group's free space. */
static int publish(struct block_group *bg, struct free_extents *set)
{
	int r;

	GROUP_EDIT_SCOPE(bg);
	r = exclude_pinned(bg, set);
	if (r < 0)
		return r;
	/* Without the pin, what this transaction freed is not in the tree yet: that is for the oracle to
	 * find, not for this. */
	if (set->bytes != group_free_bytes(bg) && GUARD(pin)) {
		log_fault("block group %llu: free space is %llu bytes, its item leaves %llu",
			  (unsigned long long)bg->logical, (unsigned long long)set->bytes,
			  (unsigned long long)group_free_bytes(bg));
		return -EUCLEAN;
	}
	free_extents_move(&bg->free, set);
	bg->loaded = true;
	return 0;
}

static int load_locked(struct block_group *bg)
{
	_cleanup_chunk_ struct chunk *chunk = NULL;
	struct free_extents set;
	int r;

	if (bg->loaded)
		return 0;
	chunk = chunk_map_find(volume_chunks(bg->fs->vol), bg->logical);
	if (!chunk)
		return -ENOENT;
	free_extents_init(&set);
	r = bg->fs->fst_root ? free_space_tree_read(bg->fs, bg->logical, bg->length, &set) :
			       free_space_scan(bg->fs, bg->logical, bg->length, &set);
	if (r == 0)
		r = exclude_stripes(bg, chunk, &set);
	if (r == 0)
		r = publish(bg, &set);
	free_extents_clear(&set);
	return r;
}

int group_load(struct block_group *bg)
{
	int r;

	group_tree_lock(bg);
	r = load_locked(bg);
	group_tree_unlock(bg);
	return r;
}

int group_load_fresh(struct block_group *bg, const struct chunk *chunk)
{
	int r = free_extents_add(&bg->free, bg->logical, bg->length);

	if (r == 0)
		r = exclude_stripes(bg, chunk, &bg->free);
	bg->loaded = true;
	return r;
}

static bool worth_loading(struct block_group *bg, enum space_kind kind)
{
	MUTEX_SCOPE(&bg->lock);
	return space_kind_of(bg->flags) == kind && !bg->loaded && !bg->removed && !bg->ro_count &&
	       group_free_bytes(bg) > 0;
}

int group_load_another(struct fs *fs, enum space_kind kind)
{
	u64 at = 0;

	for (;;) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, at);

		if (!bg)
			return 0;
		at = bg->logical + bg->length;
		if (worth_loading(bg, kind)) {
			int r = group_load(bg);

			return r < 0 ? r : 1;
		}
	}
}
