/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance_item.c - see balance_item.h. The filters have one layout in the ioctl and on disk, but for
 * the byte order. */
#include "relocation/balance_item.h"

#include <errno.h>
#include <linux/btrfs_tree.h>

#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/root.h"
#include "core/tree/search.h"
#include "disk/base/log.h"

static const struct key item_key = { BTRFS_BALANCE_OBJECTID, BTRFS_TEMPORARY_ITEM_KEY, 0 };

static void decode(const struct btrfs_disk_balance_args *d, struct btrfs_balance_args *ret)
{
	*ret = (struct btrfs_balance_args){
		.profiles = get_le64(&d->profiles),
		.devid = get_le64(&d->devid),
		.pstart = get_le64(&d->pstart),
		.pend = get_le64(&d->pend),
		.vstart = get_le64(&d->vstart),
		.vend = get_le64(&d->vend),
		.target = get_le64(&d->target),
		.flags = get_le64(&d->flags),
		.stripes_min = get_le32(&d->stripes_min),
		.stripes_max = get_le32(&d->stripes_max),
	};
	ret->usage = get_le64(&d->usage);
	ret->limit = get_le64(&d->limit);
}

static void encode(const struct btrfs_balance_args *args, struct btrfs_disk_balance_args *d)
{
	put_le64(&d->profiles, args->profiles);
	put_le64(&d->usage, args->usage);
	put_le64(&d->devid, args->devid);
	put_le64(&d->pstart, args->pstart);
	put_le64(&d->pend, args->pend);
	put_le64(&d->vstart, args->vstart);
	put_le64(&d->vend, args->vend);
	put_le64(&d->target, args->target);
	put_le64(&d->flags, args->flags);
	put_le64(&d->limit, args->limit);
	put_le32(&d->stripes_min, args->stripes_min);
	put_le32(&d->stripes_max, args->stripes_max);
}

int balance_item_read(struct fs *fs, struct btrfs_ioctl_balance_args *ret)
{
	struct btrfs_balance_item item = {};
	int r = tree_lookup(fs->tree_root, &item_key, &item, sizeof(item));

	if (r < 0)
		return r;
	if ((size_t)r < sizeof(item)) {
		log_fault("balance item: %d bytes, wanted %zu", r, sizeof(item));
		return -EUCLEAN;
	}
	*ret = (struct btrfs_ioctl_balance_args){ .flags = get_le64(&item.flags) };
	decode(&item.data, &ret->data);
	decode(&item.meta, &ret->meta);
	decode(&item.sys, &ret->sys);
	return 0;
}

/* Ends the operation @trans and makes it durable; -ENOENT is before any change. */
static int finish(struct trans *trans, int r, const char *what)
{
	if (r < 0 && r != -ENOENT)
		trans_abort(trans, r, what);
	trans_end(trans);
	return r < 0 ? r : trans_commit(trans->fs);
}

int balance_item_write(struct fs *fs, const struct btrfs_ioctl_balance_args *args)
{
	struct btrfs_balance_item item = {};
	struct trans trans;
	int r = trans_join(fs, 1, &trans);

	if (r < 0)
		return r;
	put_le64(&item.flags, args->flags);
	encode(&args->data, &item.data);
	encode(&args->meta, &item.meta);
	encode(&args->sys, &item.sys);
	r = tree_put(&trans, fs->tree_root, &item_key, &item, sizeof(item));
	return finish(&trans, r, "writing the balance item");
}

int balance_item_delete(struct fs *fs)
{
	struct trans trans;
	int r = trans_join_release(fs, 1, &trans);

	if (r < 0)
		return r;
	r = tree_delete_key(&trans, fs->tree_root, &item_key);
	return finish(&trans, r, "deleting the balance item");
}
