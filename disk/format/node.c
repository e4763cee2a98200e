/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node.c - binary search over the keys of a node, leaf or interior alike. Pure; see node.h. */
#include "disk/format/node.h"

u32 node_bsearch(const void *node, const struct key *k, bool *exact)
{
	u32 stride = node_level(node) ? sizeof(struct btrfs_key_ptr) : sizeof(struct btrfs_item);
	const u8 *keys = (const u8 *)node + NODE_HEADER_SIZE;
	u32 low = 0, high = node_nritems(node);

	*exact = false;
	while (low < high) {
		u32 mid = low + (high - low) / 2;
		struct key at = key_from_disk(keys + (size_t)mid * stride);
		int cmp = key_cmp(&at, k);

		if (cmp == 0) {
			*exact = true;
			return mid;
		}
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}
