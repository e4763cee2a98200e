/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fs.c - putting a file system together and taking it apart.
 *
 * Opening goes from what the superblock says to what the trees say; whatever is refused is refused
 * before the first write. Closing goes the other way; each part accepts being half-built.
 */
#include "core/fs.h"

#include <errno.h>
#include <string.h>

#include "core/device_stats.h"
#include "core/extent/data_verify.h"
#include "core/extent/delayed_ref.h"
#include "core/file/file.h"
#include "core/file/plain_cache.h"
#include "core/inode/inode.h"
#include "core/inode/orphan.h"
#include "core/log/log_write.h"
#include "core/log/replay.h"
#include "core/quota/qgroup.h"
#include "core/space/free_space_build.h"
#include "core/space/free_space_cache.h"
#include "core/space/space.h"
#include "core/subvol/cleaner.h"
#include "core/subvol/mount_root.h"
#include "core/subvol/root_table.h"
#include "core/replace_item.h"
#include "core/subvol/uuid_tree.h"
#include "core/super.h"
#include "core/trans/epoch.h"
#include "core/trans/transaction.h"
#include "core/tree/node_cache.h"
#include "core/tree/root.h"
#include "core/tree/search.h"
#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/base/work_pool.h"
#include "disk/codec/compress.h"
#include "disk/volume/volume.h"

#define DEFAULT_CACHE_BYTES MIB(256)

static void take_super(struct fs *fs)
{
	const struct btrfs_super_block *sb = volume_super(fs->vol);

	fs->super = *sb;
	fs->nodesize = get_le32(&sb->nodesize);
	fs->sectorsize = get_le32(&sb->sectorsize);
	fs->csum_type = get_le16(&sb->csum_type);
	fs->csum_size = (u16)volume_csum_size(fs->vol);
	fs->incompat = get_le64(&sb->incompat_flags);
	fs->compat_ro = get_le64(&sb->compat_ro_flags);
	memcpy(fs->fsid,
	       fs_has_incompat(fs, BTRFS_FEATURE_INCOMPAT_METADATA_UUID) ? sb->metadata_uuid : sb->fsid,
	       sizeof(fs->fsid));
	fs->uuid_tree_follows = sb->uuid_tree_generation == sb->generation;
}

/* The slot after the newest is the next to be written. */
static unsigned next_backup_slot(const struct btrfs_super_block *sb)
{
	u64 newest = 0;
	unsigned slot = 0;

	for (unsigned i = 0; i < SUPER_BACKUP_ROOTS; i++) {
		u64 generation = get_le64(&sb->super_roots[i].tree_root_gen);

		if (generation >= newest && generation <= get_le64(&sb->generation)) {
			newest = generation;
			slot = (i + 1) % SUPER_BACKUP_ROOTS;
		}
	}
	return slot;
}

static int create_parts(struct fs *fs)
{
	int r;

	fs->cache = node_cache_new(fs->opt.cache_bytes);
	if (!fs->cache)
		return -ENOMEM;
	r = epochs_create(&fs->epochs);
	if (r == 0)
		r = delayed_refs_create(&fs->drefs);
	if (r == 0)
		r = trans_mgr_create(fs);
	if (r == 0)
		r = tree_log_create(fs);
	if (r == 0)
		r = root_table_create(fs);
	if (r == 0)
		r = inode_table_create(fs);
	if (r == 0)
		r = file_flusher_create(fs);
	if (r == 0)
		r = cleaner_create(fs);
	if (r == 0)
		r = work_pool_create(0, &fs->workers);
	if (r == 0)
		r = plain_cache_create(&fs->plain_cache);
	return r;
}

static int load_chunk_item(struct fs *fs, const struct key *key, const struct path *path)
{
	const void *item = path_data(path);

	if (key->type == BTRFS_CHUNK_ITEM_KEY)
		return volume_add_chunk_item(fs->vol, key->offset, item, path_size(path));
	return key->type == BTRFS_DEV_ITEM_KEY ? volume_add_device_item(fs->vol, item) : 0;
}

/* Every device item tells the volume what a device is, every chunk item becomes an entry of its
 * map. */
static int load_chunks(struct fs *fs)
{
	struct key first = { BTRFS_DEV_ITEMS_OBJECTID, BTRFS_DEV_ITEM_KEY, 0 };
	_cleanup_path_ struct path path = {};
	int r = tree_search_next(fs->chunk_root, &first, &path);

	if (r == -ENOENT)
		return -EUCLEAN;
	for (; r >= 0; r = tree_next(&path)) {
		struct key key;

		if (r == 1 && path_at_end(&path))
			return 0;
		key = path_key(&path);
		r = load_chunk_item(fs, &key, &path);
		if (r < 0)
			return r;
	}
	return r;
}

