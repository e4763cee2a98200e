/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group.h - emptying one block group and removing it.
 *
 * The order is the whole point: no new writers, drain the old ones, commit so that the
 * extent tree lists everything, and only then look at it and copy.
 */
#ifndef RELOCATION_GROUP_H
#define RELOCATION_GROUP_H

#include "disk/base/types.h"

struct fs;
struct block_group;
struct pace;

/* Says that the work is to stop; asked between batches and while waiting. */
struct stop_flag {
	bool (*stopped)(void *ctx);
	void *ctx;
};

static inline bool stop_asked(const struct stop_flag *stop)
{
	return stop->stopped && stop->stopped(stop->ctx);
}

/* Moves everything out of @bg and removes it. Holds nothing while it waits; blocks joins for one
 * batch at a time. On failure what was moved stays moved and the group is writable again.
 * -ECANCELED, -ENOSPC, -EIO (an unreadable extent, logged by address), -EOPNOTSUPP. */
_must_check_ int group_relocate(struct fs *fs, struct block_group *bg,
				const struct stop_flag *stop, struct pace *pace);

#endif
