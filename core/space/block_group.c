/* SPDX-License-Identifier: GPL-2.0-or-later */
/* block_group.c - the gate: writers in place against whoever copies the group.
 *
 * Invariants: `nocow_writers` grows only in a group that was not read-only in the same hold of its
 * mutex; so after set_ro and a drain no writer is in the group and none can enter. The same goes for
 * `reservations` and the allocator. The last putter broadcasts under the mutex and the drain tests
 * under it: no wake-up is lost.
 * Lock: the group's mutex; read-only changes take the space mutex first, for the sums.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/space_impl.h"
#include "core/trans/transaction.h"
#include "disk/base/sync_point.h"

#define DRAIN_POLL_MS 50

static bool closed(const struct block_group *bg)
{
	return bg->removed || (GUARD(ro_check) && GUARD(divert) && bg->ro_count > 0);
}

/* The test and the increment are one step; a test may take them apart (token_atomic, row 4). */
static bool writer_enter(struct block_group *bg, u64 logical, u64 len)
{
	bool open;

	mutex_lock(&bg->lock);
	open = !closed(bg);
	if (!GUARD(token_atomic)) {
		mutex_unlock(&bg->lock);
		SP("wr.ro_tested", .bg = bg->logical);
		mutex_lock(&bg->lock);
	}
	if (open)
		bg->nocow_writers++;
	if (open)
		TRACE("token.granted", .bytenr = logical, .len = len, .bg = bg->logical);
	else
		TRACE("token.refused", .bytenr = logical, .len = len, .bg = bg->logical);
	mutex_unlock(&bg->lock);
	return open;
}

bool block_group_writer_get(struct fs *fs, u64 logical, u64 len, struct block_group **ret)
{
	_cleanup_group_ struct block_group *bg = block_group_find(fs, logical);

	if (!bg || len > bg->length - (logical - bg->logical))
		return false;
	if (!writer_enter(bg, logical, len))
		return false;
	*ret = TAKE(bg);
	return true;
}

/* One less of a counted kind; the last one wakes the drain. */
static void count_down(struct block_group *bg, unsigned *count)
{
	mutex_lock(&bg->lock);
	if (--*count == 0)
		cond_broadcast(&bg->changed);
	mutex_unlock(&bg->lock);
	block_group_put(bg);
}

void block_group_writer_put(struct block_group *bg)
{
	TRACE("token.put", .bg = bg->logical);
	count_down(bg, &bg->nocow_writers);
}

void block_group_reservation_put(struct block_group *bg)
{
	count_down(bg, &bg->reservations);
}

static void ro_add(struct block_group *bg, int n)
{
	group_sums_sub(bg);
	bg->ro_count += (unsigned)n;
	group_sums_add(bg);
}

/* One step, so that nobody ever meets a file system whose promises do not fit: read-only, or false
 * and nothing changed because what was promised needs the group's free space. */
static bool ro_enter(void *arg)
{
	struct block_group *bg = arg;
	struct space *s = bg->fs->space;
	u64 queued = space_queued_bytes(bg->fs);

	MUTEX_SCOPE(&s->lock);
	while (s->writing_items && fs_error(bg->fs) == 0)
		cond_wait(&s->changed, &s->lock);
	MUTEX_SCOPE(&bg->lock);
	ro_add(bg, 1);
	if (bg->ro_count > 1 || space_promises_fit(s, space_kind_of(bg->flags), queued)) {
		TRACE("group.ro", .bg = bg->logical);
		return true;
	}
	ro_add(bg, -1);
	return false;
}

int block_group_set_ro(struct fs *fs, struct block_group *bg)
{
	return space_make_until(fs, space_kind_of(bg->flags), ro_enter, bg);
}

void block_group_clear_ro(struct fs *fs, struct block_group *bg)
{
	GROUP_EDIT_SCOPE(bg);
	bg->ro_count--;
	TRACE("group.rw", .bg = bg->logical);
}

void block_group_set_leaving(struct block_group *bg, bool leaving)
{
	MUTEX_SCOPE(&bg->lock);
	bg->leaving = leaving;
}

bool block_group_is_ro(struct block_group *bg)
{
	MUTEX_SCOPE(&bg->lock);
	return bg->ro_count > 0;
}

/* Waits until *@count, a member of @bg, is 0. */
static int wait_zero(struct block_group *bg, const unsigned *count, bool (*cancelled)(void *ctx),
		     void *ctx)
{
	int r = 0;

	mutex_lock(&bg->lock);
	while (*count && r == 0) {
		(void)cond_timedwait_ms(&bg->changed, &bg->lock, DRAIN_POLL_MS);
		mutex_unlock(&bg->lock);
		if (cancelled && cancelled(ctx))
			r = -ECANCELED;
		mutex_lock(&bg->lock);
	}
	mutex_unlock(&bg->lock);
	return r;
}

int block_group_drain(struct block_group *bg, bool (*cancelled)(void *ctx), void *ctx)
{
	int r = 0;

	if (GUARD(resv_drain))
		r = wait_zero(bg, &bg->reservations, cancelled, ctx);
	if (r < 0)
		return r;
	SP("rl.resv_ok", .bg = bg->logical);
	if (GUARD(drain))
		r = wait_zero(bg, &bg->nocow_writers, cancelled, ctx);
	if (r == 0)
		TRACE("group.drained", .bg = bg->logical);
	return r;
}

bool block_group_is_empty(struct block_group *bg)
{
	MUTEX_SCOPE(&bg->lock);
	return bg->used == 0 && bg->reserved == 0 && bg->pinned == 0;
}

bool block_group_wait_unpinned(struct block_group *bg, int timeout_ms)
{
	bool done;

	mutex_lock(&bg->lock);
	for (int waited = 0; bg->pinned && waited < timeout_ms; waited += DRAIN_POLL_MS)
		(void)cond_timedwait_ms(&bg->changed, &bg->lock, DRAIN_POLL_MS);
	done = bg->pinned == 0;
	mutex_unlock(&bg->lock);
	return done;
}
