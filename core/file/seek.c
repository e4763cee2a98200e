/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seek.c - SEEK_DATA and SEEK_HOLE. Data is what was written: extents, inline data, and dirty
 * sectors; preallocated space that nobody wrote to is a hole, as in the kernel. The answer is in
 * sectors, the end of the file counts as a hole.
 */
#include <unistd.h>

#include "core/file/file.h"
#include "core/file/file_extent.h"
#include "core/file/file_state.h"
#include "core/fs.h"

/* Is @pos data in the mapping alone, and up to where? */
static int mapped_data(struct inode *inode, u64 pos, u64 *ret_end)
{
	struct file_mapping m;
	int r = file_extent_lookup(inode->root, inode->ino, pos, &m);

	if (r < 0)
		return r;
	*ret_end = mapping_end(&m);
	return m.type == MAPPING_REG || m.type == MAPPING_INLINE;
}

/* The same with what is dirty. */
static int data_at(struct inode *inode, struct file_state *st, u64 pos, u64 *ret_end)
{
	u64 start, end, mapped_end;
	bool dirty;
	int r;

	mutex_lock(&st->lock);
	dirty = dirty_map_next(&st->map, pos, UINT64_MAX, &start, &end);
	mutex_unlock(&st->lock);
	if (dirty && start == pos) {
		*ret_end = end;
		return 1;
	}
	r = mapped_data(inode, pos, &mapped_end);
	*ret_end = dirty ? MIN(start, mapped_end) : mapped_end;
	return r;
}

static s64 seek(struct inode *inode, struct file_state *st, u64 off, u64 size, bool want_data)
{
	u64 pos = ALIGN_DOWN(off, (u64)inode->fs->sectorsize);

	while (pos < size) {
		u64 end = size;
		int data = data_at(inode, st, pos, &end);

		if (data < 0)
			return data;
		if ((data > 0) == want_data)
			return (s64)MAX(pos, off);
		pos = end;
	}
	return want_data ? -ENXIO : (s64)size;
}

s64 file_seek(struct inode *inode, u64 off, int whence)
{
	struct file_state *st = file_state_get(inode);
	_cleanup_range_ struct range_lock range = {};
	u64 size;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (!st)
		return -ENOMEM;
	range_lock(&st->ranges, &range, 0, UINT64_MAX, false);
	size = inode_size(inode);
	if (off >= size)
		return -ENXIO;
	return seek(inode, st, off, size, whence == SEEK_DATA);
}
