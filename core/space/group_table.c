/* SPDX-License-Identifier: GPL-2.0-or-later */
/* group_table.c - life of a block group, and the table of all of them by address.
 *
 * Invariants: groups do not overlap; the table holds one reference of each group in it. Whoever found
 * a group may keep it after it was removed; `removed` tells.
 * Lock: the table lock; nothing is waited for under it.
 */
#include "core/fs.h"
#include "core/space/space_impl.h"

static int cmp_groups(const struct block_group *a, const struct block_group *b)
{
	return a->logical < b->logical ? -1 : a->logical > b->logical;
}

RB_TREE(group_table, block_group, table_link, cmp_groups)

static void add_excluded(void *ctx, u64 logical, u64 len)
{
	u64 *bytes = ctx;

	*bytes += len;
}

struct block_group *group_create(struct fs *fs, const struct chunk *chunk)
{
	struct block_group *bg = calloc(1, sizeof(*bg));

	if (!bg)
		return NULL;
	bg->fs = fs;
	bg->logical = chunk->logical;
	bg->length = chunk->length;
	bg->flags = chunk->type;
	bg->cursor = chunk->logical;
	atomic_init(&bg->refs, 1);
	mutex_init(&bg->lock, RANK_GROUP);
	cond_init(&bg->changed);
	SLIST_INIT(&bg->pinned_sets);
	free_extents_init(&bg->free);
	free_extents_init(&bg->tree_take);
	free_extents_init(&bg->tree_give);
	volume_super_stripes(fs->vol, chunk, add_excluded, &bg->excluded);
	return bg;
}

static void group_free(struct block_group *bg)
{
	struct pinned_set *set;

	while ((set = SLIST_FIRST(&bg->pinned_sets))) {
		SLIST_REMOVE_HEAD(&bg->pinned_sets, link);
		free_extents_clear(&set->extents);
		free(set);
	}
	free_extents_clear(&bg->free);
	free_extents_clear(&bg->tree_take);
	free_extents_clear(&bg->tree_give);
	cond_destroy(&bg->changed);
	mutex_destroy(&bg->lock);
	free(bg);
}

struct block_group *block_group_ref(struct block_group *bg)
{
	atomic_fetch_add(&bg->refs, 1);
	return bg;
}

void block_group_put(struct block_group *bg)
{
	if (bg && atomic_fetch_sub(&bg->refs, 1) == 1)
		group_free(bg);
}

void group_table_init(struct space *s)
{
	rwlock_init(&s->table_lock, RANK_GROUP_TABLE);
	RB_INIT(&s->groups);
}

void group_table_clear(struct space *s)
{
	struct block_group *bg;

	while ((bg = RB_ROOT(&s->groups)))
		group_table_remove(s, bg);
	rwlock_destroy(&s->table_lock);
}

void group_table_insert(struct space *s, struct block_group *bg)
{
	RB_INSERT(group_table, &s->groups, block_group_ref(bg));
}

void group_table_remove(struct space *s, struct block_group *bg)
{
	RB_REMOVE(group_table, &s->groups, bg);
	block_group_put(bg);
}

u64 space_chunk_count(struct space *s, enum space_kind kind)
{
	RDLOCK_SCOPE(&s->table_lock);
	return s->chunk_count[kind];
}

/* The last group that starts at @logical or before. Table lock held. */
static struct block_group *at_or_before(struct space *s, u64 logical)
{
	struct block_group key = {.logical = logical};
	struct block_group *bg = RB_NFIND(group_table, &s->groups, &key);

	if (bg && bg->logical == logical)
		return bg;
	return bg ? RB_PREV(group_table, &s->groups, bg) : RB_MAX(group_table, &s->groups);
}

struct block_group *block_group_find(struct fs *fs, u64 logical)
{
	struct block_group *bg;

	RDLOCK_SCOPE(&fs->space->table_lock);
	bg = at_or_before(fs->space, logical);
	return bg && logical - bg->logical < bg->length ? block_group_ref(bg) : NULL;
}

struct block_group *block_group_next(struct fs *fs, u64 logical)
{
	struct block_group key = {.logical = logical};
	struct block_group *bg;

	RDLOCK_SCOPE(&fs->space->table_lock);
	bg = RB_NFIND(group_table, &fs->space->groups, &key);
	return bg ? block_group_ref(bg) : NULL;
}

struct block_group *block_group_prev(struct fs *fs, u64 logical)
{
	struct block_group *bg;

	RDLOCK_SCOPE(&fs->space->table_lock);
	bg = logical ? at_or_before(fs->space, logical - 1) : NULL;
	return bg ? block_group_ref(bg) : NULL;
}

u64 space_profiles(struct fs *fs, u64 type)
{
	struct space *s = fs->space;
	struct block_group *bg;
	u64 found = 0;

	RDLOCK_SCOPE(&s->table_lock);
	RB_FOREACH(bg, group_table, &s->groups)
		if (space_kind_of(bg->flags) == space_kind_of(type))
			found |= bg->flags & BTRFS_BLOCK_GROUP_PROFILE_MASK;
	return found;
}

void group_mark_dirty(struct space *s, struct block_group *bg)
{
	if (bg->on_dirty_list || bg->removed)
		return;
	bg->on_dirty_list = true;
	block_group_ref(bg); /* the macro evaluates its arguments more than once */
	TAILQ_INSERT_TAIL(&s->dirty, bg, dirty_link);
}
