/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree_block.c - new nodes, copies of nodes, and the references that move with them.
 *
 * Invariant: for every pointer reachable from a root there is a reference: explicit for each
 * pointer in a full-backref node (parent = that node), implicit for a node that is not (owner in
 * the header, taken over by its latest copy). Deciding that a node is shared and queueing what
 * follows from it is one step under the node's reference mutex, because another tree may copy the
 * same node at this moment.
 *
 * Locks: the caller holds the root's tree lock; inside it the reference mutex of one node, inside
 * that the extent tree for reading (cached nodes only).
 */
#include "core/extent/tree_block.h"

#include "core/extent/extent_find.h"
#include "core/fs.h"
#include "core/log/log_nodes.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "core/tree/node_cache.h"
#include "disk/base/log.h"
#include "disk/format/node.h"

static int leaf_ref(struct trans *trans, const struct extent_buffer *eb, u32 slot, u64 parent,
		    int sign)
{
	const struct btrfs_file_extent_item *fi = (const void *)leaf_data(eb->data, slot);
	struct key key = node_key(eb->data, slot);
	u64 bytenr;
	struct ref ref;

	if (key.type != BTRFS_EXTENT_DATA_KEY || fi->type == BTRFS_FILE_EXTENT_INLINE)
		return 0;
	bytenr = get_le64(&fi->disk_bytenr);
	if (!bytenr)
		return 0;
	ref = ref_data(node_owner(eb->data), parent, key.objectid,
		       key.offset - get_le64(&fi->offset));
	return dref_add(trans, bytenr, get_le64(&fi->disk_num_bytes), 0, true, &ref, sign);
}

static int child_ref(struct trans *trans, const struct extent_buffer *eb, u32 slot, u64 parent,
		     int sign)
{
	struct ref ref = ref_tree_block(node_owner(eb->data), parent);

	return dref_add(trans, node_blockptr(eb->data, slot), trans->fs->nodesize,
			(u8)(eb->level - 1), false, &ref, sign);
}

int tree_block_ref_children(struct trans *trans, const struct extent_buffer *eb, bool full,
			    int sign)
{
	u64 parent = full ? eb->logical : 0;
	u32 count = node_nritems(eb->data);
	int r = 0;

	for (u32 i = 0; !r && i < count; i++)
		r = eb->level ? child_ref(trans, eb, i, parent, sign)
			      : leaf_ref(trans, eb, i, parent, sign);
	return r;
}

static void header_init(struct trans *trans, struct extent_buffer *eb)
{
	struct fs *fs = trans->fs;

	node_set_bytenr(eb->data, eb->logical);
	node_set_generation(eb->data, eb->generation);
	node_set_owner(eb->data, eb->owner);
	node_set_level(eb->data, eb->level);
	node_set_flags(eb->data, BTRFS_HEADER_FLAG_WRITTEN);
	node_set_backref_rev(eb->data, NODE_BACKREF_MIXED);
	memcpy(node_fsid(eb->data), fs->fsid, sizeof(fs->fsid));
	memcpy(node_chunk_tree_uuid(eb->data), fs->chunk_tree_uuid, sizeof(fs->chunk_tree_uuid));
}

/* The first reference, and a place among what the commit writes. */
static int block_register(struct trans *trans, struct root *root, struct extent_buffer *eb,
			  const struct key *first_key)
{
	struct ref ref = ref_tree_block(root->id, 0);
	int r = dref_add_new(trans, eb->logical, trans->fs->nodesize, eb->level,
			     BTRFS_EXTENT_FLAG_TREE_BLOCK, &ref, first_key);

	if (!r)
		trans_add_dirty(trans, eb);
	return r;
}

