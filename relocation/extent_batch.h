/* SPDX-License-Identifier: GPL-2.0-or-later */
/* extent_batch.h - data extents on their way from one block group to others.
 *
 * A batch is filled, copied (no lock held, the group drained: nobody writes the source), switched
 * and committed in one exclusive section. Until the switch nothing points to the copies; if
 * something fails before, they are given back.
 */
#ifndef RELOCATION_EXTENT_BATCH_H
#define RELOCATION_EXTENT_BATCH_H

#include "core/extent/extent_info.h"
#include "core/space/space.h"
#include "disk/base/types.h"
#include "relocation/group.h"

struct fs;

enum moved_state { MOVED_NEW, MOVED_COPIED, MOVED_UNREADABLE, MOVED_SWITCHED };

struct moved_extent {
	u64 from;
	u64 len;
	struct data_alloc to; /* bg: reservation held until switched or given back */
	u8 *csums;            /* csum_size a sector */
	bool *present;        /* one a sector: is there a checksum? */
	bool any_csum;
	enum moved_state state;
	struct ref_list refs; /* as of the switch; count 0: nobody holds it any more */
};

struct extent_batch {
	struct fs *fs;
	struct moved_extent *v; /* ascending by from */
	size_t count, room;
	u64 bytes;
	u64 refs; /* as the scan saw them: what the switch will cost */
};

void extent_batch_init(struct extent_batch *b, struct fs *fs);
/* Gives back what was not switched. */
void extent_batch_free(struct extent_batch *b);
#define _cleanup_extent_batch_ _cleanup_(extent_batch_free)

/* Ascending order of addresses. -ENOMEM. */
_must_check_ int extent_batch_add(struct extent_batch *b, const struct extent_info *info);

/* The extent that begins at @logical, or NULL. */
struct moved_extent *extent_batch_find(struct extent_batch *b, u64 logical);

/* Places, reads (checksums verified) and writes every extent. What is unreadable in every copy
 * becomes MOVED_UNREADABLE, logged by address; the rest goes on. -ENOSPC, -ECANCELED, -EIO of a
 * write. */
_must_check_ int extent_batch_copy(struct extent_batch *b, const struct stop_flag *stop);

#endif
