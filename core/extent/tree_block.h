/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree_block.h - allocating, copying and freeing tree nodes, with their references.
 *
 * The rule of sharing: a node of a subvolume tree that is not younger than
 * the root's last snapshot, or carries the RELOC header flag, may be shared; its reference count
 * decides. Who copies a shared node leaves the old one to the others: if the copier owned it, its
 * children get the old node as a full-backref parent, otherwise the copier's children get the
 * copier's root. Who copies the last reference takes the children along.
 *
 * All functions: joined, @root's write lock held (where the tree is reachable by others).
 */
#ifndef CORE_EXTENT_TREE_BLOCK_H
#define CORE_EXTENT_TREE_BLOCK_H

#include "core/extent/delayed_ref.h"
#include "core/tree/extent_buffer.h"
#include "core/tree/path.h"
#include "core/tree/root.h"

struct trans;

/*
 * A fresh, empty node: header initialised (bytenr, generation, owner, fsid, chunk tree uuid,
 * backref revision, WRITTEN, level), dirty, in the cache, one reference queued for @root.
 * @first_key: what its first key is going to be (only kept for images without skinny metadata).
 * Returns it referenced. -ENOSPC, -ENOMEM, -EUCLEAN.
 */
_must_check_ int tree_block_alloc(struct trans *trans, struct root *root, u8 level,
				  const struct key *first_key, struct extent_buffer **ret);

/*
 * Copies @old for @root as one step: decides whether it is shared, allocates the copy (contents
 * copied, header renewed, RELOC cleared, dirty, in the cache), queues all references that change,
 * drops @root's reference of @old, which leaves the cache if that was the last one. The caller
 * writes the pointer and puts @old.
 * -EAGAIN: nothing was changed; *miss names an extent-tree node that is not cached: unlock, read
 * it (path_read_miss / tree_miss_read), start again. Other errors: abort.
 */
_must_check_ int tree_block_cow(struct trans *trans, struct root *root, struct extent_buffer *old,
				struct extent_buffer **ret, struct tree_miss *miss);

/*
 * Frees a node that @root alone holds and that it has just made its own (copied or allocated in
 * this transaction): an emptied leaf, a collapsed root. Drops its reference and takes it out of
 * the cache; the references of its children, if any are left, have moved with their pointers.
 */
_must_check_ int tree_block_free(struct trans *trans, struct root *root, struct extent_buffer *eb);

/*
 * Adds (@sign 1) or drops (-1) the references that the pointers in @eb stand for: to child nodes,
 * or in a leaf to data extents. @full: as full backrefs of @eb, otherwise as @eb's header owner.
 * For relocation, too.
 */
_must_check_ int tree_block_ref_children(struct trans *trans, const struct extent_buffer *eb,
					 bool full, int sign);

/*
 * For a tree that is being deleted: nobody walks it but the caller, who holds no lock. All may read
 * nodes of the extent tree. A failure of one means abort.
 */

/* Drops @ref of the node at @logical, unless it is the last one. 0: others have the node now. 1: it is
 * the last, nothing was done. */
_must_check_ int tree_block_leave(struct trans *trans, u64 logical, u8 level, const struct ref *ref);

/* The references of @eb's children become full backrefs, since the owner that they name goes and others
 * keep @eb. A no-op if they are already. */
_must_check_ int tree_block_disown(struct trans *trans, const struct extent_buffer *eb);

/* Notes for the quotas that the children of @eb lose a holder although no reference to them does. */
_must_check_ int tree_block_touch_children(struct trans *trans, const struct extent_buffer *eb);

/* Frees @eb, whose last reference is @ref; a leaf's data extents lose theirs (@full: it has full
 * backrefs), the child nodes of others have lost theirs already. */
_must_check_ int tree_block_drop(struct trans *trans, struct extent_buffer *eb,
				 const struct ref *ref, bool full);

#endif