/* The superblock speaks of all devices that may be written; the kernel wants no less of it. */
static int check_total_bytes(struct fs *fs, struct reason *why)
{
	u64 sum = 0, total = get_le64(&fs->super.total_bytes);

	for (unsigned i = 0; !fs->readonly && i < volume_device_count(fs->vol); i++) {
		struct volume_device dev;

		volume_device_at(fs->vol, i, &dev);
		if (dev.writable && !dev.missing)
			sum += dev.total_bytes;
	}
	if (total >= sum)
		return 0;
	reason_set(why, "superblock: bad total bytes: got %llu, the devices have %llu; it can be "
			"mounted with -o ro", (unsigned long long)total, (unsigned long long)sum);
	return -EINVAL;
}

static int load_super_roots(struct fs *fs, struct reason *why)
{
	const struct btrfs_super_block *sb = &fs->super;
	int r = root_load_at(fs, BTRFS_CHUNK_TREE_OBJECTID, get_le64(&sb->chunk_root),
			     get_le64(&sb->chunk_root_generation), sb->chunk_root_level,
			     &fs->chunk_root);

	if (r == 0) {
		memcpy(fs->chunk_tree_uuid, node_chunk_tree_uuid(fs->chunk_root->node->data),
		       sizeof(fs->chunk_tree_uuid));
		r = load_chunks(fs);
	}
	if (r < 0) {
		reason_set(why, "cannot read the chunk tree: %s", strerror(-r));
		return r;
	}
	r = volume_check_devices(fs->vol, why);
	if (r == 0)
		r = check_total_bytes(fs, why);
	if (r < 0)
		return r;
	r = root_load_at(fs, BTRFS_ROOT_TREE_OBJECTID, get_le64(&sb->root),
			 get_le64(&sb->generation), sb->root_level, &fs->tree_root);
	if (r < 0)
		reason_set(why, "cannot read the root tree: %s", strerror(-r));
	return r;
}

struct global_tree {
	u64 id;
	size_t member;
	const char *name;
	bool optional;
};

static const struct global_tree global_trees[] = {
	{ BTRFS_EXTENT_TREE_OBJECTID, offsetof(struct fs, extent_root), "extent", false },
	{ BTRFS_DEV_TREE_OBJECTID, offsetof(struct fs, dev_root), "device", false },
	{ BTRFS_CSUM_TREE_OBJECTID, offsetof(struct fs, csum_root), "checksum", false },
	{ BTRFS_FREE_SPACE_TREE_OBJECTID, offsetof(struct fs, fst_root), "free-space", true },
	{ BTRFS_UUID_TREE_OBJECTID, offsetof(struct fs, uuid_root), "uuid", true },
	{ BTRFS_DATA_RELOC_TREE_OBJECTID, offsetof(struct fs, data_reloc_root), "data relocation",
	  true },
	{ BTRFS_QUOTA_TREE_OBJECTID, offsetof(struct fs, quota_root), "quota", true },
	{ BTRFS_BLOCK_GROUP_TREE_OBJECTID, offsetof(struct fs, block_group_root), "block-group",
	  true },
};

static struct root **global_root(struct fs *fs, const struct global_tree *tree)
{
	return (struct root **)(void *)((char *)fs + tree->member);
}

static int load_global_tree(struct fs *fs, const struct global_tree *tree, struct reason *why)
{
	int r = root_load(fs, tree->id, global_root(fs, tree));

	if (r >= 0 || (r == -ENOENT && tree->optional))
		return 0;
	if (tree->id == BTRFS_QUOTA_TREE_OBJECTID && fs->readonly)
		return 0; /* needed by who writes */
	if (!(fs->opt.rescue & RESCUE_BAD_ROOTS)) {
		reason_set(why, "cannot read the %s tree: %s", tree->name, strerror(-r));
		return r;
	}
	log_info("rescue: going on without the %s tree: %s", tree->name, strerror(-r));
	if (tree->id == BTRFS_CSUM_TREE_OBJECTID)
		fs->opt.rescue |= RESCUE_DATA_CSUMS;
	return 0;
}

