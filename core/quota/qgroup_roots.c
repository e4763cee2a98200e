/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup_roots.c - see qgroup_roots.h. */
#include "core/quota/qgroup_roots.h"

#include "core/extent/extent_info.h"
#include "core/file/file_extent.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/subvol/root_table.h"
#include "core/trans/epoch.h"
#include "core/tree/node_cache.h"
#include "core/tree/search.h"
#include "disk/base/log.h"
#include "disk/codec/compress.h"
#include "disk/format/node.h"

#define HASH_MULTIPLIER 0x9E3779B97F4A7C15ULL
#define MEMO_FIRST 256u
#define DEPTH_MAX (NODE_LEVEL_MAX + 2)

static int open_top(struct fs *fs, u64 id, const struct tree_top *top, struct root **ret)
{
	return root_load_at(fs, id, top->logical, top->generation, top->level, ret);
}

int tree_state_open(struct tree_state *st, struct fs *fs, struct root_sets *sets,
		    const struct committed_trees *trees)
{
	int r;

	*st = (struct tree_state){.fs = fs, .sets = sets};
	if (!trees) {
		st->extent_root = fs->extent_root;
		atomic_fetch_add(&fs->extent_root->refs, 1);
		return 0;
	}
	r = open_top(fs, BTRFS_EXTENT_TREE_OBJECTID, &trees->extent_tree, &st->extent_root);
	if (r < 0)
		return r;
	return open_top(fs, BTRFS_ROOT_TREE_OBJECTID, &trees->root_tree, &st->root_tree);
}

void tree_state_close(struct tree_state *st)
{
	for (size_t i = 0; i < st->root_count; i++)
		root_put(st->roots[i].root);
	free(st->roots);
	free(st->memo);
	root_put(st->root_tree);
	root_put(st->extent_root);
	*st = (struct tree_state){};
}

/* ---- what is known of nodes ---- */

static size_t memo_slot(const struct tree_state *st, u64 logical)
{
	size_t i = (size_t)(((logical >> 12) * HASH_MULTIPLIER) >> 20) & (st->memo_room - 1);

	while (st->memo[i].logical && st->memo[i].logical != logical)
		i = (i + 1) & (st->memo_room - 1);
	return i;
}

static const struct root_set *memo_find(const struct tree_state *st, u64 logical)
{
	return st->memo_room ? st->memo[memo_slot(st, logical)].set : NULL;
}

static int memo_grow(struct tree_state *st)
{
	size_t old_room = st->memo_room;
	struct node_roots *old = st->memo, *more;

	if (st->memo_count * 2 < st->memo_room)
		return 0;
	more = calloc(old_room ? old_room * 2 : MEMO_FIRST, sizeof(*more));
	if (!more)
		return -ENOMEM;
	st->memo = more;
	st->memo_room = old_room ? old_room * 2 : MEMO_FIRST;
	for (size_t i = 0; i < old_room; i++)
		if (old[i].logical)
			more[memo_slot(st, old[i].logical)] = old[i];
	free(old);
	return 0;
}

static int memo_put(struct tree_state *st, u64 logical, const struct root_set *set)
{
	int r = memo_grow(st);

	if (r < 0)
		return r;
	st->memo[memo_slot(st, logical)] = (struct node_roots){logical, set};
	st->memo_count++;
	return 0;
}

/* ---- trees ---- */

static int load_root(struct tree_state *st, u64 id, struct root **ret)
{
	if (!st->root_tree)
		return root_get_any(st->fs, id, ret);
	return root_load_from(st->root_tree, id, ret);
}

