/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inode_number.c - see inode_number.h. Inode numbers are given out one after the other from 256 and
 * stay below 2^48 in any file system that can exist. Index 0xffff is for stubs of subvolumes
 * that are not reachable. Ids from 60000 on share the remaining 5535 indices in order of
 * appearance; beyond that many at once two files may show the same number.
 */
#include "fuse/inode_number.h"

#include <stdatomic.h>

#include "core/inode/inode.h"

#define INO_BITS 48
#define INO_MASK ((1ULL << INO_BITS) - 1)
#define FIRST_DYNAMIC 60000u
#define STUB_INDEX 0xffffu
#define DYNAMIC_COUNT (STUB_INDEX - FIRST_DYNAMIC)

static _Atomic u64 dynamic_ids[DYNAMIC_COUNT];

/* Slots are filled from the front and never emptied: a free one is claimed by exchange. */
static u64 dynamic_index(u64 root_id)
{
	for (unsigned i = 0; i < DYNAMIC_COUNT; i++) {
		u64 there = 0;

		if (atomic_compare_exchange_strong(&dynamic_ids[i], &there, root_id) ||
		    there == root_id)
			return FIRST_DYNAMIC + i;
	}
	return FIRST_DYNAMIC + root_id % DYNAMIC_COUNT;
}

static u64 root_index(u64 mounted, u64 root_id)
{
	if (root_id == mounted)
		return 0;
	return root_id < FIRST_DYNAMIC ? root_id : dynamic_index(root_id);
}

/* 0: no subvolume has that index. */
static u64 root_of_index(u64 mounted, u64 index)
{
	if (index == 0)
		return mounted;
	if (index < FIRST_DYNAMIC)
		return index;
	return index < STUB_INDEX ? atomic_load(&dynamic_ids[index - FIRST_DYNAMIC]) : 0;
}

bool inode_number_decode(u64 mounted, u64 number, u64 *root_id, u64 *ino)
{
	u64 index = number >> INO_BITS;

	*ino = number & INO_MASK;
	if (index == STUB_INDEX) { /* the id of a subvolume fits 32 bits */
		index = *ino >> 32;
		*ino = (*ino & UINT32_MAX) | INODE_STUB_BIT;
	}
	*root_id = root_of_index(mounted, index);
	return *root_id && *ino;
}

u64 inode_number(u64 mounted, u64 root_id, u64 ino)
{
	u64 index = root_index(mounted, root_id);

	if (ino & INODE_STUB_BIT)
		return (u64)STUB_INDEX << INO_BITS |
		       (((ino & ~INODE_STUB_BIT) ^ index << 32) & INO_MASK);
	return index << INO_BITS | (ino & INO_MASK);
}