/* An address, memory and the first reference; @from: whose contents it gets. */
static int block_new(struct trans *trans, struct root *root, u8 level, const struct key *first_key,
		     const struct extent_buffer *from, struct extent_buffer **ret)
{
	struct fs *fs = trans->fs;
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	u64 logical;
	int r = space_alloc_tree_block(fs, root->id == BTRFS_CHUNK_TREE_OBJECTID, &logical);

	if (r)
		return r;
	eb = eb_new(fs, logical, trans->transid, root->id, level);
	if (!eb)
		return -ENOMEM;
	if (from)
		eb_copy_content(eb, from);
	header_init(trans, eb);
	r = root->log ? log_nodes_add(root->log, eb) : block_register(trans, root, eb, first_key);
	if (r)
		return r;
	node_cache_insert_new(eb);
	*ret = TAKE(eb);
	return 0;
}

/* bytes_used of the root item: what the kernel sizes its global reserve by. A copy changes nothing. */
static void count_node(struct root *root, int sign)
{
	u64 nodesize = root->fs->nodesize, used = get_le64(&root->item.bytes_used);

	put_le64(&root->item.bytes_used,
		 sign > 0 ? used + nodesize : used - MIN(used, nodesize));
}

int tree_block_alloc(struct trans *trans, struct root *root, u8 level, const struct key *first_key,
		     struct extent_buffer **ret)
{
	int r = block_new(trans, root, level, first_key, NULL, ret);

	if (r == 0)
		count_node(root, 1);
	return r;
}

static int block_copy(struct trans *trans, struct root *root, struct extent_buffer *old,
		      struct extent_buffer **ret)
{
	struct key first = node_nritems(old->data) ? node_key(old->data, 0) : KEY_MIN;

	return block_new(trans, root, old->level, &first, old, ret);
}

static int drop_own_ref(struct trans *trans, struct root *root, struct extent_buffer *eb)
{
	struct ref ref = ref_tree_block(root->id, 0);

	return dref_drop_node(trans, eb->logical, eb->level, node_owner(eb->data), &ref, 1);
}

/* Nobody follows a pointer to it any more. It need not be written, unless it is frozen: then the transaction
 * before, which is not durable yet, has a pointer to it. */
static void forget(struct trans *trans, struct extent_buffer *eb)
{
	if (!eb_test(eb, EB_WRITTEN))
		eb_clear(eb, EB_DIRTY);
	node_cache_drop(trans->fs, eb->logical);
}

static int drop_unshared(struct trans *trans, struct root *root, struct extent_buffer *eb)
{
	int r = root->log ? 0 : drop_own_ref(trans, root, eb);

	if (!r)
		forget(trans, eb);
	return r;
}

int tree_block_free(struct trans *trans, struct root *root, struct extent_buffer *eb)
{
	int r = drop_unshared(trans, root, eb);

	if (!r)
		count_node(root, -1);
	return r;
}

static bool may_be_shared(const struct root *root, const struct extent_buffer *eb)
{
	return root->shareable && (node_generation(eb->data) <= root->last_snapshot ||
				   (node_flags(eb->data) & BTRFS_HEADER_FLAG_RELOC));
}

/* Others keep @old. Its owner leaves explicit references behind; anybody else brings his own. */
static int leave_shared(struct trans *trans, struct root *root, struct extent_buffer *old,
			const struct extent_buffer *copy, u64 flags)
{
	int r;

	if (node_owner(old->data) != root->id || (flags & BTRFS_BLOCK_FLAG_FULL_BACKREF))
		return tree_block_ref_children(trans, copy, false, 1);
	r = tree_block_ref_children(trans, old, true, 1);
	return r ? r
		 : dref_set_flags(trans, old->logical, old->level, BTRFS_BLOCK_FLAG_FULL_BACKREF);
}

/* Nobody keeps @old: explicit references of its children become the copy's. */
static int leave_last(struct trans *trans, struct extent_buffer *old,
		      const struct extent_buffer *copy, u64 flags)
{
	int r;

	if (!(flags & BTRFS_BLOCK_FLAG_FULL_BACKREF))
		return 0;
	r = tree_block_ref_children(trans, copy, false, 1);
	return r ? r : tree_block_ref_children(trans, old, true, -1);
}