static int load_global_trees(struct fs *fs, struct reason *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(global_trees); i++) {
		int r = load_global_tree(fs, &global_trees[i], why);

		if (r < 0)
			return r;
	}
	/* building and clearing begin with what there was; reading needs neither */
	if (!free_space_tree_valid(fs) || fs->opt.clear_cache)
		fs->fst_stale = TAKE(fs->fst_root);
	if (!fs->block_group_root && fs->extent_root) {
		fs->block_group_root = fs->extent_root;
		atomic_fetch_add(&fs->extent_root->refs, 1);
	}
	return 0;
}

static int load_roots(struct fs *fs, struct reason *why)
{
	int r = load_super_roots(fs, why);

	return r < 0 ? r : load_global_trees(fs, why);
}

static void put_root(struct root **root)
{
	root_put(TAKE(*root));
}

static void drop_roots(struct fs *fs)
{
	for (size_t i = 0; i < ARRAY_SIZE(global_trees); i++)
		put_root(global_root(fs, &global_trees[i]));
	put_root(&fs->fst_stale);
	put_root(&fs->tree_root);
	put_root(&fs->chunk_root);
}

/* Rescue: what the superblock remembers of the commits before, the newest first. */
static int load_backup_roots(struct fs *fs, struct reason *why)
{
	u64 below = get_le64(&fs->super.generation);
	int r = -EIO;

	while (r < 0 && super_use_backup(fs, &below)) {
		drop_roots(fs);
		log_info("rescue: trying the root tree of generation %llu",
			 (unsigned long long)below);
		r = load_roots(fs, why);
	}
	return r;
}

static int load_trees(struct fs *fs, struct reason *why)
{
	int r = load_roots(fs, why);

	if (r < 0 && fs->opt.rescue & RESCUE_BACKUP_ROOT)
		r = load_backup_roots(fs, why);
	if (r == 0)
		r = device_stats_load(fs);
	if (r < 0)
		return r;
	data_verify_start(fs);
	r = root_get(fs, BTRFS_FS_TREE_OBJECTID, &fs->top_root);
	if (r < 0) {
		reason_set(why, "cannot read the top-level subvolume: %s", strerror(-r));
		return r;
	}
	r = quota_load(fs, why);
	return r < 0 ? r : space_load(fs, why);
}

struct root *fs_global_root(struct fs *fs, u64 root_id)
{
	if (root_id == BTRFS_ROOT_TREE_OBJECTID)
		return fs->tree_root;
	if (root_id == BTRFS_CHUNK_TREE_OBJECTID)
		return fs->chunk_root;
	for (size_t i = 0; i < ARRAY_SIZE(global_trees); i++)
		if (global_trees[i].id == root_id)
			return *global_root(fs, &global_trees[i]);
	return NULL;
}

static int start_threads(struct fs *fs)
{
	int r;

	if (fs->readonly)
		return 0;
	r = file_flusher_start(fs);
	return r < 0 ? r : trans_mgr_start(fs);
}

static int open_volume(struct fs *fs, struct reason *why)
{
	struct volume_options vopt = {
		.source = fs->opt.source,
		.offset_bytes = fs->opt.offset_bytes,
		.devices = fs->opt.devices,
		.device_count = fs->opt.device_count,
		.degraded = fs->opt.degraded,
		.readonly = fs->opt.readonly,
		.no_excl = fs->opt.no_excl,
		.claim_wait_ms = fs->opt.claim_wait_ms,
	};
	int r;

	if (fs->opt.rescue && !fs->readonly) {
		reason_set(why, "%s needs -o ro",
			   fs->opt.rescue == RESCUE_BACKUP_ROOT ? "usebackuproot" : "rescue=");
		return -EINVAL;
	}
	r = volume_open(&vopt, &fs->vol, why);
	if (r < 0)
		return r;
	if (fs->opt.rescue & RESCUE_NODE_CSUMS)
		volume_ignore_node_csums(fs->vol);
	take_super(fs);
	fs->backup_slot = next_backup_slot(&fs->super);
	r = super_check_features(fs, why);
	fs->log_waits = r == 0 && fs->readonly && log_pending(fs) && !fs->opt.nologreplay;
	return fs->log_waits ? -EAGAIN : r;
}

static void destroy(struct fs *fs)
{
	cleaner_destroy(fs);
	trans_mgr_stop(fs);
	if (fs->flusher)
		file_flusher_stop(fs);
	if (fs->inodes)
		inode_table_destroy(fs);
	if (fs->flusher)
		file_flusher_destroy(fs);
	work_pool_destroy(fs->workers);
	plain_cache_destroy(fs->plain_cache);
	trans_mgr_destroy(fs);
	tree_log_destroy(fs);
	space_destroy(fs);
	root_put(fs->top_root);
	if (fs->roots)
		root_table_destroy(fs);
	drop_roots(fs);
	quota_destroy(fs->quota);
	delayed_refs_destroy(fs->drefs);
	node_cache_free(fs->cache);
	epochs_destroy(fs->epochs);
	volume_close(fs->vol);
	compress_drain();
	buffer_pool_drain();
	free(fs);
}

