/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay.c - the order in which logs are replayed.
 *
 * First the space: whatever a log occupies or names is out of reach of the allocator before
 * anything changes. Then each log in passes, since items point to each other: inodes (and what was
 * deleted from them), names that directories list, everything else, link counts. All of it is one
 * transaction: until its superblock is durable the log is in force, whole and where it was, so a
 * crash replays again.
 *
 * A log belongs to the generation after the superblock's, which is the transaction that replays it.
 * Rules: the kernel's order of replay, found out by comparing images that it and we replayed.
 */
#include "core/log/replay.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/log/replay_internal.h"
#include "core/space/space.h"
#include "core/subvol/root_table.h"
#include "core/tree/search.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define RESERVED_ITEMS 64u /* more than that is taken as it comes: nobody else is about */

bool log_pending(const struct fs *fs)
{
	return get_le64(&fs->super.log_root) != 0;
}

int replay_refuse(struct replay *rp, int err, const char *fmt, ...)
{
	char what[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	reason_set(rp->why, "the log cannot be replayed: %s; -o ro,nologreplay mounts without it",
		   what);
	return err;
}

static int item_of(struct replay *rp, struct root *tree, struct key *key)
{
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(tree, key, &path);

	if (r < 0)
		return r;
	*key = path_key(&path);
	rp->size = path_size(&path);
	memcpy(rp->item, path_data(&path), rp->size);
	return 0;
}

int replay_item(struct replay *rp, struct key *key)
{
	return item_of(rp, rp->log, key);
}

/* Item as it is. */
static int copy_item(struct replay *rp, const struct key *key)
{
	int r = replay_inode_exists(rp, key->objectid);

	if (r == -ENOENT)
		return replay_refuse(rp, -EUCLEAN, "inode %llu of tree %llu is missing",
				     (unsigned long long)key->objectid,
				     (unsigned long long)rp->root->id);
	return r < 0 ? r : tree_put(rp->trans, rp->root, key, rp->item, rp->size);
}

struct rule {
	u8 type;
	int (*apply)(struct replay *rp, const struct key *key);
};

/* DIR_ITEMs, which old kernels logged as well, say nothing that DIR_INDEXes do not. */
static const struct rule inode_rules[] = {{BTRFS_INODE_ITEM_KEY, replay_inode}, {}};
static const struct rule name_rules[] = {{BTRFS_DIR_INDEX_KEY, replay_dir_entry}, {}};
static const struct rule other_rules[] = {
	{BTRFS_XATTR_ITEM_KEY, copy_item},
	{BTRFS_INODE_REF_KEY, replay_ref},
	{BTRFS_INODE_EXTREF_KEY, replay_ref},
	{BTRFS_EXTENT_DATA_KEY, replay_extent},
	{BTRFS_VERITY_DESC_ITEM_KEY, copy_item},
	{BTRFS_VERITY_MERKLE_ITEM_KEY, copy_item},
	{},
};
static const struct rule *const passes[] = {inode_rules, name_rules, other_rules};

/* A file without a name, synced through a descriptor: the directory's log takes its last name away.
 */
static void note_ignored(struct replay *rp, const struct key *key)
{
	const struct btrfs_inode_item *inode = (const void *)rp->item;

	if (key->type == BTRFS_INODE_ITEM_KEY && get_le32(&inode->nlink) == 0)
		rp->ignored = key->objectid;
}

static int apply_item(struct replay *rp, const struct rule *rule, const struct key *key)
{
	int r;

	note_ignored(rp, key);
	if (key->objectid == rp->ignored)
		return 0;
	while (rule->type && rule->type != key->type)
		rule++;
	r = rule->type ? rule->apply(rp, key) : 0;
	if (r < 0 && !rp->why->text[0])
		return replay_refuse(rp, r, "item " KEY_FMT " of tree %llu: %s", KEY_ARG(*key),
				     (unsigned long long)rp->root->id, strerror(-r));
	return r;
}

static int run_pass(struct replay *rp, const struct rule *rules)
{
	const struct key last = KEY_MAX;
	struct key key = KEY_MIN;
	int r = 0;

	rp->ignored = 0;
	while (r == 0) {
		r = replay_item(rp, &key);
		if (r == -ENOENT)
			return 0;
		if (r == 0)
			r = apply_item(rp, rules, &key);
		if (key_equal(&key, &last))
			break;
		key = key_next(key);
	}
	return r;
}

static int load_tree(struct replay *rp, u64 logical, u64 generation, u8 level, struct root **ret)
{
	int r = root_load_at(rp->fs, (u64)BTRFS_TREE_LOG_OBJECTID, logical, generation, level, ret);

	return r < 0 ? replay_refuse(rp, r, "cannot read its node %llu",
				     (unsigned long long)logical)
		     : r;
}

/* The log that a ROOT_ITEM (in hand) points to. */
static int load_log(struct replay *rp, struct root **ret)
{
	const struct btrfs_root_item *item = (const void *)rp->item;

	return load_tree(rp, get_le64(&item->bytenr), get_le64(&item->generation), item->level,
			 ret);
}

/* Calls @cb for each log with rp->log and rp->root; rp->root is NULL if the subvolume is gone. */
static int for_each_log(struct replay *rp, struct root *logs, int (*cb)(struct replay *rp))
{
	struct key key = log_root_key(0);
	int r = 0;

	for (; r == 0; key = key_next(key)) {
		_cleanup_root_ struct root *root = NULL, *log = NULL;

		r = item_of(rp, logs, &key);
		if (r == -ENOENT || (r == 0 && key.objectid != (u64)BTRFS_TREE_LOG_OBJECTID))
			return 0;
		if (r == 0)
			r = load_log(rp, &log);
		if (r == 0)
			r = root_get(rp->fs, key.offset, &root);
		if (r < 0 && !(r == -ENOENT && log))
			return r;
		rp->log = log;
		rp->root = root;
		r = cb(rp);
	}
	return r;
}

static int claim_log(struct replay *rp)
{
	return replay_claim_nodes(rp, rp->log, rp->root != NULL);
}

static int replay_log(struct replay *rp)
{
	int r = 0;

	for (size_t i = 0; rp->root && r == 0 && i < ARRAY_SIZE(passes); i++)
		r = run_pass(rp, passes[i]);
	return rp->root && r == 0 ? replay_link_fix(rp) : r;
}

static int replay_logs(struct replay *rp)
{
	const struct btrfs_super_block *sb = &rp->fs->super;
	_cleanup_root_ struct root *logs = NULL;
	int r = load_tree(rp, get_le64(&sb->log_root), get_le64(&sb->generation) + 1,
			  sb->log_root_level, &logs);

	if (r == 0)
		r = replay_claim_nodes(rp, logs, false);
	if (r == 0)
		r = for_each_log(rp, logs, claim_log);
	if (r == 0)
		r = replay_claim_extents(rp);
	if (r == 0)
		r = for_each_log(rp, logs, replay_log);
	if (r == 0)
		r = replay_claim_end(rp);
	SP("log.replayed");
	return r;
}

static int replay_in_section(struct replay *rp)
{
	struct trans trans = {};
	int end, r = trans_exclusive_begin_release(rp->fs, RESERVED_ITEMS, &trans);

	if (r < 0)
		return r;
	rp->trans = &trans;
	r = replay_logs(rp);
	end = trans_exclusive_end(&trans, r == 0);
	return r < 0 ? r : end;
}

int log_replay(struct fs *fs, struct reason *why)
{
	struct replay rp = {.fs = fs, .why = why};
	int r;

	if (!log_pending(fs))
		return 0;
	why->text[0] = 0;
	rp.item = malloc(fs->nodesize);
	if (!rp.item)
		return -ENOMEM;
	r = space_load_for_nodes(fs);
	if (r == 0)
		r = replay_in_section(&rp);
	if (r < 0 && !why->text[0])
		(void)replay_refuse(&rp, r, "%s", strerror(-r));
	if (r == 0)
		log_info("%s: the log has been replayed", fs->opt.source);
	free(rp.item);
	free(rp.claims);
	free(rp.fixups);
	return r;
}