static int cow_shareable(struct trans *trans, struct root *root, struct extent_buffer *old,
			 struct extent_buffer **ret, struct tree_miss *miss)
{
	_cleanup_eb_ struct extent_buffer *copy = NULL;
	struct extent_info info;
	MUTEX_SCOPE(ref_mutex(trans->fs, old->logical));
	int r = extent_info_cached(trans->fs, old->logical, &info, miss);

	if (r == -ENOENT) {
		log_fault("node %llu of tree %llu has no extent item",
			  (unsigned long long)old->logical, (unsigned long long)root->id);
		return -EUCLEAN;
	}
	r = r ? r : block_copy(trans, root, old, &copy);
	if (r)
		return r;
	if (info.refs > 1)
		r = leave_shared(trans, root, old, copy, info.flags);
	else
		r = leave_last(trans, old, copy, info.flags);
	r = r ? r : drop_own_ref(trans, root, old);
	if (r)
		return r;
	if (info.refs == 1)
		forget(trans, old);
	*ret = TAKE(copy);
	return 0;
}

int tree_block_cow(struct trans *trans, struct root *root, struct extent_buffer *old,
		   struct extent_buffer **ret, struct tree_miss *miss)
{
	_cleanup_eb_ struct extent_buffer *copy = NULL;
	int r;

	if (may_be_shared(root, old))
		return cow_shareable(trans, root, old, ret, miss);
	r = block_copy(trans, root, old, &copy);
	r = r ? r : drop_unshared(trans, root, old);
	if (r)
		return r;
	*ret = TAKE(copy);
	return 0;
}

/* What a tree that is being deleted wants of one of its nodes. */
struct leaving {
	struct trans *trans;
	u8 level;
	const struct ref *ref;		/* leave */
	const struct extent_buffer *eb; /* disown */
};

static int info_of_held(struct fs *fs, u64 logical, struct extent_info *info,
			struct tree_miss *miss)
{
	int r = extent_info_cached(fs, logical, info, miss);

	if (r != -ENOENT)
		return r;
	log_fault("node %llu of a deleted tree has no extent item", (unsigned long long)logical);
	return -EUCLEAN;
}

/* Who counts and who drops may be two: both look under the reference mutex. */
static int look_leave(struct fs *fs, u64 logical, void *arg, struct tree_miss *miss)
{
	struct leaving *l = arg;
	struct extent_info info;
	int r = info_of_held(fs, logical, &info, miss);

	if (r)
		return r;
	if (info.refs == 1)
		return 1;
	return dref_add(l->trans, logical, fs->nodesize, l->level, false, l->ref, -1);
}

int tree_block_leave(struct trans *trans, u64 logical, u8 level, const struct ref *ref)
{
	struct leaving l = {.trans = trans, .level = level, .ref = ref};

	return extent_look(trans->fs, logical, look_leave, &l);
}

static int look_disown(struct fs *fs, u64 logical, void *arg, struct tree_miss *miss)
{
	struct leaving *l = arg;
	struct extent_info info;
	int r = info_of_held(fs, logical, &info, miss);

	if (r || info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF)
		return r;
	r = tree_block_ref_children(l->trans, l->eb, true, 1);
	r = r ? r : tree_block_ref_children(l->trans, l->eb, false, -1);
	return r ? r
		 : dref_set_flags(l->trans, logical, l->eb->level, BTRFS_BLOCK_FLAG_FULL_BACKREF);
}

int tree_block_disown(struct trans *trans, const struct extent_buffer *eb)
{
	struct leaving l = {.trans = trans, .eb = eb};

	return extent_look(trans->fs, eb->logical, look_disown, &l);
}

int tree_block_touch_children(struct trans *trans, const struct extent_buffer *eb)
{
	int r = tree_block_ref_children(trans, eb, true, 1);

	return r ? r : tree_block_ref_children(trans, eb, true, -1);
}

int tree_block_drop(struct trans *trans, struct extent_buffer *eb, const struct ref *ref, bool full)
{
	int r = eb->level ? 0 : tree_block_ref_children(trans, eb, full, -1);

	r = r ? r : dref_drop_node(trans, eb->logical, eb->level, eb->owner, ref, 1);
	if (!r)
		forget(trans, eb);
	return r;
}
