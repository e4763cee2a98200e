/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group_items.c - block groups from and to disk: the mount reads their items, each commit writes what
 * changed.
 *
 * Invariants: every chunk has exactly one BLOCK_GROUP_ITEM (address, 192, length) with its type; a
 * commit ends only when no group is on the dirty list, so items, free-space tree and extent tree of
 * one superblock agree.
 * Writing a group changes trees, which hands out and frees nodes, which makes groups dirty: the
 * settle loop comes back until a round changes nothing.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/log/log_write.h"
#include "core/space/free_space_tree.h"
#include "core/space/space_impl.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/volume/volume.h"

static struct key group_key(const struct block_group *bg)
{
	return KEY(bg->logical, BTRFS_BLOCK_GROUP_ITEM_KEY, bg->length);
}

/* ---- mount ---- */

static int item_refused(struct reason *why, const struct block_group *bg, const char *what)
{
	reason_set(why, "block group %llu: %s", (unsigned long long)bg->logical, what);
	log_fault("block group %llu: %s", (unsigned long long)bg->logical, what);
	return -EUCLEAN;
}

static int load_item(struct block_group *bg, struct reason *why)
{
	struct btrfs_block_group_item item;
	struct key key = group_key(bg);
	int r;

	if (bg->fs->opt.rescue & RESCUE_BAD_ROOTS)
		return 0; /* reading needs no numbers of space */
	r = tree_lookup(bg->fs->block_group_root, &key, &item, sizeof(item));
	if (r == -ENOENT)
		return item_refused(why, bg, "the chunk has no block group item");
	if (r < 0)
		return r;
	if (r != (int)sizeof(item))
		return item_refused(why, bg, "item of a wrong size");
	if (get_le64(&item.flags) != bg->flags)
		return item_refused(why, bg, "its type is not the chunk's");
	bg->used = get_le64(&item.used);
	return bg->used <= bg->length ? 0 : item_refused(why, bg, "uses more than its length");
}

static int load_group(struct fs *fs, const struct chunk *chunk, struct reason *why)
{
	_cleanup_group_ struct block_group *bg = group_create(fs, chunk);
	struct space *s = fs->space;
	int r = bg ? load_item(bg, why) : -ENOMEM;

	if (r < 0)
		return r;
	bg->ro_count = !volume_chunk_writable(fs->vol, chunk);
	WRLOCK_SCOPE(&s->table_lock);
	group_table_insert(s, bg);
	MUTEX_SCOPE(&s->lock);
	group_sums_add(bg);
	return 0;
}

static int load_groups(struct fs *fs, struct reason *why)
{
	u64 at = 0;

	for (;;) {
		_cleanup_chunk_ struct chunk *c = chunk_map_next(volume_chunks(fs->vol), at);
		int r;

		if (!c)
			return 0;
		at = c->logical + c->length;
		r = load_group(fs, c, why);
		if (r < 0)
			return r;
	}
}

/* The commit must not wait for free space of the trees that it changes by itself. */
static int load_for_commit(struct fs *fs)
{
	struct space *s = fs->space;
	int r;

	do {
		r = group_load_another(fs, SPACE_SYSTEM);
	} while (r > 0);
	while (r == 0) {
		u64 loaded;

		mutex_lock(&s->lock);
		loaded = s->info[SPACE_METADATA].free_loaded;
		mutex_unlock(&s->lock);
		if (loaded >= 2 * space_global_reserve(fs))
			break;
		r = group_load_another(fs, SPACE_METADATA);
		if (r == 0)
			break;
		r = MIN(r, 0);
	}
	return r;
}

/* Without a free-space tree everything is found out now: later the extent tree changes. */
static int load_all(struct fs *fs)
{
	int r = 0;

	for (int kind = 0; r == 0 && kind < SPACE_KINDS; kind++) {
		do {
			r = group_load_another(fs, (enum space_kind)kind);
		} while (r > 0);
	}
	return r;
}

