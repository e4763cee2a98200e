/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check_item_extent.c - extent items with their inline references, and references that have items
 * of their own. Inline references stand in ascending type, within a type in descending order of
 * their sequence (hash of a data reference, root or parent otherwise): who looks one up relies on
 * it, so it is a fact to check. Pure; see check_item.h.
 */
#include "disk/format/check_item.h"
#include "disk/format/hash.h"

static bool is_data_ref_root(u64 root)
{
	/* the root tree owns the inodes of the v1 free space cache */
	return is_subvolume_id(root) || root == (u64)BTRFS_DATA_RELOC_TREE_OBJECTID ||
	       root == BTRFS_ROOT_TREE_OBJECTID;
}

static int check_data_ref(const struct item *it, const struct btrfs_extent_data_ref *ref, u64 *seq)
{
	u64 root = get_le64(&ref->root), ino = get_le64(&ref->objectid),
	    offset = get_le64(&ref->offset);

	if (!is_data_ref_root(root))
		return item_bad(it, "bad root of a data reference: got %llu",
				(unsigned long long)root);
	/* -12: the inode cache that old kernels kept in each subvolume */
	if ((ino < BTRFS_FIRST_FREE_OBJECTID || ino > BTRFS_LAST_FREE_OBJECTID) &&
	    ino != (u64)BTRFS_FREE_INO_OBJECTID)
		return item_bad(it, "bad inode of a data reference: got %llu",
				(unsigned long long)ino);
	if (!sector_aligned(it, offset))
		return item_bad(it,
				"bad offset of a data reference: got %llu, wanted a multiple of %u",
				(unsigned long long)offset, it->env->sectorsize);
	if (get_le32(&ref->count) == 0)
		return item_bad(it, "bad count of a data reference: 0");
	*seq = extent_data_ref_hash(root, ino, offset);
	return 0;
}

static int check_parent(const struct item *it, u64 parent)
{
	if (!sector_aligned(it, parent))
		return item_bad(
			it, "bad parent of a shared reference: got %llu, wanted a multiple of %u",
			(unsigned long long)parent, it->env->sectorsize);
	return 0;
}

/* Bytes of an inline reference of @type, 0 if there is no such type. */
static u32 inline_ref_size(u8 type)
{
	switch (type) {
	case BTRFS_TREE_BLOCK_REF_KEY:
	case BTRFS_SHARED_BLOCK_REF_KEY:
	case BTRFS_EXTENT_OWNER_REF_KEY:
		return sizeof(struct btrfs_extent_inline_ref);
	case BTRFS_SHARED_DATA_REF_KEY:
		return sizeof(struct btrfs_extent_inline_ref) +
		       sizeof(struct btrfs_shared_data_ref);
	case BTRFS_EXTENT_DATA_REF_KEY:
		return offsetof(struct btrfs_extent_inline_ref, offset) +
		       sizeof(struct btrfs_extent_data_ref);
	default:
		return 0;
	}
}

/* One inline reference at @p, known to lie inside the item: what it counts for and where it sorts.
 */
static int check_inline_ref(const struct item *it, const u8 *p, u64 *count, u64 *seq)
{
	u64 offset = get_le64(p + offsetof(struct btrfs_extent_inline_ref, offset));

	*seq = offset;
	*count = 1;
	switch (p[0]) {
	case BTRFS_TREE_BLOCK_REF_KEY:
		return 0;
	case BTRFS_EXTENT_OWNER_REF_KEY:
		*count = 0;
		if (!(it->env->incompat_flags & BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA))
			return item_bad(it, "owner reference without the simple quota feature");
		return 0;
	case BTRFS_SHARED_BLOCK_REF_KEY:
		return check_parent(it, offset);
	case BTRFS_SHARED_DATA_REF_KEY:
		*count = get_le32(p + sizeof(struct btrfs_extent_inline_ref));
		if (*count == 0)
			return item_bad(it, "bad count of a shared data reference: 0");
		return check_parent(it, offset);
	default:
		p += offsetof(struct btrfs_extent_inline_ref, offset);
		*count = get_le32(p + offsetof(struct btrfs_extent_data_ref, count));
		return check_data_ref(it, (const void *)p, seq);
	}
}

static int check_inline_refs(const struct item *it, u32 at, u64 refs)
{
	u64 total = 0, last_seq = UINT64_MAX;
	u8 last_type = 0;

	while (at < it->size) {
		u8 type = it->data[at];
		u32 size = inline_ref_size(type);
		u64 count, seq;
		int err;

		if (!size)
			return item_bad(it, "bad type of an inline reference: got %u", type);
		if (size > it->size - at)
			return item_bad(it, "inline reference at %u runs past the item's end %u",
					at, it->size);
		err = check_inline_ref(it, it->data + at, &count, &seq);
		if (err)
			return err;
		if (type < last_type)
			return item_bad(it, "bad order of inline references: type %u after %u",
					type, last_type);
		if (type == last_type && seq > last_seq)
			return item_bad(
				it, "bad order of inline references: %llu after %llu in type %u",
				(unsigned long long)seq, (unsigned long long)last_seq, type);
		last_type = type;
		last_seq = seq;
		total += count;
		at += size;
	}
	if (total > refs)
		return item_bad(it, "bad reference count: got %llu, inline references say %llu",
				(unsigned long long)refs, (unsigned long long)total);
	return 0;
}

