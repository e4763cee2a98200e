/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_build.c - see free_space_build.h.
 *
 * The tree is made, or emptied, in an exclusive section, and every group is marked unbuilt; the commit
 * that ends the section fills each in from the extent tree as it settles, so that what the build itself
 * allocates comes out right like any other change. One commit: a crash leaves the image as it was.
 */
#include "core/space/free_space_build.h"

#include <errno.h>
#include <string.h>

#include "core/fs.h"
#include "core/space/free_space_cache.h"
#include "core/space/space_impl.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/root.h"
#include "disk/base/log.h"

#define BUILD_ITEMS 64u /* what the commit writes beyond it lives on the global reserve */
#define TREE_FLAGS                                                                                 \
	(BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE | BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID)

bool free_space_tree_valid(const struct fs *fs)
{
	return (fs->compat_ro & TREE_FLAGS) == TREE_FLAGS;
}

static void mark_all_unbuilt(struct fs *fs)
{
	struct space *s = fs->space;
	u64 at = 0;

	for (;;) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, at);

		if (!bg)
			return;
		at = bg->logical + bg->length;
		MUTEX_SCOPE(&s->lock);
		MUTEX_SCOPE(&bg->lock);
		bg->tree_unbuilt = true;
		group_mark_dirty(s, bg);
	}
}

static int start_tree(struct trans *trans)
{
	struct fs *fs = trans->fs;
	int r;

	if (fs->fst_stale)
		r = tree_delete_all(trans, fs->fst_stale);
	else
		r = root_create(trans, BTRFS_FREE_SPACE_TREE_OBJECTID, &fs->fst_stale);
	if (r < 0)
		return r;
	fs->fst_root = TAKE(fs->fst_stale);
	fs->compat_ro |= TREE_FLAGS;
	put_le64(&fs->super.compat_ro_flags, fs->compat_ro);
	put_le64(&fs->super.cache_generation, 0); /* no cache of the old kind is left */
	mark_all_unbuilt(fs);
	return 0;
}

int free_space_tree_build(struct fs *fs, struct reason *why)
{
	struct trans trans;
	int end, r = free_space_cache_drop(fs);

	if (r == 0)
		r = trans_exclusive_begin(fs, BUILD_ITEMS, &trans);
	if (r < 0) {
		reason_set(why, "cannot build the free-space tree: %s", strerror(-r));
		return r;
	}
	r = start_tree(&trans);
	if (r < 0)
		trans_abort(&trans, r, "building the free-space tree");
	end = trans_exclusive_end(&trans, r == 0);
	r = r < 0 ? r : end;
	if (r < 0)
		reason_set(why, "cannot build the free-space tree: %s", strerror(-r));
	return r;
}
