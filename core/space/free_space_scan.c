/* SPDX-License-Identifier: GPL-2.0-or-later */
/* free_space_scan.c - see free_space_scan.h.
 *
 * One walk over the group's extent items in order of address; free is what lies between them.
 */
#include "core/space/free_space_scan.h"

#include <errno.h>

#include "core/fs.h"
#include "core/tree/search.h"
#include "disk/base/log.h"

struct scan {
	u64 at;  /* everything of the group below is accounted for */
	u64 end; /* of the group */
	u32 nodesize;
	struct free_extents *free;
};

static int scan_bad(const struct scan *s, u64 logical, const char *what)
{
	log_fault("extent tree: extent at %llu %s (group ends at %llu)",
		  (unsigned long long)logical, what, (unsigned long long)s->end);
	return -EUCLEAN;
}

static int scan_item(struct scan *s, const struct key *key)
{
	u64 len = key->type == BTRFS_METADATA_ITEM_KEY ? s->nodesize : key->offset;
	int r = 0;

	if (key->type != BTRFS_EXTENT_ITEM_KEY && key->type != BTRFS_METADATA_ITEM_KEY)
		return 0;
	if (key->objectid < s->at)
		return scan_bad(s, key->objectid, "overlaps the one before");
	if (len > s->end - key->objectid)
		return scan_bad(s, key->objectid, "reaches out of its group");
	if (key->objectid > s->at)
		r = free_extents_add(s->free, s->at, key->objectid - s->at);
	s->at = key->objectid + len;
	return r;
}

static int scan_items(struct fs *fs, struct scan *s)
{
	struct key key = KEY(s->at, 0, 0);
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(fs->extent_root, &key, &path);

	for (r = r == -ENOENT ? 1 : MIN(r, 0); r == 0; r = tree_next(&path)) {
		key = path_key(&path);
		if (key.objectid >= s->end)
			return 0;
		r = scan_item(s, &key);
		if (r < 0)
			return r;
	}
	return MIN(r, 0);
}

int free_space_scan(struct fs *fs, u64 group, u64 length, struct free_extents *ret)
{
	struct scan s = {
		.at = group, .end = group + length, .nodesize = fs->nodesize, .free = ret,
	};
	int r = scan_items(fs, &s);

	if (r == 0 && s.at < s.end)
		r = free_extents_add(ret, s.at, s.end - s.at);
	if (r < 0)
		free_extents_clear(ret);
	return r;
}
