/* SPDX-License-Identifier: GPL-2.0-or-later */
/* subvol_drop.c - see subvol_drop.h.
 *
 * `at` holds the nodes from the top down to where the walk is; none of them is held by anybody else. A
 * child that others hold, too, is left to them; but if it names this tree as owner of what is below it,
 * that must be renamed first (full backrefs), in its whole subtree: `sub` walks there. Nobody can come
 * to hold a node of this tree who does not hold it yet, so "the last" stays true once it is.
 *
 * Source: the rules of back references in the btrfs documentation; the meaning of drop_progress is
 * that of a kernel that goes on with it.
 */
#include "core/subvol/subvol_drop.h"

#include "core/extent/extent_info.h"
#include "core/extent/tree_block.h"
#include "core/fs.h"
#include "core/subvol/root_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "core/tree/node_cache.h"
#include "core/tree/root.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define STEP_ITEMS 32u  /* promised; the rest lives on the global reserve, as the commit does */
#define STEP_REFS 2048 /* references changed in one transaction, one node's more at most */

struct place {
	struct extent_buffer *eb;
	u32 slot;     /* the child that is next */
	bool full;    /* its children's references name it, not the tree */
	bool visited; /* sub: renamed already */
};

struct dead_tree {
	struct fs *fs;
	struct key key; /* of the ROOT_ITEM */
	struct root *root; /* where others may look it up; NULL: a relocation tree */
	bool is_reloc;
	/* until a child is found whose reference is there: before they recorded it well, kernels
	 * may have come further than they said */
	bool resumed;
	bool disowned; /* the child that is next has been renamed */
	bool acting;   /* the running transaction has half a change */
	struct place at[NODE_LEVEL_MAX];
	int level, top; /* of `at` */
	struct place sub[NODE_LEVEL_MAX];
	int sub_level, sub_top; /* of `sub`; level above top: not in use */
	s64 left;		/* of STEP_REFS */
};

static int fault(const struct dead_tree *t, const char *what)
{
	log_fault("deleting tree " KEY_FMT ": %s", KEY_ARG(t->key), what);
	return -EUCLEAN;
}

static u32 place_count(const struct place *p)
{
	return node_nritems(p->eb->data);
}

static struct ref child_ref(const struct place *p)
{
	return ref_tree_block(node_owner(p->eb->data), p->full ? p->eb->logical : 0);
}

static struct node_expect child_of(const struct place *p)
{
	return (struct node_expect){.logical = node_blockptr(p->eb->data, p->slot),
				    .generation = node_ptr_generation(p->eb->data, p->slot),
				    .level = (u8)(p->eb->level - 1)};
}

static int read_node(struct fs *fs, const struct node_expect *want, struct extent_buffer **ret)
{
	EPOCH_SCOPE(fs);

	return node_cache_read(fs, want, ret);
}

/* ---- a shared subtree ---- */

/* Nodes that were there before the tree was are not its own. */
static bool may_own(const struct dead_tree *t, const struct node_expect *child)
{
	return !t->is_reloc && child->generation > t->key.offset;
}

/* Reads a child and begins with it, if it names this tree as owner. 1: it does. */
static int sub_enter(struct dead_tree *t, const struct node_expect *child)
{
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	int r = read_node(t->fs, child, &eb);

	if (r < 0 || eb->owner != t->key.objectid)
		return r;
	if (t->sub_level > t->sub_top)
		t->sub_top = eb->level;
	t->sub_level = eb->level;
	t->sub[eb->level] = (struct place){.eb = TAKE(eb)};
	return 1;
}

static void sub_leave(struct dead_tree *t)
{
	eb_put(TAKE(t->sub[t->sub_level].eb));
	t->sub_level++;
	if (t->sub_level > t->sub_top)
		t->disowned = true;
	else
		t->sub[t->sub_level].slot++;
}

static int sub_next_child(struct dead_tree *t)
{
	struct place *p = &t->sub[t->sub_level];
	struct node_expect child = child_of(p);
	int r = may_own(t, &child) ? sub_enter(t, &child) : 0;

	if (r == 0)
		p->slot++;
	return r < 0 ? r : 1;
}

static int sub_advance(struct dead_tree *t, struct trans *trans)
{
	struct place *p = &t->sub[t->sub_level];
	int r;

	if (!p->visited) {
		p->visited = true;
		t->left -= 2 * (s64)place_count(p);
		t->acting = true;
		r = tree_block_disown(trans, p->eb);
		return r < 0 ? r : 1;
	}
	if (t->sub_level && p->slot < place_count(p))
		return sub_next_child(t);
	sub_leave(t);
	return 1;
}

/* ---- the walk ---- */

static int enter(struct dead_tree *t, const struct node_expect *child, bool full)
{
	struct place *p = &t->at[child->level];
	int r = read_node(t->fs, child, &p->eb);

	if (r < 0)
		return r;
	if (!full && p->eb->owner != t->key.objectid) {
		eb_put(TAKE(p->eb));
		return fault(t, "a node that nobody else holds belongs to another tree");
	}
	p->slot = 0;
	p->full = full;
	t->level = child->level;
	return 1;
}

