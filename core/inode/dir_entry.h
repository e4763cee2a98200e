/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dir_entry.h - names in a directory: one hash item (DIR_ITEM) and one index item (DIR_INDEX)
 * each. Invariant: both exist or neither.
 *
 * The caller holds the directory's inode lock: shared to find, exclusive to change. Changing
 * wants a join with 2 items; a failure then means abort.
 */
#ifndef CORE_INODE_DIR_ENTRY_H
#define CORE_INODE_DIR_ENTRY_H

#include "core/inode/name.h"
#include "disk/format/key.h"

struct root;
struct trans;

struct dir_entry {
	struct key location;
	u8 ftype;
};

/* 0, -ENOENT. */
_must_check_ int dir_entry_find(struct root *root, u64 dir, struct name name,
				struct dir_entry *ret);

/* May @name be added? 0, -EEXIST, -EOVERFLOW (too many names with its hash). */
_must_check_ int dir_entry_room(struct root *root, u64 dir, struct name name);

_must_check_ int dir_entry_insert(struct trans *trans, struct root *root, u64 dir,
				  struct name name, const struct dir_entry *entry, u64 index);
_must_check_ int dir_entry_delete(struct trans *trans, struct root *root, u64 dir,
				  struct name name, u64 index);

/* Index of the entry for a location without an inode reference (a subvolume's): looks at all. */
_must_check_ int dir_entry_index(struct root *root, u64 dir, struct name name, u64 *ret);

/* One more than the highest index in the directory, 2 if it is empty. */
_must_check_ int dir_entry_next_index(struct root *root, u64 dir, u64 *ret);

#endif