/* A tree is built when asked for, and when the flag says that there should be one. */
static int prepare_free_space(struct fs *fs, struct reason *why)
{
	bool flagged = fs_has_compat_ro(fs, BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE);
	int r = 0;

	if (fs->readonly || fs->fst_root)
		return 0;
	if (fs->opt.space_cache_v2 || flagged)
		return free_space_tree_build(fs, why);
	if (fs->opt.clear_cache)
		r = free_space_cache_drop(fs);
	if (r < 0)
		reason_set(why, "cannot clear the free-space cache: %s", strerror(-r));
	return r;
}

/* The trees, after what a log has to say. */
static int open_trees(struct fs *fs, struct reason *why)
{
	int r = open_volume(fs, why);

	if (r < 0)
		return r;
	r = create_parts(fs);
	if (r < 0) {
		reason_set(why, "%s", strerror(-r));
		return r;
	}
	r = load_trees(fs, why);
	return r < 0 || fs->readonly ? r : log_replay(fs, why);
}

static int open_into(struct fs *fs, struct reason *why)
{
	int r = open_trees(fs, why);

	if (r == 0)
		r = mount_root_choose(fs, why);
	if (r < 0)
		return r;
	r = uuid_tree_update(fs);
	if (r == 0)
		r = start_threads(fs);
	if (r == 0)
		r = orphan_cleanup(fs, fs->mount_root_id);
	if (r < 0)
		reason_set(why, "cannot start: %s", strerror(-r));
	if (r == 0)
		r = prepare_free_space(fs, why);
	if (r == 0)
		r = replace_item_rest(fs);
	return r < 0 ? r : cleaner_start(fs);
}

static struct fs *fs_new(const struct fs_options *opt)
{
	struct fs *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return NULL;
	fs->opt = *opt;
	fs->readonly = opt->readonly;
	if (!fs->opt.cache_bytes)
		fs->opt.cache_bytes = DEFAULT_CACHE_BYTES;
	return fs;
}

static int open_once(const struct fs_options *opt, struct fs **ret, bool *log_waits,
		     struct reason *why)
{
	struct fs *fs = fs_new(opt);
	int r;

	if (!fs)
		return -ENOMEM;
	r = open_into(fs, why);
	*log_waits = fs->log_waits;
	if (r < 0)
		destroy(fs);
	else
		*ret = fs;
	return r;
}

/* A read-only mount shows what was synced, as the kernel's does: it writes for as long as the replay
 * takes, and nothing else. */
static int replay_first(const struct fs_options *opt, struct reason *why)
{
	struct reason inner = {};
	struct fs_options writable = *opt;
	struct fs *fs;
	int r;

	writable.readonly = false;
	fs = fs_new(&writable);
	if (!fs)
		return -ENOMEM;
	r = open_trees(fs, &inner);
	destroy(fs);
	if (r < 0 && strstr(inner.text, "nologreplay"))
		*why = inner;
	else if (r < 0)
		reason_set(why, "a log waits, and cannot be replayed (%.160s): -o ro,nologreplay mounts "
				"without it", inner.text[0] ? inner.text : strerror(-r));
	return r;
}

int fs_open(const struct fs_options *opt, struct fs **ret, struct reason *why)
{
	bool log_waits = false;
	int r = open_once(opt, ret, &log_waits, why);

	if (!log_waits)
		return r;
	r = replay_first(opt, why);
	if (r < 0)
		return r;
	r = open_once(opt, ret, &log_waits, why);
	if (log_waits)
		reason_set(why, "somebody else has written a log meanwhile");
	return r;
}

int fs_close(struct fs *fs)
{
	int r;

	if (!fs)
		return 0;
	cleaner_stop(fs);
	trans_mgr_stop(fs);
	/* unlinked files keep nothing dirty, others must be clean before they can leave the table */
	r = fs->readonly ? 0 : file_flush_all(fs);
	if (r < 0)
		log_fault("writing back dirty files: %s", strerror(-r));
	inode_table_drain(fs);
	device_stats_note(fs);
	r = fs->readonly ? 0 : fs_sync(fs);
	if (r < 0)
		log_fault("the last commit failed: %s", strerror(-r));
	destroy(fs);
	return r;
}