static int space_create(struct fs *fs)
{
	struct space *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fs = fs;
	s->mixed = fs_has_incompat(fs, BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS);
	group_table_init(s);
	mutex_init(&s->lock, RANK_SPACE);
	cond_init(&s->changed);
	TAILQ_INIT(&s->pending);
	TAILQ_INIT(&s->dirty);
	SLIST_INIT(&s->removed);
	fs->space = s;
	return 0;
}

int space_load(struct fs *fs, struct reason *why)
{
	int r = space_create(fs);

	if (r == 0)
		r = load_groups(fs, why);
	if (r == 0) {
		space_update_profiles(fs);
		r = chunk_room_refresh(fs);
	}
	if (r < 0)
		return r;
	space_update_global(fs);
	if (fs->readonly)
		return 0;
	r = fs->fst_root ? load_for_commit(fs) : load_all(fs);
	if (r < 0)
		reason_set(why, "the %s tree cannot be read or is damaged",
			   fs->fst_root ? "free-space" : "extent");
	return r;
}

void space_destroy(struct fs *fs)
{
	struct space *s = fs->space;
	struct removed_chunk *rc;
	struct block_group *bg;

	if (!s)
		return;
	while ((bg = TAILQ_FIRST(&s->dirty))) {
		TAILQ_REMOVE(&s->dirty, bg, dirty_link);
		block_group_put(bg);
	}
	while ((bg = TAILQ_FIRST(&s->pending))) {
		TAILQ_REMOVE(&s->pending, bg, pending_link);
		block_group_put(bg);
	}
	while ((rc = SLIST_FIRST(&s->removed))) {
		SLIST_REMOVE_HEAD(&s->removed, link);
		free(rc);
	}
	group_table_clear(s);
	cond_destroy(&s->changed);
	mutex_destroy(&s->lock);
	free(s);
	fs->space = NULL;
}

/* ---- commit: chunks made since the last one ---- */

int group_item_insert(struct trans *trans, struct block_group *bg)
{
	struct key key = group_key(bg);
	struct btrfs_block_group_item item;

	put_le64(&item.used, bg->used);
	put_le64(&item.chunk_objectid, GROUP_CHUNK_OBJECTID);
	put_le64(&item.flags, bg->flags);
	return tree_insert(trans, trans->fs->block_group_root, &key, &item, sizeof(item));
}

int group_item_delete(struct trans *trans, struct block_group *bg)
{
	struct key key = group_key(bg);

	return tree_delete_key(trans, trans->fs->block_group_root, &key);
}

static int write_pending(struct trans *trans, struct block_group *bg)
{
	_cleanup_chunk_ struct chunk *c = chunk_map_find(volume_chunks(trans->fs->vol), bg->logical);
	int r = c ? chunk_items_insert(trans, c) : -EUCLEAN;

	if (r == 0)
		r = group_item_insert(trans, bg);
	if (r < 0)
		return r;
	MUTEX_SCOPE(&bg->lock);
	bg->pending = false;
	return 0;
}

static struct block_group *next_pending(struct space *s)
{
	struct block_group *bg;

	MUTEX_SCOPE(&s->lock);
	bg = TAILQ_FIRST(&s->pending);
	if (bg)
		TAILQ_REMOVE(&s->pending, bg, pending_link);
	return bg;
}

bool space_chunks_pending(struct fs *fs)
{
	MUTEX_SCOPE(&fs->space->lock);
	return !TAILQ_EMPTY(&fs->space->pending);
}

int space_commit_pending_chunks(struct trans *trans)
{
	struct block_group *bg;
	int changed = 0;

	if (space_chunks_pending(trans->fs))
		log_must_commit(trans);
	while ((bg = next_pending(trans->fs->space))) {
		int r = space_ensure_system(trans->fs);

		if (r == -ENOSPC) /* what is left may do; if not, the tree change fails */
			r = 0;
		if (r == 0)
			r = write_pending(trans, bg);
		block_group_put(bg);
		if (r < 0)
			return r;
		changed = 1;
	}
	return changed;
}

/* ---- commit: changed groups ---- */

/* What of a group the commit is about to write. */
struct group_change {
	u64 used;
	bool tree_missing, tree_unbuilt;
	struct free_extents take, give;
};

