/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reservation.c - see reservation.h.
 *
 * Arithmetic for metadata: promised + what queued references may need + the global reserve fit into
 * free bytes of loaded groups, or else into these and the device room for more groups. The room is
 * not given to data as long as a promise rests on it (chunk_alloc.c), so both are honest.
 * When something does not fit: load another group; commit, if that can free anything; make a chunk;
 * remove empty groups of the other kind; wait for what running operations give back; -ENOSPC.
 * Lock: the space mutex for each look; nothing is held while reading or committing.
 */
#include <errno.h>

#include "core/extent/delayed_ref.h"
#include "core/fs.h"
#include "core/space/space_impl.h"
#include "core/trans/transaction.h"
#include "disk/base/sync_point.h"

#define RECLAIM_TRIES 2
#define CHUNK_TRIES 4
#define REMOVAL_TRIES 4
#define OTHERS_WAIT_MS 20
#define ORDINARY_WAITS 8
#define RELEASE_WAITS 400
#define ALONE_WAITS 4
#define REF_ITEM_BYTES 512u /* what a reference may add to the trees, half-empty leaves included */
#define REF_NODES 3u        /* nodes that applying one may copy */

/* Trees as high as this hold more items than any image has. */
static unsigned likely_height(u32 nodesize)
{
	return nodesize >= KIB(16) ? 4 : nodesize >= KIB(8) ? 5 : 6;
}

u64 space_items_bytes(const struct fs *fs, unsigned items)
{
	/* Each node of the path is copied, and may be split. */
	return (u64)items * 2 * likely_height(fs->nodesize) * fs->nodesize;
}

u64 space_queued_bytes(struct fs *fs)
{
	u64 count = fs->drefs ? delayed_refs_count(fs) : 0;
	struct space *s = fs->space;
	u64 nodes = count * REF_NODES * fs->nodesize, copies;

	/* No node is copied twice, so the trees themselves are the limit; the global reserve has
	 * been sized for that already, up to its maximum. */
	MUTEX_SCOPE(&s->lock);
	copies = MIN(nodes, s->tree_bytes);
	copies -= MIN(copies, s->global_reserve);
	return count * REF_ITEM_BYTES + copies;
}

/* ---- metadata ---- */

static bool fits(const struct space *s, u64 need, u64 room)
{
	return need <= s->info[SPACE_METADATA].free_loaded + room;
}

bool space_meta_covered(struct space *s, u64 queued, u64 raw)
{
	u64 need = s->info[SPACE_METADATA].promised + s->global_reserve + queued;

	return fits(s, need, chunk_meta_room(s, raw));
}

enum fit { FITS, TIGHT, FULL };

/* FITS: promised now. TIGHT: only with room for more groups; promised only with @room_too. */
static enum fit try_promise(struct fs *fs, u64 bytes, bool release, bool room_too)
{
	u64 queued = space_queued_bytes(fs);
	struct space *s = fs->space;
	struct space_info *info = &s->info[SPACE_METADATA];
	u64 need;
	enum fit fit = FITS;

	MUTEX_SCOPE(&s->lock);
	/* Those who give space back may eat into the reserve, but leave the commit its part. */
	need = info->promised + bytes + queued + s->global_reserve / (release ? 2 : 1);
	if (!fits(s, need, 0))
		fit = fits(s, need, chunk_meta_room(s, 0)) ? TIGHT : FULL;
	if (fit == FITS || (fit == TIGHT && room_too))
		info->promised += bytes;
	return fit;
}

/* Whether a commit could give anything back. */
static bool worth_reclaiming(struct fs *fs, enum space_kind kind)
{
	struct space *s = fs->space;

	if (delayed_refs_count(fs) > 0)
		return true;
	MUTEX_SCOPE(&s->lock);
	return s->info[kind].reclaimable > 0 ||
	       (kind == SPACE_METADATA && s->info[kind].promised > 0);
}

/* How often each way was tried. */
struct attempts {
	int reclaims, chunks, removals, waits;
	int waits_max;
};

/* Operations that run now promise more than they use: what they give back may do. If there is none,
 * the last one may have ended since the caller looked. False: waited often enough. */
static bool wait_for_others(struct space *s, struct attempts *tried)
{
	MUTEX_SCOPE(&s->lock);
	if (tried->waits >= tried->waits_max)
		return false;
	if (s->info[SPACE_METADATA].promised == 0) {
		tried->waits += ALONE_WAITS;
		return true;
	}
	tried->waits++;
	s->waiters++;
	(void)cond_timedwait_ms(&s->changed, &s->lock, OTHERS_WAIT_MS);
	s->waiters--;
	if (tried->waits % 4 == 0)
		tried->reclaims--;
	return true;
}

