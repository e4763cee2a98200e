/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node_table.h - the inodes that the kernel holds: node id <-> (root, ino).
 *
 * A node id is the inode's number as stat(2) shows it (inode_number.h), so a file handle stays good
 * when the kernel has forgotten the inode. The table counts what the kernel was told, from the first
 * reply that names an inode until it has been forgotten as often: 24 bytes an entry and 4 to 8 of
 * hash, so a kernel that holds a million inodes costs 32 MB. An inode that lost its last name is
 * kept alive ("pinned") by its entry.
 */
#ifndef FUSE_NODE_TABLE_H
#define FUSE_NODE_TABLE_H

#include <fuse_lowlevel.h>

#include "disk/base/types.h"

struct inode;
struct node_table;

/* The root (root id, inode number) is node FUSE_ROOT_ID and is never forgotten. */
_must_check_ int node_table_create(u64 root_id, u64 ino, struct node_table **ret);
/* Puts what is pinned. */
void node_table_destroy(struct node_table *t);

/* Which inode is that? Pure arithmetic; the inode may not exist (any more). -ESTALE. */
_must_check_ int node_table_find(struct node_table *t, fuse_ino_t node, u64 *root_id, u64 *ino);

/* One more lookup of the inode. 0 if memory is short. */
_must_check_ fuse_ino_t node_table_lookup(struct node_table *t, u64 root_id, u64 ino);

/* @count lookups less. The inode that was pinned, for the caller to put, or NULL. */
struct inode *node_table_forget(struct node_table *t, fuse_ino_t node, u64 count);

/* The inode has lost its last name: keeps the caller's reference as long as the kernel knows the
 * inode. False: it does not (or it is pinned already); the reference stays the caller's. */
bool node_table_pin(struct node_table *t, u64 root_id, u64 ino, struct inode *inode);

/* Entries in use. */
u64 node_table_count(struct node_table *t);

#endif
