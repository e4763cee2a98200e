/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.h - is this superblock, node or item one that btrfs could have written?
 * Pure functions over bytes: no device, no allocation, no logging; the fuzzers' door. What passes
 * is safe for every accessor. They know the same facts as the kernel's tree checker. Item types and
 * trees that are not known are accepted. Result: 0, or -EUCLEAN with one line in @why (may be
 * NULL): what, where, reason, got and wanted.
 */
#ifndef DISK_FORMAT_CHECK_H
#define DISK_FORMAT_CHECK_H

#include "disk/base/reason.h"
#include "disk/format/node.h"

/* What the checkers must know of the file system. */
struct check_env {
	u32 nodesize;
	u32 sectorsize;
	u32 csum_size;
	u64 incompat_flags;
	u64 generation; /* newest that an item may name; 0 = not checked */
	const u8 *fsid; /* of nodes (metadata_uuid if that feature is set); NULL = not checked */
	const u8 *seed_fsids; /* those of nodes that seed devices brought along, behind each other */
	unsigned seed_count;
};

/* The superblock copy that was read at @offset. Unknown flags and feature bits pass: they are
 * the mount's decision. */
_must_check_ int check_super(const struct btrfs_super_block *sb, u64 offset, struct reason *why);

/* Header, order, layout and every item of one node (not its checksum). @node has env->nodesize
 * bytes. */
_must_check_ int check_node(const struct check_env *env, const void *node, struct reason *why);

/* A chunk item (chunk tree or sys_chunk_array) of @size bytes at @logical. */
_must_check_ int check_chunk(const struct check_env *env, u64 logical,
			     const struct btrfs_chunk *chunk, u32 size, struct reason *why);

#endif
