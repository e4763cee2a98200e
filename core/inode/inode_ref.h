/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_ref.h - the names of an inode, seen from the inode: INODE_REF (all names in one parent),
 * INODE_EXTREF (hashed, for what an INODE_REF has no room for).
 *
 * Changing wants a join with 2 items; a failure then means abort.
 */
#ifndef CORE_INODE_INODE_REF_H
#define CORE_INODE_INODE_REF_H

#include "core/inode/name.h"

struct root;
struct trans;

/* The index of the name in its directory. 0, -ENOENT. */
_must_check_ int inode_ref_find(struct root *root, u64 ino, u64 parent, struct name name,
				u64 *ret_index);

/* May a name be added? 0, -EEXIST, -EMLINK. */
_must_check_ int inode_ref_room(struct root *root, u64 ino, u64 parent, struct name name);

_must_check_ int inode_ref_insert(struct trans *trans, struct root *root, u64 ino, u64 parent,
				  struct name name, u64 index);
_must_check_ int inode_ref_delete(struct trans *trans, struct root *root, u64 ino, u64 parent,
				  struct name name);

/* The first name of the inode and the directory that it stands in. @name has NAME_LEN_MAX bytes. */
_must_check_ int inode_ref_first(struct root *root, u64 ino, u64 *parent, char *name, u16 *len);

/* The parent that the first reference names: a directory's only one. -ENOENT. */
_must_check_ int inode_ref_parent(struct root *root, u64 ino, u64 *ret);

#endif
