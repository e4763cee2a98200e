/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_items.c - the quota tree: from items to groups when it is loaded, and back by commits.
 *
 * Items: (0, STATUS, 0); (0, INFO, group); (0, LIMIT, group); (group, RELATION, group) in both
 * directions. The status item's generation is the superblock's in every commit: otherwise the
 * kernel concludes that somebody wrote who does not know of quotas.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/quota/qgroup_table.h"
#include "core/trans/transaction.h"
#include "core/tree/item.h"
#include "disk/base/log.h"

struct load {
	struct quota *q;
	struct reason *why;
	bool status;
	bool stale; /* somebody wrote without accounting */
};

static int bad_size(struct load *l, const struct key *key)
{
	reason_set(l->why, "quota tree: item " KEY_FMT " has a wrong size", KEY_ARG(*key));
	return -EUCLEAN;
}

static int load_status(struct load *l, const struct key *key, const void *data, u32 size)
{
	const struct btrfs_qgroup_status_item *item = data;
	struct quota *q = l->q;

	if (size < QGROUP_STATUS_SIZE)
		return bad_size(l, key);
	if (get_le64(&item->version) != BTRFS_QGROUP_STATUS_VERSION) {
		reason_set(l->why, "quota tree: version %llu is not supported",
			   (unsigned long long)get_le64(&item->version));
		return -EOPNOTSUPP;
	}
	q->flags = get_le64(&item->flags);
	q->rescan = get_le64(&item->rescan);
	if (quota_is_simple(q)) {
		if (size < QGROUP_STATUS_ENABLE_GEN + sizeof(u64))
			return bad_size(l, key);
		q->enable_gen = get_le64((const u8 *)data + QGROUP_STATUS_ENABLE_GEN);
	} else {
		l->stale = item->generation != q->fs->super.generation;
	}
	l->status = true;
	return 0;
}

static int load_info(struct load *l, const struct key *key, const void *data, u32 size)
{
	const struct btrfs_qgroup_info_item *item = data;
	struct qgroup *group;
	int r = size < sizeof(*item) ? bad_size(l, key) : qgroup_get(l->q, key->offset, &group);

	if (r < 0)
		return r;
	group->rfer = get_le64(&item->rfer);
	group->excl = get_le64(&item->excl);
	return 0;
}

static int load_limit(struct load *l, const struct key *key, const void *data, u32 size)
{
	const struct btrfs_qgroup_limit_item *item = data;
	struct qgroup *group = qgroup_find(l->q, key->offset);

	if (size < sizeof(*item))
		return bad_size(l, key);
	if (!group) /* INFO items come first: nothing is counted for this one */
		return 0;
	group->limit_flags = get_le64(&item->flags);
	group->max_rfer = get_le64(&item->max_rfer);
	group->max_excl = get_le64(&item->max_excl);
	return 0;
}

/* INFO and LIMIT items come first: a relation without its groups is nobody's. */
static int load_relation(struct load *l, const struct key *key, const void *data, u32 size)
{
	struct qgroup *child = qgroup_find(l->q, key->objectid);
	struct qgroup *parent = qgroup_find(l->q, key->offset);

	(void)data;
	(void)size;
	if (!child || !parent || btrfs_qgroup_level(child->id) >= btrfs_qgroup_level(parent->id))
		return 0;
	return qgroup_link(child, parent);
}

static int load_item(struct load *l, const struct key *key, const void *data, u32 size)
{
	switch (key->type) {
	case BTRFS_QGROUP_STATUS_KEY:
		return load_status(l, key, data, size);
	case BTRFS_QGROUP_INFO_KEY:
		return load_info(l, key, data, size);
	case BTRFS_QGROUP_LIMIT_KEY:
		return load_limit(l, key, data, size);
	case BTRFS_QGROUP_RELATION_KEY:
		return load_relation(l, key, data, size);
	default:
		return 0;
	}
}

/* A scan that goes on counts again what it has passed. */
static void judge_stale(struct quota *q)
{
	if (quota_rescanning(q)) {
		quota_begin_rescan(q);
		return;
	}
	if (!(q->flags & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT))
		log_info("quotas: written by somebody who did not account; a rescan is needed");
	q->flags |= BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT;
}

int qgroup_items_load(struct quota *q, struct reason *why)
{
	struct load l = {.q = q, .why = why};
	_cleanup_path_ struct path path = {};
	struct key key = KEY_MIN;
	int r = tree_search_next(q->fs->quota_root, &key, &path);

	for (r = MIN(r, 0); r == 0 && !path_at_end(&path); r = MIN(tree_next(&path), 0)) {
		key = path_key(&path);
		r = load_item(&l, &key, path_data(&path), path_size(&path));
		if (r < 0)
			return r;
	}
	if (r < 0 && r != -ENOENT) {
		reason_set(why, "cannot read the quota tree: %s", strerror(-r));
		return r;
	}
	if (!l.status)
		q->flags = 0;
	else if (l.stale)
		judge_stale(q);
	return 0;
}

static int found(int r, const struct path *path, u32 size, u64 id)
{
	if (r == 0 && path_size(path) < size)
		r = 1;
	if (r <= 0)
		return r;
	log_fault("quota tree: the item of group %llu/%llu is gone", (unsigned long long)(id >> 48),
		  (unsigned long long)(id & ((1ULL << 48) - 1)));
	return -EUCLEAN;
}