/* Whoever shares a subtree with this tree will soon have it to himself: for full quotas all of it has
 * lost a holder, in one transaction. Accounting goes down by itself only where the top is still there when
 * it settles: the heir may have copied it by then, as a node of his own. The depth is that of the levels. */
static int touch_subtree(struct dead_tree *t, struct trans *trans, const struct node_expect *want)
{
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	struct place p = {};
	int r = read_node(t->fs, want, &eb);

	if (r < 0)
		return r;
	p.eb = eb;
	t->left -= (s64)place_count(&p);
	t->acting = true;
	r = tree_block_touch_children(trans, eb);
	t->acting = r < 0;
	for (; r == 0 && eb->level && p.slot < place_count(&p); p.slot++) {
		struct node_expect child = child_of(&p);

		r = touch_subtree(t, trans, &child);
	}
	return r;
}

static int leave(struct dead_tree *t, struct trans *trans, const struct node_expect *child)
{
	struct place *p = &t->at[t->level];
	struct ref ref = child_ref(p);
	int r = delayed_refs_traced(t->fs) && !t->is_reloc ? touch_subtree(t, trans, child) : 0;

	if (r < 0)
		return r;
	t->acting = true;
	r = tree_block_leave(trans, child->logical, child->level, &ref);
	if (r < 0)
		return r;
	t->disowned = false;
	p->slot += r == 0; /* 1: the others went just now, so it is entered */
	t->left--;
	return 1;
}

/* 1: the child's reference by this tree is there, 0: not. */
static int is_held(struct fs *fs, u64 logical, const struct ref *ref)
{
	_cleanup_ref_list_ struct ref_list refs = {};
	int r = extent_refs_list(fs, logical, &refs);

	for (u32 i = 0; r == 0 && i < refs.count; i++)
		if (ref_cmp(&refs.v[i].ref, ref) == 0)
			return 1;
	return r == -ENOENT ? 0 : r;
}

static int next_child(struct dead_tree *t, struct trans *trans)
{
	struct place *p = &t->at[t->level];
	struct node_expect child = child_of(p);
	struct ref ref = child_ref(p);
	struct extent_info info;
	int r = t->resumed ? is_held(t->fs, child.logical, &ref) : 1;

	if (r < 0)
		return r;
	if (r == 0) {
		p->slot++;
		return 1;
	}
	t->resumed = false;
	r = extent_info(t->fs, child.logical, &info);
	if (r < 0)
		return r == -ENOENT ? fault(t, "a node has no extent item") : r;
	if (info.refs == 1)
		return enter(t, &child, info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF);
	if (!t->disowned && may_own(t, &child)) {
		r = sub_enter(t, &child);
		if (r)
			return r;
	}
	return leave(t, trans, &child);
}

/* 0: it was the top. */
static int finish_node(struct dead_tree *t, struct trans *trans)
{
	struct place *p = &t->at[t->level];
	struct ref ref = child_ref(t->level < t->top ? &t->at[t->level + 1] : p);
	int r;

	t->left -= t->level ? 1 : 1 + (s64)place_count(p);
	t->acting = true;
	r = tree_block_drop(trans, p->eb, &ref, p->full);
	if (r < 0)
		return r;
	eb_put(TAKE(p->eb));
	if (t->level == t->top)
		return 0;
	t->level++;
	t->at[t->level].slot++;
	return 1;
}

static int advance(struct dead_tree *t, struct trans *trans)
{
	struct place *p = &t->at[t->level];
	int r;

	t->acting = false;
	if (t->sub_level <= t->sub_top)
		r = sub_advance(t, trans);
	else if (t->level && p->slot < place_count(p))
		r = next_child(t, trans);
	else
		r = finish_node(t, trans);
	if (r >= 0)
		t->acting = false;
	return r;
}

/* ---- what the ROOT_ITEM says ---- */

/* A leaf is dropped as a whole, so progress is the child of a node. NULL: nothing to be said yet. */
static const struct place *progress(const struct dead_tree *t)
{
	int level = MAX(t->level, 1);

	if (level > t->top)
		return NULL;
	return &t->at[level];
}

static bool can_stop(const struct dead_tree *t)
{
	const struct place *p = progress(t);

	return !p || p->slot < place_count(p);
}

static int save_progress(struct dead_tree *t, struct trans *trans)
{
	_cleanup_path_ struct path path = {};
	const struct place *p = progress(t);
	struct btrfs_root_item *item;
	struct key key;
	int r = tree_search_cow(trans, t->fs->tree_root, &t->key, 0, &path);

	if (r)
		return r < 0 ? r : fault(t, "its item vanished");
	item = path_data(&path);
	put_le32(&item->refs, 0); /* a relocation tree that was to be merged is so no more */
	if (!p)
		return 0;
	key = node_key(p->eb->data, p->slot);
	key_to_disk(&item->drop_progress, &key);
	item->drop_level = p->eb->level;
	if (t->root) {
		t->root->item.drop_progress = item->drop_progress;
		t->root->item.drop_level = item->drop_level;
	}
	return 0;
}

