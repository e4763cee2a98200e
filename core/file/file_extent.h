/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_extent.h - EXTENT_DATA items: reading them, and changing them under the rules of the format.
 *
 * An item maps [off, off + len) of a file to a part of an extent. Splitting an item keeps
 * disk_bytenr, disk_bytes and ram_bytes and moves extent_off; every piece holds one reference
 * (root, ino, off - extent_off), all pieces of one extent therefore the same one with a count.
 * Functions with a struct trans want a join with items for what they change, and no tree lock.
 * A failure of one of those aborts the transaction by itself.
 */
#ifndef CORE_FILE_FILE_EXTENT_H
#define CORE_FILE_FILE_EXTENT_H

#include <linux/btrfs_tree.h>

#include "disk/base/types.h"
#include "disk/format/key.h"

struct inode;
struct path;
struct root;
struct trans;

enum mapping_type { MAPPING_HOLE, MAPPING_INLINE, MAPPING_REG, MAPPING_PREALLOC };

struct file_mapping {
	enum mapping_type type;
	u8 compression;
	u8 other_encoding; /* encryption or other encoding: nothing that we read */
	u64 off, len;      /* in the file; lookups round an inline extent up to a sector */
	u64 disk_bytenr;   /* 0 for holes and inline */
	u64 disk_bytes;
	u64 extent_off;    /* of off within the extent */
	u64 ram_bytes;     /* an inline extent's true length */
	u64 generation;
	bool implied;      /* a hole without an item */
};

static inline u64 mapping_end(const struct file_mapping *m)
{
	return m->off + m->len;
}

/* Where the mapping's first byte is on the device's logical space (REG, PREALLOC). */
static inline u64 mapping_logical(const struct file_mapping *m)
{
	return m->disk_bytenr + m->extent_off;
}

static inline bool mapping_has_extent(const struct file_mapping *m)
{
	return m->disk_bytenr != 0;
}

static inline struct key file_extent_key(u64 ino, u64 off)
{
	return KEY(ino, BTRFS_EXTENT_DATA_KEY, off);
}

/* Pure: from and to an item's bytes (already checked). Inline data is not part of it. */
void file_mapping_decode(const void *item, u32 size, u64 file_off, struct file_mapping *ret);
void file_mapping_encode(const struct file_mapping *m, struct btrfs_file_extent_item *ret);

/* Pure: same place, same piece, same type and generation? */
bool file_mapping_same(const struct file_mapping *a, const struct file_mapping *b);

/*
 * Pure: what is left of @m when [start, end) is cut out: 0, 1 or 2 pieces in @ret. The number of
 * references changes by the result - 1, the file's bytes by mapping_cut_bytes(). Not for inline.
 */
int file_mapping_cut(const struct file_mapping *m, u64 start, u64 end,
		     struct file_mapping ret[2]);
u64 file_mapping_cut_bytes(const struct file_mapping *m, u64 start, u64 end);

/* Is there an extent of @ino at the locked path, and what does it map? An inline one counts as whole
 * sectors, as in lookups. */
bool file_extent_here(const struct path *path, u64 ino, struct file_mapping *ret);

/*
 * The mapping that covers @off, holes included (implied ones reach to the next item, or to
 * UINT64_MAX). Read side: I/O possible, tree lock taken and released.
 */
_must_check_ int file_extent_lookup(struct root *root, u64 ino, u64 off,
				    struct file_mapping *ret);

/* The same with the tree left read-locked in @path (as from tree_search) if the result has an
 * item; for deciding under the lock. With an implied hole it may be unlocked. */
_must_check_ int file_extent_lookup_locked(struct root *root, u64 ino, u64 off, struct path *path,
					   struct file_mapping *ret);

/* Up to @max consecutive mappings that cover [start, end), the first and last may stick out.
 * The number of them, at least 1. */
_must_check_ int file_extent_lookup_range(struct root *root, u64 ino, u64 start, u64 end,
					  struct file_mapping *ret, int max);

/* Copies out data of the inline extent of @ino (at most @len bytes), decompressed; bytes copied. */
_must_check_ int file_extent_read_inline(struct root *root, u64 ino, void *buf, u32 len);

/*
 * Takes [start, end) out of the file, cutting items at the borders, dropping references and
 * counting inode->a.nbytes down. Stops after @budget items touched: *ret_end is how far it got
 * (== @end when done). Both ends sector aligned; an inline extent goes as a whole.
 */
_must_check_ int file_extent_drop(struct trans *trans, struct inode *inode, u64 start, u64 end,
				  unsigned budget, u64 *ret_end);

/* The same without an inode in memory: what it took off nbytes is added to *bytes, and a failure
 * aborts nothing. */
_must_check_ int file_extent_drop_items(struct trans *trans, struct root *root, u64 ino, u64 start,
					u64 end, unsigned budget, u64 *ret_end, u64 *bytes);

/* Adds an item where nothing is; counts nbytes. The reference is the caller's. */
_must_check_ int file_extent_insert(struct trans *trans, struct inode *inode,
				    const struct file_mapping *m);

/* Makes the item that ends where @m begins cover @m too, if @m continues its extent: 1 done (no
 * reference needed), 0 not possible, <0. */
_must_check_ int file_extent_append(struct trans *trans, struct inode *inode,
				    const struct file_mapping *m);

/* An inline extent of @len bytes as they are stored, which stand for @ram_bytes of the file; counts
 * nbytes. */
_must_check_ int file_extent_insert_inline(struct trans *trans, struct inode *inode,
					   const void *data, u32 len, u8 compression,
					   u32 ram_bytes);

/*
 * Removes what lies at or beyond @size from the end of the file backwards, @budget items at most.
 * 1 done, 0 more to do; *ret_from is where the items that are left end at the latest.
 */
_must_check_ int file_extent_cut_tail(struct trans *trans, struct inode *inode, u64 size,
				      unsigned budget, u64 *ret_from);

/* Turns [start, end) of the preallocated mapping @m into a written extent, merging with written
 * neighbours of the same extent. @m is what one lookup said, and a gate token or the absence of
 * others keeps it true. */
_must_check_ int file_extent_mark_written(struct trans *trans, struct inode *inode,
					  const struct file_mapping *m, u64 start, u64 end);

#endif