static int write_info(struct trans *trans, struct quota *q, struct qgroup *group)
{
	struct key key = KEY(0, BTRFS_QGROUP_INFO_KEY, group->id);
	_cleanup_path_ struct path path = {};
	struct btrfs_qgroup_info_item *item;
	int r = tree_search_cow(trans, q->fs->quota_root, &key, 0, &path);

	r = found(r, &path, sizeof(*item), group->id);
	if (r < 0)
		return r;
	item = path_data(&path);
	put_le64(&item->generation, trans->transid);
	put_le64(&item->rfer, group->rfer);
	put_le64(&item->rfer_cmpr, group->rfer);
	put_le64(&item->excl, group->excl);
	put_le64(&item->excl_cmpr, group->excl);
	group->dirty = false;
	return 0;
}

static int write_status(struct trans *trans, struct quota *q)
{
	struct key key = KEY(0, BTRFS_QGROUP_STATUS_KEY, 0);
	_cleanup_path_ struct path path = {};
	struct btrfs_qgroup_status_item *item;
	int r = tree_search_cow(trans, q->fs->quota_root, &key, 0, &path);

	r = found(r, &path, QGROUP_STATUS_SIZE, 0);
	if (r < 0)
		return r;
	item = path_data(&path);
	put_le64(&item->generation, trans->transid);
	put_le64(&item->flags, q->flags);
	put_le64(&item->rescan, q->rescan);
	return 0;
}

int qgroup_items_write(struct trans *trans, struct quota *q)
{
	int r = 0;

	for (struct qgroup *group = qgroup_first(q); r == 0 && group; group = qgroup_next(group))
		if (group->dirty)
			r = write_info(trans, q, group);
	return r < 0 ? r : write_status(trans, q);
}

/* ---- groups come, change and go ---- */

static int insert_zeroed(struct trans *trans, struct quota *q, u64 objectid, u8 type, u64 offset,
			 u32 size)
{
	struct key key = KEY(objectid, type, offset);
	_cleanup_path_ struct path path = {};

	return tree_insert_empty(trans, q->fs->quota_root, &key, size, &path);
}

int qgroup_items_begin(struct trans *trans, struct quota *q)
{
	struct key key = KEY(0, BTRFS_QGROUP_STATUS_KEY, 0);
	/* of this size with full accounting as well: programs that see the feature look for it */
	u8 item[QGROUP_STATUS_ENABLE_GEN + sizeof(u64)] = {};

	put_le64(item + offsetof(struct btrfs_qgroup_status_item, version),
		 BTRFS_QGROUP_STATUS_VERSION);
	put_le64(item + QGROUP_STATUS_ENABLE_GEN, quota_is_simple(q) ? q->enable_gen : 0);
	return tree_insert(trans, q->fs->quota_root, &key, item, sizeof(item));
}

static int delete_item(struct trans *trans, struct quota *q, u64 objectid, u8 type, u64 offset)
{
	struct key key = KEY(objectid, type, offset);
	int r = tree_delete_key(trans, q->fs->quota_root, &key);

	return r == -ENOENT ? 0 : r;
}

/* A limit that a group before this one has left behind is not this one's. */
int qgroup_items_add(struct trans *trans, struct quota *q, u64 id)
{
	int r = delete_item(trans, q, 0, BTRFS_QGROUP_LIMIT_KEY, id);

	if (r == 0)
		r = insert_zeroed(trans, q, 0, BTRFS_QGROUP_INFO_KEY, id,
				  sizeof(struct btrfs_qgroup_info_item));
	return r < 0 ? r : insert_zeroed(trans, q, 0, BTRFS_QGROUP_LIMIT_KEY, id,
					 sizeof(struct btrfs_qgroup_limit_item));
}

int qgroup_items_remove(struct trans *trans, struct quota *q, u64 id)
{
	int r = delete_item(trans, q, 0, BTRFS_QGROUP_INFO_KEY, id);

	return r < 0 ? r : delete_item(trans, q, 0, BTRFS_QGROUP_LIMIT_KEY, id);
}

int qgroup_items_relate(struct trans *trans, struct quota *q, u64 child, u64 parent)
{
	int r = insert_zeroed(trans, q, child, BTRFS_QGROUP_RELATION_KEY, parent, 0);

	return r < 0 ? r : insert_zeroed(trans, q, parent, BTRFS_QGROUP_RELATION_KEY, child, 0);
}

int qgroup_items_unrelate(struct trans *trans, struct quota *q, u64 child, u64 parent)
{
	int r = delete_item(trans, q, child, BTRFS_QGROUP_RELATION_KEY, parent);

	return r < 0 ? r : delete_item(trans, q, parent, BTRFS_QGROUP_RELATION_KEY, child);
}

int qgroup_items_limit(struct trans *trans, struct quota *q, const struct qgroup *group)
{
	struct key key = KEY(0, BTRFS_QGROUP_LIMIT_KEY, group->id);
	_cleanup_path_ struct path path = {};
	struct btrfs_qgroup_limit_item *item;
	int r = insert_zeroed(trans, q, 0, BTRFS_QGROUP_LIMIT_KEY, group->id, sizeof(*item));

	if (r == 0 || r == -EEXIST) /* others have left it out */
		r = tree_search_cow(trans, q->fs->quota_root, &key, 0, &path);
	r = found(r, &path, sizeof(*item), group->id);
	if (r < 0)
		return r;
	item = path_data(&path);
	put_le64(&item->flags, group->limit_flags);
	put_le64(&item->max_rfer, group->max_rfer);
	put_le64(&item->max_excl, group->max_excl);
	return 0;
}