static int delete_items(struct dead_tree *t, struct trans *trans)
{
	struct key orphan = KEY(BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, t->key.objectid);
	int r = tree_delete_key(trans, t->fs->tree_root, &t->key);

	if (r < 0 || t->is_reloc)
		return r;
	r = tree_delete_key(trans, t->fs->tree_root, &orphan);
	return r == -ENOENT ? 0 : r;
}

int dead_tree_step(struct dead_tree *t)
{
	_cleanup_trans_ struct trans trans = {};
	int r = trans_join_release(t->fs, STEP_ITEMS, &trans), end;

	if (r < 0)
		return r;
	SP("pu.drop", .root = t->key.objectid, .transid = trans.transid);
	t->left = STEP_REFS;
	do
		r = advance(t, &trans);
	while (r == 1 && (t->left > 0 || !can_stop(t)));
	end = r < 0 && (t->acting || !can_stop(t)) ? r :
	      r == 0 ? delete_items(t, &trans) : save_progress(t, &trans);
	if (end < 0)
		trans_abort(&trans, end, "deleting a tree");
	return end < 0 ? end : r;
}

/* ---- taking it up ---- */

static int open_top(struct dead_tree *t, const struct btrfs_root_item *item)
{
	struct node_expect want = {.logical = get_le64(&item->bytenr),
				   .generation = get_le64(&item->generation),
				   .level = item->level};
	struct extent_info info;
	int r = extent_info(t->fs, want.logical, &info);

	if (r < 0)
		return r == -ENOENT ? fault(t, "its top node has no extent item") : r;
	if (info.refs != 1)
		return fault(t, "its top node is shared");
	t->top = item->level;
	r = enter(t, &want, info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF);
	return MIN(r, 0);
}

static void choose_slot(struct place *p, const struct key *key)
{
	bool exact;
	u32 slot = node_bsearch(p->eb->data, key, &exact);

	p->slot = exact || slot == 0 ? slot : slot - 1;
}

/* Down to where the last one was. */
static int resume(struct dead_tree *t, const struct key *key, u8 level)
{
	choose_slot(&t->at[t->level], key);
	while (t->level > level) {
		struct node_expect child = child_of(&t->at[t->level]);
		struct extent_info info;
		int r = extent_info(t->fs, child.logical, &info);

		if (r < 0 || info.refs != 1)
			return r < 0 && r != -ENOENT ? r : fault(t, "its progress is unbelievable");
		r = enter(t, &child, info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF);
		if (r < 0)
			return r;
		choose_slot(&t->at[t->level], key);
	}
	t->resumed = true;
	return 0;
}

static int take_up(struct dead_tree *t)
{
	struct btrfs_root_item item = {};
	struct key key;
	int r = tree_lookup(t->fs->tree_root, &t->key, &item, sizeof(item));

	if (r < 0)
		return r;
	r = open_top(t, &item);
	key = key_from_disk(&item.drop_progress);
	/* progress of a relocation tree with a reference is that of its merging */
	if (r < 0 || key.objectid == 0 || (t->is_reloc && get_le32(&item.refs)))
		return r;
	if (item.drop_level == 0 || item.drop_level > t->top)
		return fault(t, "its progress is of a level that it does not have");
	return resume(t, &key, item.drop_level);
}

int dead_tree_open(struct fs *fs, const struct key *key, struct dead_tree **ret)
{
	_cleanup_dead_tree_ struct dead_tree *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->fs = fs;
	t->key = *key;
	t->is_reloc = key->objectid == (u64)BTRFS_TREE_RELOC_OBJECTID;
	t->sub_level = 1;
	r = t->is_reloc ? 0 : root_get_any(fs, key->objectid, &t->root);
	if (r == 0)
		r = take_up(t);
	if (r == 0)
		*ret = TAKE(t);
	return r;
}

void dead_tree_close(struct dead_tree *t)
{
	if (!t)
		return;
	for (int i = 0; i < NODE_LEVEL_MAX; i++) {
		eb_put(t->at[i].eb);
		eb_put(t->sub[i].eb);
	}
	root_put(t->root);
	free(t);
}

static bool is_dead(const struct path *path, const struct key *key)
{
	const struct btrfs_root_item *item = path_data(path);

	if (key->type != BTRFS_ROOT_ITEM_KEY)
		return false;
	if (key->objectid == (u64)BTRFS_TREE_RELOC_OBJECTID)
		return true;
	return key->objectid >= BTRFS_FIRST_FREE_OBJECTID &&
	       key->objectid <= BTRFS_LAST_FREE_OBJECTID && get_le32(&item->refs) == 0;
}

int dead_tree_next(struct fs *fs, struct key *key)
{
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(fs->tree_root, key, &path);

	for (; r >= 0; r = tree_next(&path)) {
		if (path_at_end(&path))
			return -ENOENT;
		*key = path_key(&path);
		if (is_dead(&path, key))
			return 0;
	}
	return r;
}
