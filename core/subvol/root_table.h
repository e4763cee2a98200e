/* SPDX-License-Identifier: GPL-2.0-or-later */
/* root_table.h - the subvolume roots that are loaded.
 *
 * A root is loaded when first asked for and stays loaded: with it stays one node. Global trees hang
 * directly on struct fs.
 */
#ifndef CORE_SUBVOL_ROOT_TABLE_H
#define CORE_SUBVOL_ROOT_TABLE_H

#include "disk/base/types.h"

struct btrfs_root_item;
struct extent_buffer;
struct fs;
struct root;
struct trans;

int root_table_create(struct fs *fs) _must_check_;
void root_table_destroy(struct fs *fs);

/* The subvolume root @root_id, or that of the data relocation tree, with a reference for the caller.
 * Reads (no tree lock may be held). -ENOENT if there is no such subvolume or it is being deleted (refs 0), -EIO, -EUCLEAN. */
_must_check_ int root_get(struct fs *fs, u64 root_id, struct root **ret);
/* The same, whether it is being deleted or not: it still holds extents. */
_must_check_ int root_get_any(struct fs *fs, u64 root_id, struct root **ret);
void root_put(struct root *root);
void root_putp(struct root **root);
#define _cleanup_root_ _cleanup_(root_putp)

/* Loads a tree whose ROOT_ITEM stands in the root tree, whatever kind it is. Not cached. */
_must_check_ int root_load(struct fs *fs, u64 root_id, struct root **ret);
/* The same as another state of the root tree has it. */
_must_check_ int root_load_from(struct root *tree_root, u64 root_id, struct root **ret);

/* The ROOT_ITEM of @root_id, by value. Old items end before generation_v2; what they lack reads as
 * zero, and so do the uuids of an item whose generation_v2 does not match (a kernel that did not know
 * them wrote it). -ENOENT, or as a search. */
_must_check_ int root_read_item(struct root *tree_root, u64 root_id, struct btrfs_root_item *ret);

/* Loads a tree from an address that the superblock holds (tree root, chunk root). */
_must_check_ int root_load_at(struct fs *fs, u64 root_id, u64 logical, u64 generation, u8 level,
			      struct root **ret);

/* A tree that no item stands for (a log), with one reference; takes over @node. NULL without memory. */
struct root *root_new(struct fs *fs, u64 root_id, struct extent_buffer *node);

/* A new, empty global tree with its ROOT_ITEM. Joined or in an exclusive section. Not cached. */
_must_check_ int root_create(struct trans *trans, u64 root_id, struct root **ret);

#endif
