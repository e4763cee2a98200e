/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_xattr.c - xattrs that were deleted: a logged inode's xattrs are all in its log, so one
 * that is not was removed.
 */
#include <errno.h>

#include "core/log/replay_internal.h"
#include "core/tree/search.h"

/* The name of the first record, from *key and *at on, of @ino's xattrs: 0, -ENOENT. */
static int next_xattr(struct replay *rp, u64 ino, struct key *key, u32 *at, struct name *ret,
		      char *buf)
{
	_cleanup_path_ struct path path = {};
	struct name_record rec;
	int r = tree_search_next(rp->root, key, &path);

	if (r < 0)
		return r;
	if (r > 0)
		*at = 0;
	*key = path_key(&path);
	if (key->objectid != ino || key->type != BTRFS_XATTR_ITEM_KEY)
		return -ENOENT;
	ret->len = 0;
	if (!name_record_at(key->type, path_data(&path), path_size(&path), *at, &rec))
		return 0;
	memcpy(buf, rec.name.s, rec.name.len);
	*ret = (struct name){.s = buf, .len = rec.name.len};
	*at += rec.bytes;
	return 0;
}

int replay_xattr_deletes(struct replay *rp, u64 ino)
{
	struct key key = KEY(ino, BTRFS_XATTR_ITEM_KEY, 0);
	char buf[NAME_LEN_MAX];
	struct name name;
	u32 at = 0;
	int r;

	while ((r = next_xattr(rp, ino, &key, &at, &name, buf)) == 0) {
		struct name_record rec;

		if (!name.len) { /* the item has no more */
			key = key_next(key);
			at = 0;
			continue;
		}
		r = name_item_find(rp->log, &key, name, 0, &rec);
		if (r == -ENOENT) {
			r = name_item_cut(rp->trans, rp->root, &key, name, 0);
			at = 0;
		}
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}