/* Where the tree @id is, or belongs. */
static size_t root_position(const struct tree_state *st, u64 id)
{
	size_t low = 0, high = st->root_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (st->roots[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int roots_grow(struct tree_state *st)
{
	size_t room = st->root_room ? st->root_room * 2 : 8;
	struct held_root *roots;

	if (st->root_count < st->root_room)
		return 0;
	roots = reallocarray(st->roots, room, sizeof(*roots));
	if (!roots)
		return -ENOMEM;
	st->roots = roots;
	st->root_room = room;
	return 0;
}

/* The subvolume's tree in this state, borrowed; -ENOENT: there is none. */
static int state_root(struct tree_state *st, u64 id, struct root **ret)
{
	size_t at = root_position(st, id);
	struct root *root = NULL;
	int r;

	if (at < st->root_count && st->roots[at].id == id) {
		*ret = st->roots[at].root;
		return *ret ? 0 : -ENOENT;
	}
	r = roots_grow(st);
	r = r < 0 ? r : load_root(st, id, &root);
	if (r < 0 && r != -ENOENT)
		return r;
	memmove(&st->roots[at + 1], &st->roots[at], (st->root_count - at) * sizeof(*st->roots));
	st->roots[at] = (struct held_root){id, root};
	st->root_count++;
	*ret = root;
	return r;
}

/* ---- from an extent to those who hold it ---- */

struct way {
	struct tree_state *st;
	const struct extent_info *info; /* of the extent in hand */
	struct root_list *found;
	unsigned depth;
};

static int roots_at(struct tree_state *st, u64 logical, unsigned depth,
		    const struct root_set **ret);

static int lost(const struct way *way, const struct ref *ref)
{
	log_fault("extent %llu: tree %llu inode %llu holds a reference but does not point to it",
		  (unsigned long long)way->info->logical, (unsigned long long)ref->root,
		  (unsigned long long)ref->ino);
	return -EUCLEAN;
}

static int add_holders_of(struct way *way, u64 node)
{
	const struct root_set *set;
	int r = roots_at(way->st, node, way->depth + 1, &set);

	return r < 0 ? r : root_list_add_set(way->found, set);
}

/* Held by @root alone, if it is reached through it at all. */
static bool unshared(const struct root *root, const struct extent_buffer *eb)
{
	return node_generation(eb->data) > root->last_snapshot &&
	       !(node_flags(eb->data) & BTRFS_HEADER_FLAG_RELOC);
}

/* @leaves: those that may have further holders; looked at when the tree's lock is given back. */
static int leaf_found(struct way *way, struct root *root, const struct extent_buffer *leaf,
		      struct root_list *leaves)
{
	if (unshared(root, leaf))
		return root_list_add(way->found, root->id);
	if (leaves->nr && leaves->v[leaves->nr - 1] == leaf->logical)
		return 0;
	return root_list_add(leaves, leaf->logical);
}

static bool is_piece(const struct way *way, const struct path *path, const struct key *key,
		     const struct ref *ref)
{
	struct file_mapping m;

	file_mapping_decode(path_data(path), path_size(path), key->offset, &m);
	return m.disk_bytenr == way->info->logical && m.off - m.extent_off == ref->offset;
}

/* The leaves of @root with the items that @ref counts; those that cannot be shared are settled. */
static int leaves_of(struct way *way, struct root *root, const struct ref_count *held,
		     struct root_list *leaves, s64 *missing)
{
	const struct ref *ref = &held->ref;
	/* may wrap; a compressed extent covers more of a file than it has bytes, but never more than
	 * this */
	u64 end = ref->offset + MAX(way->info->length, (u64)COMPRESS_MAX);
	struct key key = file_extent_key(ref->ino, (s64)ref->offset < 0 ? 0 : ref->offset);
	struct key dropped = key_from_disk(&root->item.drop_progress);
	_cleanup_path_ struct path path = {};
	int r;

	/* of a tree that is being deleted what is before that key is gone */
	if (key_cmp(&key, &dropped) < 0)
		key = dropped;
	r = tree_search_next(root, &key, &path);

	for (; r >= 0 && *missing > 0; r = tree_next(&path)) {
		if (path_at_end(&path))
			return 0;
		key = path_key(&path);
		if (key.objectid != ref->ino || key.type != BTRFS_EXTENT_DATA_KEY ||
		    key.offset >= end)
			return 0;
		if (!is_piece(way, &path, &key, ref))
			continue;
		--*missing;
		r = leaf_found(way, root, path.nodes[0], leaves);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : MIN(r, 0);
}

/* 1: the subvolume that the reference names, borrowed; 0: it names none that is there. */
static int named_root(struct way *way, const struct ref *ref, struct root **ret)
{
	int r = qgroup_counts_tree(ref->root) ? state_root(way->st, ref->root, ret) : -ENOENT;

	return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

static int data_holders(struct way *way, const struct ref_count *held)
{
	_cleanup_root_list_ struct root_list leaves = {};
	s64 missing = held->count;
	struct root *root;
	int r = named_root(way, &held->ref, &root);

	if (r <= 0)
		return r;
	if (!root->last_snapshot) /* it has never shared anything */
		return root_list_add(way->found, root->id);
	r = leaves_of(way, root, held, &leaves, &missing);
	if (r == 0 && missing)
		r = lost(way, &held->ref);
	for (u32 i = 0; r == 0 && i < leaves.nr; i++)
		r = add_holders_of(way, leaves.v[i]);
	return r;
}

static int first_key(struct way *way, struct key *ret)
{
	struct node_expect want = {.logical = way->info->logical, .level = way->info->level};
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	EPOCH_SCOPE(way->st->fs);
	int r = node_cache_read(way->st->fs, &want, &eb);

	if (r == 0)
		*ret = node_nritems(eb->data) ? node_key(eb->data, 0) : KEY_MIN;
	return r;
}

/* 1: @root's top node is the one in hand, or above it everything is @root's alone; 0: *parent. */
static int parent_of(struct way *way, struct root *root, const struct key *first, u64 *parent)
{
	u8 level = way->info->level;
	_cleanup_path_ struct path path = {};
	const struct extent_buffer *eb;
	int r = tree_find_level(root, first, level + 1, &path);

	if (r < 0)
		return r;
	eb = path.nodes[path.lowest_level];
	if (eb->logical == way->info->logical)
		return 1;
	if (path.lowest_level != level + 1 ||
	    node_blockptr(eb->data, (u32)path.slots[path.lowest_level]) != way->info->logical)
		return lost(way, &(struct ref){.root = root->id});
	*parent = eb->logical;
	return eb == root->node || unshared(root, eb); /* a top node is never shared */
}

static int node_holders(struct way *way, const struct ref_count *held)
{
	bool full = way->info->flags & BTRFS_BLOCK_FLAG_FULL_BACKREF;
	struct key first = KEY_MIN;
	struct root *root;
	u64 parent = 0;
	int r = named_root(way, &held->ref, &root);

	if (r <= 0)
		return r;
	/* what is above a node is no older than the node */
	if (!full && way->info->generation > root->last_snapshot)
		return root_list_add(way->found, root->id);
	r = first_key(way, &first);
	r = r < 0 ? r : parent_of(way, root, &first, &parent);
	if (r == 1)
		return root_list_add(way->found, root->id);
	return r < 0 ? r : add_holders_of(way, parent);
}

static int holders(struct way *way, const struct ref_count *held)
{
	switch (held->ref.kind) {
	case REF_DATA:
		return data_holders(way, held);
	case REF_TREE_BLOCK:
		return node_holders(way, held);
	default:
		if (held->ref.parent == way->info->logical)
			return 0; /* the top of a relocation tree */
		return add_holders_of(way, held->ref.parent);
	}
}

static int find_roots(struct tree_state *st, u64 logical, unsigned depth,
		      const struct root_set **ret)
{
	_cleanup_ref_list_ struct ref_list refs = {};
	_cleanup_root_list_ struct root_list found = {};
	struct way way = {.st = st, .info = &refs.info, .found = &found, .depth = depth};
	int r = extent_refs_list_in(st->extent_root, logical, &refs);

	if (r < 0 && r != -ENOENT)
		return r;
	r = 0;
	for (u32 i = 0; r == 0 && i < refs.count; i++)
		r = holders(&way, &refs.v[i]);
	return r < 0 ? r : root_sets_get(st->sets, &found, ret);
}

static int roots_at(struct tree_state *st, u64 logical, unsigned depth, const struct root_set **ret)
{
	const struct root_set *known = memo_find(st, logical);
	int r;

	if (known) {
		*ret = known;
		return 0;
	}
	if (depth > DEPTH_MAX) {
		log_fault("extent %llu: its references go in circles", (unsigned long long)logical);
		return -EUCLEAN;
	}
	r = find_roots(st, logical, depth, ret);
	return r < 0 ? r : memo_put(st, logical, *ret);
}

int extent_roots(struct tree_state *st, u64 logical, const struct root_set **ret)
{
	return roots_at(st, logical, 0, ret);
}