/* One step towards space: 1 try again, 0 nothing is left to do, negative errno. */
static int make_space(struct fs *fs, enum space_kind kind, struct attempts *tried)
{
	u64 made = space_chunk_count(fs->space, kind);
	int r;

	if (tried->reclaims < RECLAIM_TRIES && worth_reclaiming(fs, kind)) {
		tried->reclaims++;
		r = trans_reclaim(fs);
		return r < 0 ? r : 1;
	}
	if (tried->chunks < CHUNK_TRIES) {
		tried->chunks++;
		r = chunk_alloc(fs, kind, made);
		if (r != -ENOSPC)
			return r < 0 ? r : 1;
	}
	if (tried->removals++ < REMOVAL_TRIES) {
		r = space_remove_unused(fs, kind);
		tried->chunks = r > 0 ? 0 : tried->chunks;
		if (r != 0)
			return r;
	}
	return kind == SPACE_METADATA && wait_for_others(fs->space, tried);
}

static int promise_meta(struct fs *fs, u64 bytes, bool release)
{
	struct attempts tried = {.waits_max = release ? RELEASE_WAITS : ORDINARY_WAITS};
	int r;

	for (;;) {
		enum fit fit = try_promise(fs, bytes, release, false);

		if (fit == FITS)
			return 0;
		r = group_load_another(fs, SPACE_METADATA);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (fit == TIGHT && try_promise(fs, bytes, release, true) != FULL)
			return 0;
		r = make_space(fs, SPACE_METADATA, &tried);
		if (r <= 0)
			return r < 0 ? r : -ENOSPC;
	}
}

int space_reserve_meta(struct fs *fs, unsigned items, bool may_use_global, struct meta_rsv *rsv)
{
	u64 bytes = space_items_bytes(fs, items);
	int r = SP_FAIL("al.meta");

	if (r == 0)
		r = promise_meta(fs, bytes, may_use_global);
	if (r == 0)
		rsv->bytes += bytes;
	return r;
}

static void unpromise(struct fs *fs, enum space_kind kind, u64 bytes)
{
	struct space_info *info = &fs->space->info[kind];

	MUTEX_SCOPE(&fs->space->lock);
	info->promised -= MIN(bytes, info->promised);
	if (fs->space->waiters)
		cond_broadcast(&fs->space->changed);
}

void space_release_meta(struct fs *fs, struct meta_rsv *rsv)
{
	if (rsv->bytes)
		unpromise(fs, SPACE_METADATA, TAKE(rsv->bytes));
}

/* ---- data ---- */

/* Mixed groups: a promise of data is one of metadata, and the same bytes cover both. */
static bool try_promise_data(struct space *s, u64 bytes)
{
	struct space_info *info = &s->info[SPACE_DATA];

	MUTEX_SCOPE(&s->lock);
	if (info->promised + bytes > info->free)
		return false;
	info->promised += bytes;
	return true;
}

/* New chunks before commits: pinned data is not worth a commit as long as the device has room. */
static int make_data_space(struct fs *fs, struct attempts *tried)
{
	int r;

	if (tried->chunks == 0) {
		r = chunk_alloc(fs, SPACE_DATA, space_chunk_count(fs->space, SPACE_DATA));
		if (r != -ENOSPC)
			return r < 0 ? r : 1;
		/* Metadata that is not loaded does not count: it may cover its own promises. */
		r = group_load_another(fs, SPACE_METADATA);
		if (r != 0)
			return r;
		tried->chunks = 1;
	}
	/* Promised metadata may be what keeps a data chunk from being made. */
	if (tried->reclaims < RECLAIM_TRIES &&
	    (worth_reclaiming(fs, SPACE_DATA) || worth_reclaiming(fs, SPACE_METADATA))) {
		tried->reclaims++;
		tried->chunks = 0;
		r = trans_reclaim(fs);
		return r < 0 ? r : 1;
	}
	if (tried->removals++ >= REMOVAL_TRIES)
		return 0;
	tried->chunks = 0;
	return space_remove_unused(fs, SPACE_DATA);
}

int space_reserve_data(struct fs *fs, u64 bytes)
{
	struct attempts tried = {0};
	int r = SP_FAIL("al.data");

	if (r >= 0 && fs->space->mixed)
		return promise_meta(fs, bytes, false);
	while (r >= 0 && !try_promise_data(fs->space, bytes)) {
		r = make_data_space(fs, &tried);
		if (r == 0)
			return -ENOSPC;
	}
	return MIN(r, 0);
}

void space_release_data(struct fs *fs, u64 bytes)
{
	unpromise(fs, space_data_kind(fs->space), bytes);
}

/* ---- before a group becomes read-only ---- */

bool space_promises_fit(struct space *s, enum space_kind kind, u64 queued)
{
	const struct space_info *info = &s->info[kind];

	if (kind == SPACE_METADATA)
		return space_meta_covered(s, queued, 0);
	if (kind == SPACE_SYSTEM)
		return info->free_loaded >= 2 * NODE_LEVEL_MAX * (u64)s->fs->nodesize;
	return info->promised <= info->free;
}

int space_make_until(struct fs *fs, enum space_kind kind, bool (*enough)(void *arg), void *arg)
{
	struct attempts tried = {0};

	while (!enough(arg)) {
		int r = kind == SPACE_DATA ? 0 : group_load_another(fs, kind);

		if (r == 0)
			r = make_space(fs, kind, &tried);
		if (r <= 0)
			return r < 0 ? r : -ENOSPC;
	}
	return 0;
}
