/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item_inode.c - inode items and their back references. Pure; see check_item.h.
 */
#include <sys/stat.h>

#include "disk/format/check_item.h"
#include "disk/format/hash.h"

#define INODE_FLAGS_KNOWN                                                                          \
	(((1ULL << 12) - 1) | 1ULL << 31) /* NODATASUM .. COMPRESS, ROOT_ITEM_INIT */
#define INODE_RO_FLAGS_KNOWN (1ULL << 32) /* verity */

int check_prev_inode(const struct item *it)
{
	if (!it->has_prev || it->prev.objectid == it->key.objectid)
		return 0;
	if (!is_subvolume_id(node_owner(it->node)))
		return 0;
	return item_bad(it, "no inode item before it: previous objectid %llu, wanted %llu",
			(unsigned long long)it->prev.objectid,
			(unsigned long long)it->key.objectid);
}

static bool mode_has_one_type(u32 mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

int check_inode_item(const struct item *it)
{
	const struct btrfs_inode_item *inode = (const void *)it->data;
	u64 flags;
	u32 mode;
	int err = item_size_is(it, sizeof(*inode));

	if (err)
		return err;
	if (!is_inode_id(it->key.objectid))
		return item_bad(it, "bad inode number");
	if (it->key.offset)
		return item_bad(it, "bad key offset: wanted 0");
	err = check_generation(it, "inode generation", get_le64(&inode->generation));
	if (!err)
		err = check_generation(it, "inode transid", get_le64(&inode->transid));
	if (err)
		return err;
	mode = get_le32(&inode->mode);
	if (mode & ~(u32)(S_IFMT | 07777))
		return item_bad(it, "bad inode mode: got 0%o, wanted no unknown bits", mode);
	if (!mode_has_one_type(mode))
		return item_bad(it, "bad inode mode: got 0%o, wanted one file type", mode);
	if (S_ISDIR(mode) && get_le32(&inode->nlink) > 1)
		return item_bad(it, "bad link count of a directory: got %u, wanted at most 1",
				get_le32(&inode->nlink));
	flags = get_le64(&inode->flags);
	if (flags & ~(INODE_FLAGS_KNOWN | INODE_RO_FLAGS_KNOWN))
		return item_bad(it, "unknown inode flags: got 0x%llx", (unsigned long long)flags);
	return 0;
}

/* Walks (head, name) records; @head_size bytes each, the name's length at @len_at. */
static int check_names(const struct item *it, size_t head_size, size_t len_at)
{
	u32 at = 0;

	if (it->size <= head_size)
		return item_bad(it, "bad item size: got %u, wanted more than %zu", it->size,
				head_size);
	while (at < it->size) {
		u32 len;

		if (it->size - at < head_size)
			return item_bad(it, "reference at %u runs past the item's end %u", at,
					it->size);
		len = get_le16(it->data + at + len_at);
		if (len == 0 || len > NAME_LEN_MAX)
			return item_bad(it, "bad name length: got %u, wanted 1 to %u", len,
					NAME_LEN_MAX);
		if (len > it->size - at - head_size)
			return item_bad(it, "name at %u of %u bytes runs past the item's end %u",
					at, len, it->size);
		at += (u32)head_size + len;
	}
	return 0;
}

int check_inode_ref(const struct item *it)
{
	int err = check_prev_inode(it);

	return err ? err
		   : check_names(it, sizeof(struct btrfs_inode_ref),
				 offsetof(struct btrfs_inode_ref, name_len));
}

int check_inode_extref(const struct item *it)
{
	int err = check_prev_inode(it);

	return err ? err
		   : check_names(it, sizeof(struct btrfs_inode_extref),
				 offsetof(struct btrfs_inode_extref, name_len));
}
