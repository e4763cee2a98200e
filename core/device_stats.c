/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_stats.c - see device_stats.h. */
#include "core/device_stats.h"

#include <errno.h>

#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/search.h"
#include "disk/format/key.h"
#include "disk/volume/volume.h"

static struct key stats_key(u64 devid)
{
	return KEY(BTRFS_DEV_STATS_OBJECTID, BTRFS_PERSISTENT_ITEM_KEY, devid);
}

static int load_device(struct fs *fs, u64 devid)
{
	struct key key = stats_key(devid);
	u64 errors[DEVICE_ERRORS];
	__le64 item[DEVICE_ERRORS] = {0};
	int r;

	if (!fs->dev_root) /* a rescue mount */
		return 0;
	r = tree_lookup(fs->dev_root, &key, item, sizeof(item));
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (unsigned i = 0; i < DEVICE_ERRORS; i++)
		errors[i] = get_le64(&item[i]);
	volume_device_errors_load(fs->vol, devid, errors);
	return 0;
}

int device_stats_load(struct fs *fs)
{
	unsigned count = volume_device_count(fs->vol);
	int r = 0;

	for (unsigned i = 0; r == 0 && i < count; i++) {
		struct volume_device dev;

		volume_device_at(fs->vol, i, &dev);
		r = load_device(fs, dev.devid);
	}
	return r;
}

static int write_device(struct trans *trans, u64 devid)
{
	struct key key = stats_key(devid);
	u64 errors[DEVICE_ERRORS];
	__le64 item[DEVICE_ERRORS];

	volume_device_errors(trans->fs->vol, devid, errors);
	for (unsigned i = 0; i < DEVICE_ERRORS; i++)
		put_le64(&item[i], errors[i]);
	return tree_put(trans, trans->fs->dev_root, &key, item, sizeof(item));
}

int device_stats_write(struct trans *trans)
{
	unsigned count = volume_device_count(trans->fs->vol);
	int r = 0;

	for (unsigned i = 0; r == 0 && i < count; i++) {
		struct volume_device dev;

		volume_device_at(trans->fs->vol, i, &dev);
		if (volume_device_errors_news(trans->fs->vol, dev.devid))
			r = write_device(trans, dev.devid);
	}
	return r;
}

void device_stats_note(struct fs *fs)
{
	if (!fs->readonly && volume_device_errors_news(fs->vol, UINT64_MAX))
		trans_note_dirty(fs);
}