/* Only the transaction's own thread changes these, so the copy stays true. */
static void take_change(struct block_group *bg, struct group_change *ret)
{
	MUTEX_SCOPE(&bg->lock);
	ret->used = bg->used;
	ret->tree_missing = bg->tree_missing;
	bg->tree_missing = false;
	ret->tree_unbuilt = bg->tree_unbuilt;
	bg->tree_unbuilt = false;
	free_extents_move(&ret->take, &bg->tree_take);
	free_extents_move(&ret->give, &bg->tree_give);
}

static int write_free_space(struct trans *trans, struct block_group *bg,
			    const struct group_change *c)
{
	int r = 0;

	if (!trans->fs->fst_root)
		return 0;
	/* what is noted for the tree is in the extent tree already */
	if (c->tree_unbuilt)
		return free_space_tree_fill(trans, bg->logical, bg->length);
	if (c->tree_missing)
		r = free_space_tree_create(trans, bg->logical, bg->length);
	if (r == 0 && (c->take.count || c->give.count))
		r = free_space_tree_update(trans, bg->logical, bg->length, &c->take, &c->give);
	return r;
}

static int write_used(struct trans *trans, const struct block_group *bg, u64 used)
{
	struct key key = group_key(bg);
	_cleanup_path_ struct path path = {};
	struct btrfs_block_group_item *item;
	int r = tree_search_cow(trans, trans->fs->block_group_root, &key, 0, &path);

	if (r < 0)
		return r;
	if (r == 1 || path_size(&path) != sizeof(*item)) {
		log_fault("block group %llu: its item is gone", (unsigned long long)bg->logical);
		return -EUCLEAN;
	}
	item = path_data(&path);
	put_le64(&item->used, used);
	return 0;
}

static int write_group(struct trans *trans, struct block_group *bg)
{
	struct group_change change;
	int r;

	group_tree_lock(bg);
	take_change(bg, &change);
	r = write_free_space(trans, bg, &change);
	group_tree_unlock(bg);
	free_extents_clear(&change.take);
	free_extents_clear(&change.give);
	return r < 0 ? r : write_used(trans, bg, change.used);
}

static void set_writing(struct space *s, bool writing)
{
	MUTEX_SCOPE(&s->lock);
	s->writing_items = writing;
	if (!writing)
		cond_broadcast(&s->changed);
}

static struct block_group *next_dirty(struct space *s)
{
	struct block_group *bg;

	MUTEX_SCOPE(&s->lock);
	bg = TAILQ_FIRST(&s->dirty);
	if (!bg)
		return NULL;
	MUTEX_SCOPE(&bg->lock);
	TAILQ_REMOVE(&s->dirty, bg, dirty_link);
	bg->on_dirty_list = false;
	return bg;
}

/* A group whose chunk is made meanwhile has no item yet and waits for the next round. */
static bool still_pending(struct space *s, struct block_group *bg)
{
	MUTEX_SCOPE(&s->lock);
	MUTEX_SCOPE(&bg->lock);
	if (!bg->pending)
		return false;
	group_mark_dirty(s, bg);
	return true;
}

static int write_dirty(struct trans *trans)
{
	struct space *s = trans->fs->space;
	int changed = space_commit_pending_chunks(trans);
	struct block_group *bg;

	if (changed < 0)
		return changed;
	while ((bg = next_dirty(s))) {
		bool wait = still_pending(s, bg);
		int r = wait ? 0 : write_group(trans, bg);

		block_group_put(bg);
		if (r < 0)
			return r;
		changed = 1;
		if (wait)
			break;
	}
	return changed;
}

int space_write_dirty_groups(struct trans *trans)
{
	struct space *s = trans->fs->space;
	int r;

	set_writing(s, true);
	SP("bg.write", .transid = trans->transid);
	r = write_dirty(trans);
	if (r <= 0)
		set_writing(s, false);
	if (r == 0)
		space_update_global(trans->fs);
	return r;
}

void space_commit_failed(struct fs *fs)
{
	if (fs->space)
		set_writing(fs->space, false);
}
