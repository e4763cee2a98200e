/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dir.c - reading directories in index order, where an entry leads, and the way up; see dir.h.
 *
 * Entries are copied out in batches under the tree lock and handed over without it. A subvolume's
 * entry leads to that subvolume only if the root tree says that it stands here under this name;
 * copies of the entry that came with a snapshot lead to an empty stub, as in the kernel.
 */
#include "core/inode/dir.h"

#include <dirent.h>

#include "core/fs.h"
#include "core/inode/dir_entry.h"
#include "core/inode/inode_ref.h"
#include "core/inode/name_item.h"
#include "core/inode/orphan.h"
#include "core/subvol/root_table.h"
#include "core/tree/root.h"
#include "core/tree/search.h"
#include "disk/base/log.h"

#define BATCH_BYTES KIB(16)

struct batch_entry {
	struct key location;
	u64 index;
	u8 ftype;
	u16 name_len;
	char name[];
};

struct batch {
	u32 used;
	_Alignas(8) u8 bytes[BATCH_BYTES];
};

static u32 batch_entry_bytes(u32 name_len)
{
	return ALIGN_UP((u32)sizeof(struct batch_entry) + name_len, 8u);
}

static bool batch_add(struct batch *b, const struct name_record *rec, u64 index)
{
	u32 bytes = batch_entry_bytes(rec->name.len);
	struct batch_entry *e = (void *)(b->bytes + b->used);

	if (bytes > sizeof(b->bytes) - b->used)
		return false;
	e->location = rec->location;
	e->index = index;
	e->ftype = rec->ftype;
	e->name_len = rec->name.len;
	memcpy(e->name, rec->name.s, rec->name.len);
	b->used += bytes;
	return true;
}

/* Fills @b with entries from @off on; empty: no more. */
static int batch_read(struct inode *dir, u64 off, struct batch *b)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(dir->ino, BTRFS_DIR_INDEX_KEY, off);
	struct name_record rec;
	int r;

	b->used = 0;
	r = tree_search_next(dir->root, &key, &path);
	for (; r >= 0 && !path_at_end(&path); r = tree_next(&path)) {
		key = path_key(&path);
		if (key.objectid != dir->ino || key.type != BTRFS_DIR_INDEX_KEY)
			break;
		if (!name_record_at(key.type, path_data(&path), path_size(&path), 0, &rec))
			continue;
		if (!batch_add(b, &rec, key.offset))
			break;
	}
	return r < 0 && r != -ENOENT ? r : 0;
}

/* 0: all handed over, else what @cb said. *off moves on behind the last one. */
static int batch_emit(const struct batch *b, u64 *off, dir_read_fn cb, void *ctx)
{
	int r = 0;

	for (u32 at = 0; r == 0 && at < b->used;) {
		const struct batch_entry *e = (const void *)(b->bytes + at);
		struct dir_record rec = {
			.name = { e->name, e->name_len },
			.objectid = e->location.objectid,
			.key_type = e->location.type,
			.ftype = e->ftype,
			.next_off = e->index + 1,
		};

		r = cb(ctx, &rec);
		*off = e->index + 1;
		at += batch_entry_bytes(e->name_len);
	}
	return r;
}

int dir_read(struct inode *dir, u64 off, dir_read_fn cb, void *ctx)
{
	_cleanup_free_ struct batch *b = NULL;
	int r;

	if (!inode_is_dir(dir))
		return -ENOTDIR;
	b = malloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	RDLOCK_SCOPE(&dir->lock);
	do {
		r = batch_read(dir, off, b);
		if (r < 0 || !b->used)
			return r;
		r = batch_emit(b, &off, cb, ctx);
	} while (r == 0);
	return r < 0 ? r : 0;
}

int dir_index_end(struct inode *dir, u64 *ret)
{
	RDLOCK_SCOPE(&dir->lock);
	if (dir->dir_index_next) {
		*ret = dir->dir_index_next;
		return 0;
	}
	return dir_entry_next_index(dir->root, dir->ino, ret);
}

/* Does the root tree say that subvolume @id stands in @dir under @name? 0, -ENOENT. */
static int subvol_ref_check(struct inode *dir, u64 id, struct name name)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(dir->root->id, BTRFS_ROOT_REF_KEY, id);
	const struct btrfs_root_ref *ref;
	struct name found;
	int r = tree_search(dir->fs->tree_root, &key, &path);

	if (r)
		return r < 0 ? r : -ENOENT;
	ref = path_data(&path);
	found = (struct name){ (const char *)(ref + 1), get_le16(&ref->name_len) };
	if (path_size(&path) < sizeof(*ref) + found.len || get_le64(&ref->dirid) != dir->ino ||
	    !name_equal(found, name))
		return -ENOENT;
	return 0;
}

