/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item_root.c - root items, the names of subvolumes, the uuid tree. Pure; see check_item.h.
 */
#include "disk/format/check_item.h"

#define ROOT_ITEM_OLD_SIZE offsetof(struct btrfs_root_item, generation_v2)
#define ROOT_FLAGS_KNOWN (BTRFS_ROOT_SUBVOL_RDONLY | 1ULL << 48) /* 48: being deleted */

static int check_root_key(const struct item *it)
{
	if (it->key.objectid == 0)
		return item_bad(it, "bad tree id: 0");
	if (it->key.objectid == (u64)BTRFS_TREE_RELOC_OBJECTID && it->key.offset == 0)
		return item_bad(it, "relocation tree of tree 0");
	return 0;
}

static int check_root_generations(const struct item *it, const struct btrfs_root_item *root,
				  bool has_v2)
{
	int err = check_generation(it, "root generation", get_le64(&root->generation));

	if (!err && has_v2)
		err = check_generation(it, "root generation_v2", get_le64(&root->generation_v2));
	if (!err)
		err = check_generation(it, "last snapshot", get_le64(&root->last_snapshot));
	return err;
}

int check_root_item(const struct item *it)
{
	const struct btrfs_root_item *root = (const void *)it->data;
	bool has_v2 = it->size == sizeof(*root);
	int err = check_root_key(it);

	if (err)
		return err;
	if (!has_v2 && it->size != ROOT_ITEM_OLD_SIZE)
		return item_bad(it, "bad item size: got %u, wanted %zu or %zu", it->size,
				sizeof(*root), ROOT_ITEM_OLD_SIZE);
	err = check_root_generations(it, root, has_v2);
	if (err)
		return err;
	if (!sector_aligned(it, get_le64(&root->bytenr)))
		return item_bad(it, "bad root address: got %llu, wanted a multiple of %u",
				(unsigned long long)get_le64(&root->bytenr), it->env->sectorsize);
	if (root->level >= NODE_LEVEL_MAX || root->drop_level >= NODE_LEVEL_MAX)
		return item_bad(it, "bad root level: got %u and drop level %u, wanted below %u",
				root->level, root->drop_level, NODE_LEVEL_MAX);
	if (get_le64(&root->drop_progress.objectid) && root->drop_level == 0)
		return item_bad(it, "deletion in progress at level 0");
	if (get_le64(&root->flags) & ~ROOT_FLAGS_KNOWN)
		return item_bad(it, "unknown root flags: got 0x%llx",
				(unsigned long long)get_le64(&root->flags));
	return 0;
}

int check_root_ref(const struct item *it)
{
	const struct btrfs_root_ref *ref = (const void *)it->data;
	u32 len;

	if (it->size < sizeof(*ref))
		return item_bad(it, "bad item size: got %u, wanted %zu at least", it->size,
				sizeof(*ref));
	len = get_le16(&ref->name_len);
	if (len == 0 || len > NAME_LEN_MAX)
		return item_bad(it, "bad name length: got %u, wanted 1 to %u", len, NAME_LEN_MAX);
	return item_size_is(it, sizeof(*ref) + len);
}

int check_uuid_item(const struct item *it)
{
	if (it->size == 0 || it->size % sizeof(u64))
		return item_bad(it, "bad item size: got %u, wanted a multiple of 8", it->size);
	return 0;
}
