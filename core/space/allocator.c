/* SPDX-License-Identifier: GPL-2.0-or-later */
/* allocator.c - which free bytes an extent or a node gets.
 *
 * Invariants: nothing is handed out of a group that is read-only, removed or not loaded, tested under
 * the group's mutex in the same hold that takes the space; a data extent comes with a reservation of
 * its group taken in that hold, too, so that relocation sees it coming.
 * Groups that a balance is about to empty come last.
 * Order of preference for data: a free run of the wanted length in any group, a run that is long
 * enough to be efficient, a new chunk, whatever there is.
 * Relations: group_load.c fetches free space, chunk_alloc.c makes chunks.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/space_impl.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define NODE_RUN MIB(1)  /* worth leaving a group for */
#define RUN_PAUSE 256    /* nodes */
#define GOOD_RUN MIB(16) /* a run of this length is not worth a new chunk to avoid */

struct request {
	enum space_kind kind;
	bool data; /* comes with a reservation, out of a promise */
	u64 want, min, align;
	bool load; /* may read: no tree lock is held */
	bool stay; /* not where a balance will move it from again */
	bool pick; /* a conversion runs: only groups of @profile */
	u64 profile;
	u64 run; /* of nodes: leave groups alone where a new run would be shorter */
};

/* While a conversion runs, what is written goes where it need not be moved again, if it can. */
static void prefer_converted(struct fs *fs, struct request *rq)
{
	const struct space_info *info = &fs->space->info[rq->kind];

	MUTEX_SCOPE(&fs->space->lock);
	rq->pick = info->converting;
	rq->profile = info->profile;
}

/* Where to go on: behind what was handed out last, or for nodes, where nothing free follows, with the
 * longest run. False: that is shorter than asked for. */
static bool place_to_go_on(const struct block_group *bg, const struct request *rq, u64 *cursor)
{
	const struct free_extent *e;

	*cursor = bg->cursor;
	if (rq->data)
		return true;
	e = free_extents_at(&bg->free, bg->cursor);
	if (e && e->start <= bg->cursor && bg->cursor > bg->logical)
		return true;
	e = free_extents_longest_at(&bg->free);
	if (!e || e->len < rq->run)
		return false;
	*cursor = e->start;
	return true;
}

/* Takes space out of one group: its length, 0, or negative errno. */
static s64 take_from(struct block_group *bg, const struct request *rq, u64 *logical)
{
	struct space_info *info = group_info(bg->fs->space, bg);
	u64 cursor;
	s64 len;

	SP("al.reserve", .bg = bg->logical, .len = rq->want);
	GROUP_EDIT_SCOPE(bg);
	if ((bg->ro_count && GUARD(cluster_check)) || bg->removed || !bg->loaded)
		return 0;
	if (!place_to_go_on(bg, rq, &cursor))
		return 0;
	len = free_extents_take(&bg->free, rq->want, rq->min, rq->align, cursor, logical);
	if (len <= 0)
		return len;
	bg->cursor = *logical + (u64)len;
	bg->reserved += (u64)len;
	info->hint = bg->logical;
	if (rq->data) {
		bg->reservations++;
		info->promised -= MIN((u64)len, info->promised);
	}
	return len;
}

/* Loads the group if it may be worth it. 1: look into it; 0: do not. */
static int prepare(struct block_group *bg, const struct request *rq)
{
	bool look, load;

	mutex_lock(&bg->lock);
	look = space_kind_of(bg->flags) == rq->kind && !bg->ro_count && !bg->removed &&
	       group_free_bytes(bg) >= rq->min &&
	       !(rq->stay && bg->leaving) &&
	       (!rq->pick || (bg->flags & BTRFS_BLOCK_GROUP_PROFILE_MASK) == rq->profile);
	load = look && !bg->loaded;
	mutex_unlock(&bg->lock);
	if (!load)
		return look;
	if (!rq->load)
		return 0;
	return group_load(bg) < 0 ? -EIO : 1;
}

/* Tries the groups in order of address from @from up to @to. */
static s64 take_between(struct fs *fs, const struct request *rq, u64 from, u64 to, u64 *logical,
			struct block_group **ret)
{
	s64 bad = 0;

	while (from < to) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, from);
		s64 len;

		if (!bg || bg->logical >= to)
			return bad;
		from = bg->logical + bg->length;
		/* A group that cannot be read does not keep others from serving. */
		len = prepare(bg, rq);
		if (len > 0)
			len = take_from(bg, rq, logical);
		if (len > 0)
			*ret = TAKE(bg);
		if (len > 0 || len == -ENOMEM)
			return len;
		bad = len < 0 ? len : bad;
	}
	return bad;
}

