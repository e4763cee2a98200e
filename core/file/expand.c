/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * expand.c - a file grows past its old end.
 *
 * What lies behind the end in its last sector may be anything on disk (shrinking does not write):
 * it is zeroed here, before the size covers it; the size on disk waits for that, see
 * file_disk_size(). That makes the sector data even if it was a hole, as in the kernel. An inline
 * extent, which ends where the file ended, is rewritten by that, too.
 * Images without the no-holes feature get an explicit hole item for what nobody wrote.
 */
#include "core/file/file_extent.h"
#include "core/file/file_state.h"
#include "core/fs.h"
#include "core/trans/transaction.h"

int file_add_hole(struct trans *trans, struct inode *inode, u64 start, u64 end)
{
	struct file_mapping m = {.type = MAPPING_HOLE, .off = start, .len = end - start,
				 .ram_bytes = end - start, .generation = trans->transid};

	if (fs_has_incompat(inode->fs, BTRFS_FEATURE_INCOMPAT_NO_HOLES))
		return 0;
	return file_extent_insert(trans, inode, &m);
}

static int add_hole(struct inode *inode, u64 start, u64 end)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join(inode->fs, 2, &trans);

	return r < 0 ? r : file_add_hole(&trans, inode, start, end);
}

/* Hole items for what is not mapped in [start, end). */
int file_add_holes(struct inode *inode, u64 start, u64 end)
{
	if (fs_has_incompat(inode->fs, BTRFS_FEATURE_INCOMPAT_NO_HOLES))
		return 0;
	while (start < end) {
		struct file_mapping m;
		int r = file_extent_lookup(inode->root, inode->ino, start, &m);

		if (r < 0)
			return r;
		if (m.implied)
			r = add_hole(inode, start, MIN(end, mapping_end(&m)));
		if (r < 0)
			return r;
		start = MIN(end, mapping_end(&m));
	}
	return 0;
}

int file_zero_end(struct inode *inode, struct file_state *st, u64 size)
{
	u64 end = ALIGN_UP(size, (u64)inode->fs->sectorsize);

	return size == end ? 0 : file_write_buffered(inode, st, size, NULL, end - size, size);
}

int file_expand(struct inode *inode, struct file_state *st, u64 old_size, u64 start)
{
	u64 ss = inode->fs->sectorsize;
	int r = 0;

	/* A write into the old end's own sector zeroes what it must while it reads it. */
	if (start > old_size)
		r = file_zero_end(inode, st, old_size);
	if (r < 0)
		return r;
	return file_add_holes(inode, ALIGN_UP(old_size, ss), ALIGN_DOWN(start, ss));
}
