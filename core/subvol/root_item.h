/* SPDX-License-Identifier: GPL-2.0-or-later */
/* root_item.h - the ROOT_ITEM of a tree, as commits rewrite it. */
#ifndef CORE_SUBVOL_ROOT_ITEM_H
#define CORE_SUBVOL_ROOT_ITEM_H

#include "disk/base/types.h"

struct root;
struct trans;

/* Does the item in the root tree say where the root node is now? Joins are blocked. */
bool root_item_current(const struct root *root);

/* Puts place, level and generation of @root into its ROOT_ITEM. generation_v2 always follows
 * generation, or the kernel takes the uuid fields for stale and zeroes them. Joins are blocked.
 * -EUCLEAN if there is no item to update. */
_must_check_ int root_item_write(struct trans *trans, struct root *root);

#endif
