/* SPDX-License-Identifier: GPL-2.0-or-later */
/* root_item.c - see root_item.h. */
#include "core/subvol/root_item.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/root.h"
#include "disk/base/log.h"

bool root_item_current(const struct root *root)
{
	return get_le64(&root->item.bytenr) == root->node->logical &&
	       get_le64(&root->item.generation) == root->node->generation;
}

static void fill_item(struct btrfs_root_item *item, const struct root *root, u64 transid)
{
	struct timespec now;

	put_le64(&item->bytenr, root->node->logical);
	item->level = root->node->level;
	put_le64(&item->generation, root->node->generation);
	put_le64(&item->generation_v2, root->node->generation);
	put_le64(&item->last_snapshot, root->last_snapshot);
	if (!root->shareable)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	put_le64(&item->ctransid, transid);
	put_le64(&item->ctime.sec, (u64)now.tv_sec);
	put_le32(&item->ctime.nsec, (u32)now.tv_nsec);
}

int root_item_write(struct trans *trans, struct root *root)
{
	struct key key = { root->id, BTRFS_ROOT_ITEM_KEY, 0 };
	_cleanup_path_ struct path path = {};
	int r;

	/* a snapshot's item has the transid of its creation as offset */
	r = tree_search_cow_next(trans, trans->fs->tree_root, &key, 0, &path);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r >= 0)
		key = path_key(&path);
	if (r == -ENOENT || key.objectid != root->id || key.type != BTRFS_ROOT_ITEM_KEY) {
		log_fault("tree %llu has no root item", (unsigned long long)root->id);
		return -EUCLEAN;
	}
	/* items of before 3.6 lack generation_v2 and what follows */
	if (path_size(&path) < sizeof(root->item)) {
		u32 missing = (u32)sizeof(root->item) - path_size(&path);

		r = tree_extend_item(trans, &path, missing);
		if (r < 0)
			return r;
	}
	fill_item(&root->item, root, trans->transid);
	memcpy(path_data(&path), &root->item, sizeof(root->item));
	return 0;
}
