/* SPDX-License-Identifier: GPL-2.0-or-later */
/* space_info.c - sums over the groups of a kind, and the size of the global reserve.
 *
 * Invariant: see space_impl.h. Every change of a group's counters subtracts the group from the sums,
 * changes it, and adds it again, so that no path can forget one of them.
 */
#include "core/fs.h"
#include "core/space/space_impl.h"
#include "core/tree/root.h"

static const u64 kind_flags[SPACE_KINDS] = {
	[SPACE_DATA] = BTRFS_BLOCK_GROUP_DATA,
	[SPACE_METADATA] = BTRFS_BLOCK_GROUP_METADATA,
	[SPACE_SYSTEM] = BTRFS_BLOCK_GROUP_SYSTEM,
};

enum space_kind space_kind_of(u64 flags)
{
	if (flags & BTRFS_BLOCK_GROUP_SYSTEM)
		return SPACE_SYSTEM;
	return flags & BTRFS_BLOCK_GROUP_METADATA ? SPACE_METADATA : SPACE_DATA;
}

u64 space_kind_flag(const struct space *s, enum space_kind kind)
{
	u64 both = s->mixed && kind == SPACE_METADATA ? BTRFS_BLOCK_GROUP_DATA : 0;

	return kind_flags[kind] | both;
}

u64 group_free_bytes(const struct block_group *bg)
{
	u64 taken = bg->used + bg->reserved + bg->pinned + bg->excluded;

	return taken < bg->length ? bg->length - taken : 0;
}

/* What the group contributes; the sign is the caller's. */
static struct space_info contribution(const struct block_group *bg)
{
	struct space_info c = {0};
	u64 free = group_free_bytes(bg);

	if (bg->removed)
		return c;
	c.total = bg->length;
	c.used = bg->used;
	c.reserved = bg->reserved;
	c.pinned = bg->pinned;
	c.excluded = bg->excluded;
	if (bg->ro_count) {
		c.readonly = free;
		return c;
	}
	c.free = free;
	c.free_loaded = bg->loaded ? free : 0;
	c.reclaimable = bg->pinned;
	return c;
}

static void apply(struct space_info *info, const struct space_info *c, bool add)
{
	const u64 *from[] = {&c->total, &c->used, &c->reserved, &c->pinned, &c->readonly,
			     &c->free, &c->free_loaded, &c->reclaimable, &c->excluded};
	u64 *to[] = {&info->total, &info->used, &info->reserved, &info->pinned, &info->readonly,
		     &info->free, &info->free_loaded, &info->reclaimable, &info->excluded};

	for (size_t i = 0; i < ARRAY_SIZE(to); i++)
		*to[i] = add ? *to[i] + *from[i] : *to[i] - *from[i];
}

void group_sums_sub(struct block_group *bg)
{
	struct space_info c = contribution(bg);

	apply(group_info(bg->fs->space, bg), &c, false);
}

void group_sums_add(struct block_group *bg)
{
	struct space_info c = contribution(bg);

	apply(group_info(bg->fs->space, bg), &c, true);
}

struct block_group *group_edit_begin(struct block_group *bg)
{
	mutex_lock(&bg->fs->space->lock);
	mutex_lock(&bg->lock);
	group_sums_sub(bg);
	return bg;
}

void group_edit_end(struct block_group **bg)
{
	group_sums_add(*bg);
	mutex_unlock(&(*bg)->lock);
	mutex_unlock(&(*bg)->fs->space->lock);
}

/* ---- the global reserve ---- */

#define GLOBAL_MAX MIB(512)
#define KERNEL_ITEM_NODES 16u /* the kernel counts 8 levels, each copied and split */
#define UNLINK_ITEMS 6u       /* an unlink that lives on the reserve, and its references */

/* The size that the kernel gives it (statfs shows it): the trees that every commit changes, at
 * least enough for one unlink, at most 512 MiB. */
static u64 global_size(struct fs *fs, u64 trees_bytes, unsigned trees)
{
	unsigned ref_factor = fs->fst_root ? 2 : 1;
	u64 items = 1 + trees + UNLINK_ITEMS + UNLINK_ITEMS * ref_factor;
	u64 least = items * KERNEL_ITEM_NODES * fs->nodesize;

	return MIN(MAX(trees_bytes, least), (u64)GLOBAL_MAX);
}

void space_update_global(struct fs *fs)
{
	const struct root *roots[] = {
		fs->extent_root, fs->csum_root, fs->fst_root,
		fs->block_group_root == fs->extent_root ? NULL : fs->block_group_root,
	};
	u64 bytes = 0;
	unsigned trees = 0;

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		if (!roots[i])
			continue;
		bytes += get_le64(&roots[i]->item.bytes_used);
		trees++;
	}
	MUTEX_SCOPE(&fs->space->lock);
	fs->space->tree_bytes = bytes;
	fs->space->global_reserve = global_size(fs, bytes, trees);
}

u64 space_global_reserve(struct fs *fs)
{
	MUTEX_SCOPE(&fs->space->lock);
	return fs->space->global_reserve;
}

static void set_profile(struct fs *fs, u64 type, u64 profile, bool converting)
{
	struct space_info *info = &fs->space->info[space_kind_of(type)];

	MUTEX_SCOPE(&fs->space->lock);
	info->profile = profile;
	info->converting = converting;
}

void space_convert(struct fs *fs, u64 type, u64 profile)
{
	set_profile(fs, type, profile, true);
}

void space_convert_end(struct fs *fs, u64 type)
{
	set_profile(fs, type, 0, false);
	space_update_profiles(fs);
}

void space_usage(struct fs *fs, u64 type, struct space_usage *ret)
{
	struct space_info *info = &fs->space->info[space_kind_of(type)];

	MUTEX_SCOPE(&fs->space->lock);
	*ret = (struct space_usage){
		.total = info->total,
		.used = info->used,
		.reserved = info->reserved,
		.pinned = info->pinned,
		.readonly = info->readonly,
		.promised = info->promised,
	};
}
