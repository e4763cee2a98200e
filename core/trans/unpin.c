/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unpin.c - what durable transactions freed waits here for the epochs that could have seen it. */
#include <string.h>
#include <time.h>

#include "core/fs.h"
#include "core/space/space.h"
#include "core/trans/epoch.h"
#include "core/trans/trans_mgr.h"
#include "disk/base/sync_point.h"

#define RECLAIM_WAIT_MS 1000

void unpin_later(struct fs *fs, u64 transid)
{
	struct trans_mgr *m = fs->trans;
	u64 epoch = epoch_advance(fs);

	MUTEX_SCOPE(&m->lock);
	if (m->unpin_count == UNPIN_MAX) /* merge: the later epoch covers both */
		m->unpin_count--;
	m->unpins[m->unpin_count++] = (struct unpin_wait){ transid, epoch };
	cond_broadcast(&m->tick);
}

static bool first_unpin(struct trans_mgr *m, struct unpin_wait *ret)
{
	MUTEX_SCOPE(&m->lock);
	if (m->unpin_count == 0)
		return false;
	*ret = m->unpins[0];
	return true;
}

/* Another thread may have done the same one meanwhile. */
static void drop_unpin(struct trans_mgr *m, u64 transid)
{
	MUTEX_SCOPE(&m->lock);
	if (m->unpin_count && m->unpins[0].transid == transid)
		memmove(m->unpins, m->unpins + 1, --m->unpin_count * sizeof(m->unpins[0]));
}

bool unpin_passed(struct fs *fs)
{
	struct unpin_wait first;

	while (first_unpin(fs->trans, &first)) {
		if (!epoch_passed(fs, first.epoch) && GUARD(epoch))
			return true;
		SP("tx.unpin", .transid = first.transid);
		space_unpin(fs, first.transid);
		drop_unpin(fs->trans, first.transid);
	}
	return false;
}

int trans_reclaim(struct fs *fs)
{
	const struct timespec tick = { .tv_nsec = 2000000 };
	int r = trans_commit(fs);

	for (int waited = 0; r == 0 && waited < RECLAIM_WAIT_MS; waited += 2) {
		if (!unpin_passed(fs))
			break;
		nanosleep(&tick, NULL);
	}
	return r;
}