static u64 extent_end(const struct item *it, const struct key *k)
{
	return k->objectid + (k->type == BTRFS_METADATA_ITEM_KEY ? it->env->nodesize : k->offset);
}

static int check_extent_key(const struct item *it)
{
	if (!sector_aligned(it, it->key.objectid))
		return item_bad(it, "bad address: wanted a multiple of %u", it->env->sectorsize);
	if (it->key.type == BTRFS_METADATA_ITEM_KEY) {
		if (!(it->env->incompat_flags & BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA))
			return item_bad(it, "metadata item without the skinny metadata feature");
		if (it->key.offset >= NODE_LEVEL_MAX)
			return item_bad(it, "bad level: wanted below %u", NODE_LEVEL_MAX);
	}
	if (it->has_prev &&
	    (it->prev.type == BTRFS_EXTENT_ITEM_KEY || it->prev.type == BTRFS_METADATA_ITEM_KEY) &&
	    extent_end(it, &it->prev) > it->key.objectid)
		return item_bad(it, "extent overlaps the one before, which ends at %llu",
				(unsigned long long)extent_end(it, &it->prev));
	return 0;
}

static int check_data_extent(const struct item *it, u64 flags)
{
	if (it->key.type != BTRFS_EXTENT_ITEM_KEY)
		return item_bad(it, "data extent as a metadata item");
	if (it->key.offset == 0 || !sector_aligned(it, it->key.offset))
		return item_bad(it, "bad length of a data extent: wanted a multiple of %u",
				it->env->sectorsize);
	if (flags & BTRFS_BLOCK_FLAG_FULL_BACKREF)
		return item_bad(it, "full backref flag on a data extent");
	return 0;
}

/* The bytes before the inline references. */
static int check_tree_extent(const struct item *it, u32 *head)
{
	const struct btrfs_tree_block_info *info = (const void *)(it->data + *head);

	if (it->key.type == BTRFS_METADATA_ITEM_KEY)
		return 0;
	if (it->key.offset != it->env->nodesize)
		return item_bad(it, "bad length of a tree block: wanted %u", it->env->nodesize);
	if (it->size < *head + sizeof(*info))
		return item_bad(it, "bad item size: got %u, wanted %zu at least", it->size,
				*head + sizeof(*info));
	if (info->level >= NODE_LEVEL_MAX)
		return item_bad(it, "bad level: got %u, wanted below %u", info->level,
				NODE_LEVEL_MAX);
	*head += sizeof(*info);
	return 0;
}

int check_extent_item(const struct item *it)
{
	const struct btrfs_extent_item *ei = (const void *)it->data;
	u32 head = sizeof(*ei);
	u64 flags;
	int err = check_extent_key(it);

	if (err)
		return err;
	if (it->size < sizeof(*ei))
		return item_bad(it, "bad item size: got %u, wanted %zu at least", it->size,
				sizeof(*ei));
	err = check_generation(it, "extent generation", get_le64(&ei->generation));
	if (err)
		return err;
	flags = get_le64(&ei->flags);
	if (flags & BTRFS_EXTENT_FLAG_DATA && flags & BTRFS_EXTENT_FLAG_TREE_BLOCK)
		return item_bad(it, "bad extent flags: data and tree block at once");
	if (flags & BTRFS_EXTENT_FLAG_TREE_BLOCK)
		err = check_tree_extent(it, &head);
	else if (flags & BTRFS_EXTENT_FLAG_DATA)
		err = check_data_extent(it, flags);
	else
		err = item_bad(it, "bad extent flags: got 0x%llx, wanted data or tree block",
			       (unsigned long long)flags);
	return err ? err : check_inline_refs(it, head, get_le64(&ei->refs));
}

int check_simple_ref(const struct item *it)
{
	u32 want = it->key.type == BTRFS_SHARED_DATA_REF_KEY ? sizeof(struct btrfs_shared_data_ref)
							     : 0;
	int err = item_size_is(it, want);

	if (err)
		return err;
	if (!sector_aligned(it, it->key.objectid))
		return item_bad(it, "bad address: wanted a multiple of %u", it->env->sectorsize);
	if (it->key.type == BTRFS_TREE_BLOCK_REF_KEY)
		return 0;
	return check_parent(it, it->key.offset);
}

/* The key's offset is not compared with the hash: records whose hashes collide take the next free
 * offset. */
int check_extent_data_ref(const struct item *it)
{
	u32 one = sizeof(struct btrfs_extent_data_ref);

	if (it->size == 0 || it->size % one)
		return item_bad(it, "bad item size: got %u, wanted a multiple of %u", it->size,
				one);
	if (!sector_aligned(it, it->key.objectid))
		return item_bad(it, "bad address: wanted a multiple of %u", it->env->sectorsize);
	for (u32 at = 0; at < it->size; at += one) {
		u64 seq;
		int err = check_data_ref(it, (const void *)(it->data + at), &seq);

		if (err)
			return err;
	}
	return 0;
}