static s64 take_any(struct fs *fs, const struct request *rq, u64 *logical, struct block_group **ret)
{
	struct space *s = fs->space;
	u64 hint;
	s64 len;

	mutex_lock(&s->lock);
	hint = s->info[rq->kind].hint;
	mutex_unlock(&s->lock);
	len = take_between(fs, rq, hint, UINT64_MAX, logical, ret);
	return len > 0 ? len : take_between(fs, rq, 0, hint, logical, ret);
}

static s64 take_data(struct fs *fs, struct request *rq, u64 min, struct data_alloc *ret)
{
	u64 want = rq->want, good = MAX(min, MIN(want, (u64)GOOD_RUN));
	const u64 least[] = {want, good, good, min};
	bool chunk_made = false;
	s64 len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(least) && len == 0; i++) {
		u64 chunks = space_chunk_count(fs->space, rq->kind);

		rq->min = least[i];
		/* The third try is with a new chunk. */
		if (i == 2)
			chunk_made = chunk_alloc(fs, rq->kind, chunks) == 0;
		if (i != 2 || chunk_made)
			len = take_any(fs, rq, &ret->logical, &ret->bg);
	}
	return len;
}

int space_alloc_data(struct fs *fs, u64 want, u64 min, struct data_alloc *ret)
{
	struct request rq = {space_data_kind(fs->space), true, want, min, fs->sectorsize, true};
	s64 len;

	prefer_converted(fs, &rq);
	rq.stay = true;
	len = take_data(fs, &rq, min, ret);
	if (len == 0 && TAKE(rq.stay))
		len = take_data(fs, &rq, min, ret);
	if (len == 0 && TAKE(rq.pick))
		len = take_data(fs, &rq, min, ret);
	if (len <= 0)
		return len < 0 ? (int)len : -ENOSPC;
	ret->len = (u64)len;
	return 0;
}

void space_data_alloc_undo(struct fs *fs, u64 logical, u64 len)
{
	_cleanup_group_ struct block_group *bg = block_group_find(fs, logical);

	if (!bg)
		return;
	GROUP_EDIT_SCOPE(bg);
	if (free_extents_add(&bg->free, logical, len) < 0) {
		/* Stays reserved: lost until the next mount, never handed out twice. */
		log_fault("block group %llu: cannot give back %llu bytes at %llu",
			  (unsigned long long)bg->logical, (unsigned long long)len,
			  (unsigned long long)logical);
		return;
	}
	bg->reserved -= len;
}

/* May a long run be looked for? Not in each allocation if there is none. */
static bool run_wanted(struct fs *fs, enum space_kind kind)
{
	struct space_info *info = &fs->space->info[kind];

	MUTEX_SCOPE(&fs->space->lock);
	if (!info->run_pause)
		return true;
	info->run_pause--;
	return false;
}

/* Nodes that lie side by side share the leaves that tell of them, in the extent tree and in the
 * free-space tree, and a commit rewrites each of these: single holes serve when no run is left. */
static s64 take_node(struct fs *fs, struct request *rq, u64 *logical, struct block_group **ret)
{
	s64 len = 0;

	if (run_wanted(fs, rq->kind)) {
		rq->run = NODE_RUN;
		len = take_any(fs, rq, logical, ret);
		rq->run = 0;
		if (len > 0 || len == -ENOMEM)
			return len;
		MUTEX_SCOPE(&fs->space->lock);
		fs->space->info[rq->kind].run_pause = RUN_PAUSE;
	}
	return take_any(fs, rq, logical, ret);
}

int space_alloc_tree_block(struct fs *fs, bool system, u64 *ret_logical)
{
	enum space_kind kind = system ? SPACE_SYSTEM : SPACE_METADATA;
	struct request rq = {kind, false, fs->nodesize, fs->nodesize, fs->nodesize, false};
	int injected = SP_FAIL("al.node");
	s64 len = 0;

	if (injected < 0)
		return injected;
	prefer_converted(fs, &rq);
	rq.stay = true;
	for (int tries = 0; tries < 5; tries++) {
		_cleanup_group_ struct block_group *bg = NULL;
		u64 chunks = space_chunk_count(fs->space, rq.kind);

		len = take_node(fs, &rq, ret_logical, &bg);
		if (len > 0)
			return 0;
		if (len == -ENOMEM || (chunk_alloc(fs, kind, chunks) < 0 && !TAKE(rq.stay) &&
				       !TAKE(rq.pick)))
			break;
	}
	return len < 0 ? (int)len : -ENOSPC;
}
