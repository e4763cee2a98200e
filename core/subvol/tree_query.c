/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tree_query.c - see tree_query.h. */
#include "core/subvol/tree_query.h"

#include <errno.h>

#include "core/fs.h"
#include "core/inode/inode.h"
#include "core/inode/inode_ref.h"
#include "core/quota/qgroup.h"
#include "core/subvol/root_table.h"
#include "core/tree/root.h"
#include "core/tree/search.h"

struct query {
	struct btrfs_ioctl_search_key *q;
	struct key last;
	u8 *buf;
	size_t size, len;
	u32 wanted, count;
};

static int query_root(struct inode *inode, u64 tree_id, struct root **ret)
{
	struct root *root;

	if (tree_id == BTRFS_QUOTA_TREE_OBJECTID && inode->fs->quota)
		return quota_tree_get(inode->fs, ret);
	root = fs_global_root(inode->fs, tree_id);
	if (!root && tree_id)
		return root_get(inode->fs, tree_id, ret);
	root = root ? root : inode->root;
	atomic_fetch_add(&root->refs, 1);
	*ret = root;
	return 0;
}

static void go_on_at(struct btrfs_ioctl_search_key *q, struct key key)
{
	q->min_objectid = key.objectid;
	q->min_type = key.type;
	q->min_offset = key.offset;
}

/* 1: full. */
static int copy_item(struct query *s, const struct path *path, struct key key, u64 generation)
{
	u32 bytes = path_size(path);
	struct btrfs_ioctl_search_header head = {
		.transid = generation, .objectid = key.objectid, .offset = key.offset,
		.type = key.type, .len = bytes,
	};

	if (s->size - s->len < sizeof(head) + bytes) {
		if (s->count)
			return 1;
		s->len = sizeof(head) + bytes;
		return -EOVERFLOW;
	}
	memcpy(s->buf + s->len, &head, sizeof(head));
	memcpy(s->buf + s->len + sizeof(head), path_data(path), bytes);
	s->len += sizeof(head) + bytes;
	s->count++;
	return s->count == s->wanted;
}

/* 1: beyond the last key, or full. */
static int take_item(struct query *s, const struct path *path)
{
	struct key key = path_key(path);
	u64 generation = node_generation(path_node_data(path));
	int r = 0;

	if (key_cmp(&key, &s->last) > 0)
		return 1;
	if (generation >= s->q->min_transid && generation <= s->q->max_transid) {
		u32 before = s->count;

		r = copy_item(s, path, key, generation);
		if (r < 0 || s->count == before)
			return r;
	}
	go_on_at(s->q, key_next(key));
	return r;
}

static int run_query(struct query *s, struct root *root)
{
	struct key key = KEY(s->q->min_objectid, (u8)s->q->min_type, s->q->min_offset);
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(root, &key, &path);

	for (; r >= 0; r = tree_next(&path)) {
		if (path_at_end(&path))
			return 0;
		r = take_item(s, &path);
		if (r)
			return r < 0 ? r : 0;
	}
	return r == -ENOENT ? 0 : r;
}

int tree_query(struct inode *inode, struct btrfs_ioctl_search_key *q, u8 *buf, size_t size,
	       size_t *ret_len)
{
	struct query s = {
		.q = q, .buf = buf, .size = size, .wanted = q->nr_items,
		.last = KEY(q->max_objectid, (u8)q->max_type, q->max_offset),
	};
	_cleanup_root_ struct root *root = NULL;
	int r;

	if (q->min_type > UINT8_MAX || q->max_type > UINT8_MAX)
		return -EINVAL;
	r = query_root(inode, q->tree_id, &root);
	if (r == 0 && s.wanted)
		r = run_query(&s, root);
	q->nr_items = s.count;
	*ret_len = s.len;
	return r;
}

/* Puts "name/" before what is there already, at the buffer's end. */
static int prepend(char *buf, size_t *at, const char *name, u16 len)
{
	if (*at < (size_t)len + 1)
		return -ENAMETOOLONG;
	*at -= (size_t)len + 1;
	memcpy(buf + *at, name, len);
	buf[*at + len] = '/';
	return 0;
}

int tree_path_of(struct fs *fs, u64 root_id, u64 ino, char *buf, size_t size)
{
	_cleanup_root_ struct root *root = NULL;
	char name[NAME_LEN_MAX];
	size_t at = size - 1;
	int r = root_get(fs, root_id, &root);

	buf[at] = 0;
	while (r == 0 && ino != BTRFS_FIRST_FREE_OBJECTID) {
		u16 len;

		r = inode_ref_first(root, ino, &ino, name, &len);
		if (r == 0)
			r = prepend(buf, &at, name, len);
	}
	if (r == 0)
		memmove(buf, buf + at, size - at);
	return r;
}
