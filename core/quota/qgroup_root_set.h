/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_root_set.h - sets of subvolume numbers, each distinct one once: two sets are equal if
 * their addresses are. A file system with many snapshots has many extents and few distinct sets.
 * Pure memory, no locks.
 */
#ifndef CORE_QUOTA_QGROUP_ROOT_SET_H
#define CORE_QUOTA_QGROUP_ROOT_SET_H

#include "disk/base/types.h"

struct root_set {
	struct root_set *next;
	u64 hash;
	u32 nr;
	u64 v[]; /* ascending */
};

struct root_sets {
	struct root_set **buckets;
	size_t count, room;
};

void root_sets_free(struct root_sets *sets);

/* A set that is being put together. */
struct root_list {
	u64 *v;
	u32 nr, room;
};

_must_check_ int root_list_add(struct root_list *list, u64 root);
_must_check_ int root_list_add_set(struct root_list *list, const struct root_set *set);
void root_list_free(struct root_list *list);
#define _cleanup_root_list_ _cleanup_(root_list_free)

/* The one set with these members; sorts @list and drops what is there twice. -ENOMEM. */
_must_check_ int root_sets_get(struct root_sets *sets, struct root_list *list,
			       const struct root_set **ret);

#endif
