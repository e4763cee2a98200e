/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_form.h - the two forms in which the free-space tree keeps a group. Private to
 * free_space_tree.c: runs (free_space_runs.c) and maps (free_space_maps.c).
 *
 * take: [start, end) is free and becomes taken; give: the other way round. Both keep @g->count.
 * -EUCLEAN if the tree says otherwise.
 */
#ifndef CORE_SPACE_FREE_SPACE_FORM_H
#define CORE_SPACE_FREE_SPACE_FORM_H

#include "core/space/free_extents.h"

struct fs;
struct trans;

/* A group's info item while it is worked on. */
struct free_group {
	struct fs *fs;
	u64 start, end;
	s64 count; /* free runs */
	bool bitmaps;
};

/* Logs what is wrong; -EUCLEAN. */
int free_space_bad(const struct free_group *g, u64 logical, const char *what);

_must_check_ int free_runs_take(struct trans *trans, struct free_group *g, u64 start, u64 end);
_must_check_ int free_runs_give(struct trans *trans, struct free_group *g, u64 start, u64 end);
_must_check_ int free_runs_insert(struct trans *trans, const struct free_group *g,
				  const struct free_extents *runs);

_must_check_ int free_maps_take(struct trans *trans, struct free_group *g, u64 start, u64 end);
_must_check_ int free_maps_give(struct trans *trans, struct free_group *g, u64 start, u64 end);
/* Every bitmap of the group, with @runs set. */
_must_check_ int free_maps_insert(struct trans *trans, const struct free_group *g,
				  const struct free_extents *runs);

#endif
