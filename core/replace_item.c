/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replace_item.c - see replace_item.h. */
#include "core/replace_item.h"

#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"

static const struct key item_key = { 0, BTRFS_DEV_REPLACE_KEY, 0 };

/* The item stays for ever once there was a replace; only a started one matters. */
static bool is_interrupted(const struct btrfs_dev_replace_item *item)
{
	u64 state = get_le64(&item->replace_state);

	return state == BTRFS_IOCTL_DEV_REPLACE_STATE_STARTED ||
	       state == BTRFS_IOCTL_DEV_REPLACE_STATE_SUSPENDED;
}

int replace_item_rest(struct fs *fs)
{
	_cleanup_trans_ struct trans trans = {};
	struct btrfs_dev_replace_item item = {};
	int r = fs->readonly ? -ENOENT : tree_lookup(fs->dev_root, &item_key, &item, sizeof(item));

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!is_interrupted(&item))
		return 0;
	log_info("the replace of device %llu stays suspended; it will copy from the beginning",
		 (unsigned long long)get_le64(&item.src_devid));
	put_le64(&item.replace_state, BTRFS_IOCTL_DEV_REPLACE_STATE_SUSPENDED);
	put_le64(&item.cursor_left, 0);
	put_le64(&item.cursor_right, 0);
	r = trans_join(fs, 1, &trans);
	if (r < 0)
		return r;
	r = tree_put(&trans, fs->dev_root, &item_key, &item, sizeof(item));
	if (r < 0)
		trans_abort(&trans, r, "suspending a device replace");
	return r;
}
