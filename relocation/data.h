/* SPDX-License-Identifier: GPL-2.0-or-later */
/* data.h - moving the data extents of a block group, metadata.h its nodes. */
#ifndef RELOCATION_DATA_H
#define RELOCATION_DATA_H

#include "relocation/group.h"
#include "relocation/pace.h"

/* One pass over a drained data group: what is in the extent tree is copied, switched and committed
 * in batches. *moved counts extents, *stuck those that could not be read. */
_must_check_ int data_pass(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
			   struct pace *pace, u64 *moved, u64 *stuck);

/* The same for a metadata or system group's nodes. */
_must_check_ int metadata_pass(struct fs *fs, struct block_group *bg, const struct stop_flag *stop,
			       struct pace *pace, u64 *moved);

#endif
