/* SPDX-License-Identifier: GPL-2.0-or-later */
/* claim.c - extents that somebody was given before a crash, and whose pointers are about to come
 * back.
 *
 * Invariant: what is claimed was free as a whole and is then reserved, so nothing else gets it.
 * Relations: replay of a log claims whatever the log names before it changes anything; afterwards
 * an extent is used, or cancelled, like any that was handed out.
 * Lock: GROUP_EDIT_SCOPE.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/space/space_impl.h"

static bool holds(const struct block_group *bg, u64 logical, u64 len, bool data)
{
	u64 kinds = data ? BTRFS_BLOCK_GROUP_DATA
			 : BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_SYSTEM;

	return len && len <= bg->length - (logical - bg->logical) && (bg->flags & kinds);
}

static int claim(struct block_group *bg, u64 logical, u64 len)
{
	int r;

	GROUP_EDIT_SCOPE(bg);
	r = free_extents_remove(&bg->free, logical, len);
	if (r == 0)
		bg->reserved += len;
	return r;
}

int space_claim(struct fs *fs, u64 logical, u64 len, bool data)
{
	_cleanup_group_ struct block_group *bg = block_group_find(fs, logical);
	int r;

	if (!bg || !holds(bg, logical, len, data))
		return -ENOENT;
	r = group_load(bg);
	return r < 0 ? r : claim(bg, logical, len);
}

int space_load_for_nodes(struct fs *fs)
{
	int r = 1;

	while (r > 0)
		r = group_load_another(fs, SPACE_METADATA);
	for (r = r < 0 ? r : 1; r > 0;)
		r = group_load_another(fs, SPACE_SYSTEM);
	return r;
}