/* 0: *root_id is the subvolume; the first visit cleans up what unlinked files left in it. */
static int subvol_reachable(struct inode *dir, u64 id, struct name name)
{
	_cleanup_root_ struct root *root = NULL;
	int r = subvol_ref_check(dir, id, name);

	if (r == 0)
		r = root_get(dir->fs, id, &root);
	return r;
}

int dir_child_id(struct inode *dir, const struct dir_record *rec, u64 *root_id, u64 *ino)
{
	int r;

	*root_id = dir->root->id;
	*ino = rec->objectid;
	if (rec->key_type == BTRFS_INODE_ITEM_KEY)
		return 0;
	if (rec->key_type != BTRFS_ROOT_ITEM_KEY)
		return -EUCLEAN;
	r = subvol_reachable(dir, rec->objectid, rec->name);
	if (r == 0) {
		*root_id = rec->objectid;
		*ino = BTRFS_FIRST_FREE_OBJECTID;
	} else if (r == -ENOENT) {
		*ino = rec->objectid | INODE_STUB_BIT;
		r = 0;
	}
	return r;
}

/* A stub belongs to whoever owns the directory that it is in. */
static void stub_adopt(struct inode *dir, struct inode *stub)
{
	struct inode_attr a;

	inode_attr_copy(dir, &a);
	MUTEX_SCOPE(&stub->attr_lock);
	stub->a.uid = a.uid;
	stub->a.gid = a.gid;
}

static int refuse_type(struct inode *dir, const struct dir_record *rec, struct inode *child)
{
	if (rec->ftype == dir_ftype_of_mode(child->type))
		return 0;
	log_fault("tree %llu directory %llu: entry of type %u for inode %llu of mode 0%o",
		  (unsigned long long)dir->root->id, (unsigned long long)dir->ino, rec->ftype,
		  (unsigned long long)child->ino, child->type);
	return -EUCLEAN;
}

int dir_child(struct inode *dir, const struct dir_record *rec, struct inode **ret)
{
	_cleanup_inode_ struct inode *child = NULL;
	u64 root_id, ino;
	int r = dir_child_id(dir, rec, &root_id, &ino);

	if (r == 0 && root_id != dir->root->id) {
		/* leftovers do not keep anybody out: what is wrong was logged */
		int unclean = orphan_cleanup(dir->fs, root_id);

		(void)unclean;
	}
	if (r == 0)
		r = inode_get(dir->fs, root_id, ino, &child);
	if (r == 0)
		r = refuse_type(dir, rec, child);
	if (r < 0)
		return r;
	if (ino & INODE_STUB_BIT)
		stub_adopt(dir, child);
	*ret = TAKE(child);
	return 0;
}

/* Where subvolume @id stands: its parent root and the directory there. */
static int subvol_parent(struct fs *fs, u64 id, u64 *root_id, u64 *ino)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(id, BTRFS_ROOT_BACKREF_KEY, 0);
	const struct btrfs_root_ref *ref;
	int r = tree_search_next(fs->tree_root, &key, &path);

	if (r < 0)
		return r;
	key = path_key(&path);
	if (key.objectid != id || key.type != BTRFS_ROOT_BACKREF_KEY)
		return -ENOENT;
	ref = path_data(&path);
	*root_id = key.offset;
	*ino = get_le64(&ref->dirid);
	return 0;
}

int dir_parent(struct inode *dir, u64 *root_id, u64 *ino)
{
	if (dir->ino == BTRFS_FIRST_FREE_OBJECTID)
		return subvol_parent(dir->fs, dir->root->id, root_id, ino);
	*root_id = dir->root->id;
	if (dir->ino & INODE_STUB_BIT)
		return -ENOENT;
	return inode_ref_parent(dir->root, dir->ino, ino);
}

static const struct {
	u8 ftype;
	u8 dtype;
	u32 ifmt;
} types[] = {
	{ BTRFS_FT_REG_FILE, DT_REG, S_IFREG }, { BTRFS_FT_DIR, DT_DIR, S_IFDIR },
	{ BTRFS_FT_SYMLINK, DT_LNK, S_IFLNK },	{ BTRFS_FT_CHRDEV, DT_CHR, S_IFCHR },
	{ BTRFS_FT_BLKDEV, DT_BLK, S_IFBLK },	{ BTRFS_FT_FIFO, DT_FIFO, S_IFIFO },
	{ BTRFS_FT_SOCK, DT_SOCK, S_IFSOCK },
};

u8 dir_ftype_dtype(u8 ftype)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].ftype == ftype)
			return types[i].dtype;
	return DT_UNKNOWN;
}

u8 dir_ftype_of_mode(u32 mode)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].ifmt == (mode & S_IFMT))
			return types[i].ftype;
	return BTRFS_FT_UNKNOWN;
}
