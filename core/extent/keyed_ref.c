/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keyed_ref.c - finding, adding to and dropping from keyed references.
 *
 * A data reference that lost the place of its hash to another one lies a few offsets behind it,
 * with gaps where others went. Hashes have 63 bits: whatever lies within PROBE_MAX behind the hash
 * is looked at, everything further away is some other hash.
 */
#include "core/extent/keyed_ref.h"

#include "core/fs.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/format/hash.h"

#define PROBE_MAX 4096

struct key keyed_ref_key(u64 logical, const struct ref *ref)
{
	u64 offset = ref->kind == REF_TREE_BLOCK ? ref->root : ref->parent;

	if (ref->kind == REF_DATA)
		offset = extent_data_ref_hash(ref->root, ref->ino, ref->offset);
	return KEY(logical, (u8)ref->kind, offset);
}

bool keyed_ref_is(const struct key *key, u64 logical)
{
	return key->objectid == logical &&
	       (key->type == REF_TREE_BLOCK || key->type == REF_DATA ||
		key->type == REF_SHARED_BLOCK || key->type == REF_SHARED_DATA);
}

u32 keyed_ref_encode(const struct ref *ref, u32 count, u8 buf[sizeof(struct btrfs_extent_data_ref)])
{
	if (ref->kind == REF_SHARED_DATA) {
		put_le32(buf, count);
		return sizeof(struct btrfs_shared_data_ref);
	}
	if (ref->kind != REF_DATA)
		return 0;
	put_le64(buf + offsetof(struct btrfs_extent_data_ref, root), ref->root);
	put_le64(buf + offsetof(struct btrfs_extent_data_ref, objectid), ref->ino);
	put_le64(buf + offsetof(struct btrfs_extent_data_ref, offset), ref->offset);
	put_le32(buf + offsetof(struct btrfs_extent_data_ref, count), count);
	return sizeof(struct btrfs_extent_data_ref);
}

int keyed_ref_decode(const struct key *key, const void *data, u32 size, struct ref_count *ret)
{
	const struct btrfs_extent_data_ref *dref = data;
	u32 want = key->type == REF_DATA          ? sizeof(*dref)
		   : key->type == REF_SHARED_DATA ? sizeof(struct btrfs_shared_data_ref)
						  : 0;

	if (size != want)
		return -EUCLEAN;
	*ret = (struct ref_count){.ref.kind = (enum ref_kind)key->type, .count = 1};
	if (key->type == REF_DATA) {
		ret->ref.root = get_le64(&dref->root);
		ret->ref.ino = get_le64(&dref->objectid);
		ret->ref.offset = get_le64(&dref->offset);
		ret->count = get_le32(&dref->count);
	} else if (key->type == REF_TREE_BLOCK) {
		ret->ref.root = key->offset;
	} else {
		ret->ref.parent = key->offset;
	}
	if (key->type == REF_SHARED_DATA)
		ret->count = get_le32(data);
	return 0;
}

int keyed_refs_exist(struct fs *fs, u64 logical)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(logical, REF_TREE_BLOCK, 0);
	int r = tree_search_next(fs->extent_root, &key, &path);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	key = path_key(&path);
	return keyed_ref_is(&key, logical);
}

/* Could an item at @key be @ref, given where the search began? */
static bool within_probe(const struct key *key, const struct key *begin)
{
	return key->objectid == begin->objectid && key->type == begin->type &&
	       key->offset - begin->offset <= (begin->type == REF_DATA ? PROBE_MAX : 0);
}

/* Path read-locked at the item of @ref: 0 and what it says, -ENOENT, <0. */
static int keyed_ref_find(struct fs *fs, struct path *path, u64 logical, const struct ref *ref,
			  struct key *key, struct ref_count *ret)
{
	struct key begin = keyed_ref_key(logical, ref);
	int r;

	for (*key = begin;; *key = key_next(*key)) {
		r = tree_search_next(fs->extent_root, key, path);
		if (r < 0)
			return r;
		*key = path_key(path);
		if (!within_probe(key, &begin))
			return -ENOENT;
		r = keyed_ref_decode(key, path_data(path), path_size(path), ret);
		if (r < 0 || !ref_cmp(&ret->ref, ref))
			return r;
	}
}

int keyed_ref_count(struct fs *fs, struct path *path, u64 logical, const struct ref *ref,
		    u32 *count)
{
	struct ref_count found;
	struct key key;
	int r = keyed_ref_find(fs, path, logical, ref, &key, &found);

	if (r == -EAGAIN)
		return r; /* the miss stays in the path */
	path_release(path);
	if (!r)
		*count = (u32)found.count;
	return r;
}

static int keyed_ref_insert(struct trans *trans, u64 logical, const struct ref *ref, u32 count)
{
	u8 buf[sizeof(struct btrfs_extent_data_ref)];
	u32 size = keyed_ref_encode(ref, count, buf);
	struct key key = keyed_ref_key(logical, ref);
	int r = -EEXIST;

	for (int i = 0; i < PROBE_MAX && r == -EEXIST; i++, key.offset++) {
		r = tree_insert(trans, trans->fs->extent_root, &key, buf, size);
		if (ref->kind != REF_DATA)
			break;
	}
	return r == -EEXIST ? -EUCLEAN : r;
}

static int keyed_ref_write(struct trans *trans, const struct key *key, const struct ref *ref,
			   u32 count)
{
	u8 buf[sizeof(struct btrfs_extent_data_ref)];
	u32 size = keyed_ref_encode(ref, count, buf);

	if (!count)
		return tree_delete_key(trans, trans->fs->extent_root, key);
	return tree_put(trans, trans->fs->extent_root, key, buf, size);
}

int keyed_ref_change(struct trans *trans, u64 logical, const struct ref *ref, s64 delta)
{
	struct ref_count found = {};
	struct path path = {};
	struct key key;
	int r = keyed_ref_find(trans->fs, &path, logical, ref, &key, &found);

	path_release(&path);
	if (r == -ENOENT && delta > 0 && delta <= UINT32_MAX)
		return keyed_ref_insert(trans, logical, ref, (u32)delta);
	if (r)
		return r;
	if (found.count + delta < 0 || found.count + delta > UINT32_MAX)
		return -EUCLEAN;
	if (delta > 0 && ref->kind != REF_DATA && ref->kind != REF_SHARED_DATA)
		return -EUCLEAN;
	return keyed_ref_write(trans, &key, ref, (u32)(found.count + delta));
}
