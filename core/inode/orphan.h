/* SPDX-License-Identifier: GPL-2.0-or-later */
/* orphan.h - inodes without a name: (-5, ORPHAN_ITEM, ino) in their subvolume's tree from the
 * unlink until the items are gone, so that a crash in between leaves nothing behind for ever. */
#ifndef CORE_INODE_ORPHAN_H
#define CORE_INODE_ORPHAN_H

#include "disk/base/types.h"

struct fs;
struct root;
struct trans;

/* Joined. A failure means abort; an item that is there already / not there is none. */
_must_check_ int orphan_insert(struct trans *trans, struct root *root, u64 ino);
_must_check_ int orphan_delete(struct trans *trans, struct root *root, u64 ino);

/* Deletes what unlinked inodes left in subvolume @root_id; a no-op if it or the mount is
 * read-only, or shut. At mount for the mounted subvolume, and when another one is first entered. Not
 * joined. */
_must_check_ int orphan_cleanup(struct fs *fs, u64 root_id);

#endif
