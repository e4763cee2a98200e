/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_extent.c - file extents of a log, and the checksums of what they show.
 *
 * The log's item takes the place of whatever the file has there. Its extent is in the extent tree,
 * or was claimed (replay_claim.c) and enters it with its first pointer.
 */
#include <errno.h>
#include <sys/stat.h>

#include "core/extent/csum_tree.h"
#include "core/file/file_extent.h"
#include "core/inode/compression.h"
#include "core/log/replay_internal.h"
#include "core/tree/search.h"

#define DROP_BUDGET 256u

int replay_extent_drop(struct replay *rp, u64 ino, u64 start, u64 end)
{
	u64 bytes = 0;
	int r = 0;

	while (r == 0 && start < end)
		r = file_extent_drop_items(rp->trans, rp->root, ino, start, end, DROP_BUDGET,
					   &start, &bytes);
	return r < 0 ? r : replay_inode_grow(rp, ino, 0, -(s64)bytes);
}

/* 1: the file has this very item. */
static int is_there(struct replay *rp, const struct key *key)
{
	_cleanup_path_ struct path path = {};
	int r = tree_search(rp->root, key, &path);

	if (r != 0)
		return MIN(r, 0);
	return path_size(&path) == rp->size && !memcmp(path_data(&path), rp->item, rp->size);
}

/* Stores the checksums that are there, run by run. */
static int store_csums(struct replay *rp, u64 logical, u32 sectors, const u8 *csums,
		       const bool *present)
{
	u32 sector = rp->fs->sectorsize, from = 0;
	int r = 0;

	while (r == 0 && from < sectors) {
		u32 to = from;

		while (to < sectors && present[to])
			to++;
		if (to > from)
			r = csum_insert(rp->trans, logical + (u64)from * sector,
					(u64)(to - from) * sector,
					csums + (size_t)from * rp->fs->csum_size);
		from = to + 1;
	}
	return r;
}

static int copy_csums(struct replay *rp, u64 logical, u64 len)
{
	u32 sectors = (u32)(len / rp->fs->sectorsize);
	_cleanup_free_ u8 *csums = calloc(sectors, rp->fs->csum_size);
	_cleanup_free_ bool *present = calloc(sectors, sizeof(*present));
	int r;

	if (!csums || !present)
		return -ENOMEM;
	r = csum_lookup_in(rp->fs, rp->log, logical, len, csums, present);
	return r <= 0 ? r : store_csums(rp, logical, sectors, csums, present);
}

static int bad_extent(struct replay *rp, const struct key *key, const char *what)
{
	return replay_refuse(rp, -EUCLEAN, "tree %llu inode %llu, extent at %llu: %s",
			     (unsigned long long)rp->root->id, (unsigned long long)key->objectid,
			     (unsigned long long)key->offset, what);
}

/* The pointer's reference and its checksums. */
static int add_extent(struct replay *rp, const struct key *key, const struct file_mapping *m)
{
	int r;

	if (!m->compression &&
	    (m->extent_off > m->disk_bytes || m->len > m->disk_bytes - m->extent_off))
		return bad_extent(rp, key, "is longer than what it points to");
	if (m->len == 0 || m->disk_bytes == 0)
		return bad_extent(rp, key, "is empty");
	r = replay_extent_ref(rp, m->disk_bytenr, key->objectid, m->off - m->extent_off);
	if (r < 0 || m->type == MAPPING_PREALLOC)
		return r;
	if (m->compression)
		return copy_csums(rp, m->disk_bytenr, m->disk_bytes);
	return copy_csums(rp, mapping_logical(m), m->len);
}

static int insert(struct replay *rp, const struct key *key, const struct file_mapping *m)
{
	bool hole = m->type == MAPPING_HOLE;
	int r;

	if (hole && fs_has_incompat(rp->fs, BTRFS_FEATURE_INCOMPAT_NO_HOLES))
		return 0;
	r = tree_insert(rp->trans, rp->root, key, rp->item, rp->size);
	if (r < 0 || hole)
		return r;
	if (m->compression)
		compression_announce(rp->fs, m->compression);
	if (m->type != MAPPING_INLINE)
		r = add_extent(rp, key, m);
	return r < 0 ? r : replay_inode_grow(rp, key->objectid, 0, (s64)m->len);
}

/* Does the inode exist, and is it of a kind that has extents? */
static int check_owner(struct replay *rp, const struct key *key)
{
	struct btrfs_inode_item item;
	int r = replay_inode_read(rp, key->objectid, &item);

	if (r == -ENOENT)
		return bad_extent(rp, key, "there is no such inode");
	if (r == 0 && !S_ISREG(get_le32(&item.mode)) && !S_ISLNK(get_le32(&item.mode)))
		return bad_extent(rp, key, "the inode is no file");
	return r;
}

int replay_extent(struct replay *rp, const struct key *key)
{
	struct file_mapping m;
	int r = is_there(rp, key);

	if (r != 0)
		return MIN(r, 0);
	r = check_owner(rp, key);
	if (r < 0)
		return r;
	file_mapping_decode(rp->item, rp->size, key->offset, &m);
	r = replay_extent_drop(rp, key->objectid, m.off,
			       ALIGN_UP(mapping_end(&m), (u64)rp->fs->sectorsize));
	return r < 0 ? r : insert(rp, key, &m);
}
