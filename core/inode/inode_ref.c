/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_ref.c - see inode_ref.h. */
#include "core/inode/inode_ref.h"

#include "core/fs.h"
#include "core/inode/name_item.h"
#include "core/log/log_write.h"
#include "core/tree/item.h"
#include "disk/base/log.h"
#include "disk/format/hash.h"

static struct key ref_key(u64 ino, u64 parent)
{
	return KEY(ino, BTRFS_INODE_REF_KEY, parent);
}

static struct key extref_key(u64 ino, u64 parent, struct name name)
{
	return KEY(ino, BTRFS_INODE_EXTREF_KEY, extref_hash(parent, name.s, name.len));
}

static bool has_extrefs(const struct root *root)
{
	return fs_has_incompat(root->fs, BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF);
}

static u32 ref_bytes(struct name name)
{
	return (u32)sizeof(struct btrfs_inode_ref) + name.len;
}

static u32 extref_bytes(struct name name)
{
	return (u32)offsetof(struct btrfs_inode_extref, name) + name.len;
}

int inode_ref_find(struct root *root, u64 ino, u64 parent, struct name name, u64 *ret_index)
{
	struct key key = ref_key(ino, parent);
	struct name_record rec;
	int r = name_item_find(root, &key, name, parent, &rec);

	if (r == -ENOENT && has_extrefs(root)) {
		key = extref_key(ino, parent, name);
		r = name_item_find(root, &key, name, parent, &rec);
	}
	if (r < 0)
		return r;
	*ret_index = rec.index;
	return 0;
}

int inode_ref_room(struct root *root, u64 ino, u64 parent, struct name name)
{
	struct key key = ref_key(ino, parent);
	int r = name_item_room(root, &key, name, parent, ref_bytes(name));

	if (r != -EOVERFLOW || !has_extrefs(root))
		return r == -EOVERFLOW ? -EMLINK : r;
	key = extref_key(ino, parent, name);
	r = name_item_room(root, &key, name, parent, extref_bytes(name));
	return r == -EOVERFLOW ? -EMLINK : r;
}

int inode_ref_insert(struct trans *trans, struct root *root, u64 ino, u64 parent,
		     struct name name, u64 index)
{
	u8 record[sizeof(struct btrfs_inode_extref) + NAME_LEN_MAX];
	struct key key = ref_key(ino, parent);
	int r = name_item_room(root, &key, name, parent, ref_bytes(name));

	if (r == 0)
		return name_item_add(trans, root, &key, record,
				     ref_record_encode(record, index, name));
	if (r != -EOVERFLOW || !has_extrefs(root))
		return r;
	key = extref_key(ino, parent, name);
	return name_item_add(trans, root, &key, record,
			     extref_record_encode(record, parent, index, name));
}

int inode_ref_delete(struct trans *trans, struct root *root, u64 ino, u64 parent,
		     struct name name)
{
	struct key key = ref_key(ino, parent);
	int r = name_item_cut(trans, root, &key, name, parent);

	log_inode_renamed(trans, root->id, ino);
	if (r == -ENOENT && has_extrefs(root)) {
		key = extref_key(ino, parent, name);
		r = name_item_cut(trans, root, &key, name, parent);
	}
	if (r == -ENOENT)
		log_fault("tree %llu inode %llu: no reference for a name in directory %llu",
			  (unsigned long long)root->id, (unsigned long long)ino,
			  (unsigned long long)parent);
	return r == -ENOENT ? -EUCLEAN : r;
}

int inode_ref_first(struct root *root, u64 ino, u64 *parent, char *name, u16 *len)
{
	_cleanup_path_ struct path path = {};
	struct name_record rec;
	struct key key = ref_key(ino, 0);
	int r = tree_search_next(root, &key, &path);

	if (r < 0)
		return r;
	key = path_key(&path);
	if (key.objectid != ino ||
	    (key.type != BTRFS_INODE_REF_KEY && key.type != BTRFS_INODE_EXTREF_KEY) ||
	    !name_record_at(key.type, path_data(&path), path_size(&path), 0, &rec))
		return -ENOENT;
	*parent = key.type == BTRFS_INODE_REF_KEY ? key.offset : rec.parent;
	memcpy(name, rec.name.s, rec.name.len);
	*len = rec.name.len;
	return 0;
}

int inode_ref_parent(struct root *root, u64 ino, u64 *ret)
{
	char name[NAME_LEN_MAX];
	u16 len;

	return inode_ref_first(root, ino, ret, name, &len);
}
