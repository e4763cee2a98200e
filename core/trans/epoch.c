/* SPDX-License-Identifier: GPL-2.0-or-later */
/* epoch.c - see epoch.h.
 *
 * Each open epoch owns a slot that holds the number current when it was entered; 0 is a free slot.
 * A reader that stores a stale number after the scan in epoch_passed() does its lookup after that
 * store, so it sees the mapping that replaced the freed one: sequential consistency is what this
 * rests on, and the default order of C11 atomics gives it.
 */
#include "core/trans/epoch.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/fs.h"

#define EPOCH_SLOTS 1024u

struct epochs {
	_Atomic u64 current;
	_Atomic u64 slots[EPOCH_SLOTS];
};

int epochs_create(struct epochs **ret)
{
	struct epochs *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	atomic_init(&e->current, 1);
	*ret = e;
	return 0;
}

void epochs_destroy(struct epochs *e)
{
	free(e);
}

/* Threads start looking at different places, so that they do not fight for one cache line. */
static unsigned first_slot(void)
{
	static _Atomic unsigned next;
	static _Thread_local unsigned mine;

	if (!mine)
		mine = 1 + atomic_fetch_add(&next, 1) * 16;
	return mine % EPOCH_SLOTS;
}

struct epoch epoch_enter(struct fs *fs)
{
	struct epochs *e = fs->epochs;
	unsigned start = first_slot();

	for (unsigned i = 0;; i++) {
		unsigned slot = (start + i) % EPOCH_SLOTS;
		u64 idle = 0;

		if (atomic_compare_exchange_strong(&e->slots[slot], &idle,
						   atomic_load(&e->current)))
			return (struct epoch){ fs, slot };
		if (i % EPOCH_SLOTS == EPOCH_SLOTS - 1)
			sched_yield();
	}
}

void epoch_exit(struct epoch *ep)
{
	if (!ep->fs)
		return;
	atomic_store(&ep->fs->epochs->slots[ep->slot], 0);
	ep->fs = NULL;
}

u64 epoch_advance(struct fs *fs)
{
	return atomic_fetch_add(&fs->epochs->current, 1) + 1;
}

bool epoch_passed(struct fs *fs, u64 number)
{
	for (unsigned i = 0; i < EPOCH_SLOTS; i++) {
		u64 entered = atomic_load(&fs->epochs->slots[i]);

		if (entered && entered < number)
			return false;
	}
	return true;
}
