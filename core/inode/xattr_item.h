/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xattr_item.h - XATTR_ITEMs: prepared before a join, applied inside.
 *
 * Preparing reads and may fail for the user's reasons; applying fails only if the tree does, and
 * that means abort. The caller holds inode->lock: shared to read, exclusive from prepare to apply.
 */
#ifndef CORE_INODE_XATTR_ITEM_H
#define CORE_INODE_XATTR_ITEM_H

#include "core/inode/name.h"
#include "disk/format/key.h"

struct root;
struct trans;

/* An item as it will be: @size 0: deleted. @set false: nothing to do. */
struct xattr_put {
	bool set;
	struct key key;
	u8 *item;
	u32 size;
};

void xattr_put_free(struct xattr_put *put);
#define _cleanup_xattr_put_ _cleanup_(xattr_put_free)

/* Copies the value out. Its length; -ERANGE if it is longer than @size (0: only the length is
 * asked for), -ENODATA. */
_must_check_ int xattr_item_get(struct root *root, u64 ino, struct name name, void *buf, u32 size);

/* @value NULL: removal. @flags XATTR_CREATE, XATTR_REPLACE. -EEXIST, -ENODATA, -ENOSPC. */
_must_check_ int xattr_put_prepare(struct root *root, u64 ino, struct name name,
				   const void *value, u32 size, int flags,
				   struct xattr_put *ret);

/* One item of a join. */
_must_check_ int xattr_put_apply(struct trans *trans, struct root *root,
				 const struct xattr_put *put);

/* All names, a NUL after each. As xattr_item_get. */
_must_check_ int xattr_item_list(struct root *root, u64 ino, char *buf, u32 size);

#endif
