/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pace.h - how much a relocation does in one exclusive section, by feedback.
 *
 * While nobody waits batches are large, since each costs a commit. A section that made others wait
 * too long halves the next ones; so does lack of space. One thread uses a pace.
 */
#ifndef RELOCATION_PACE_H
#define RELOCATION_PACE_H

#include "disk/base/types.h"

struct fs;

struct pace {
	u32 refs, nodes; /* of a batch of data extents, of tree nodes */
};

#define PACE_REFS_MAX 2048u
#define PACE_NODES_MAX 512u

void pace_init(struct pace *pace);

/* Around a section. */
struct pace_section {
	struct fs *fs;
	u64 waits;
};
struct pace_section pace_enter(struct fs *fs);
/* @held_ns: how long it kept joins out. @limit: the member that sized the batch; @max its bound. */
void pace_leave(const struct pace_section *section, u64 held_ns, u32 *limit, u32 max);

/* For lack of space. False: it is as small as it gets. */
bool pace_shrink(u32 *limit, size_t batch);

#endif
