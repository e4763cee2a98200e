/* SPDX-License-Identifier: GPL-2.0-or-later */
/* super.c - see super.h. What is refused here is refused before anything is written. */
#include "core/super.h"

#include <errno.h>
#include <string.h>

#include "core/fs.h"
#include "core/tree/root.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume.h"

struct feature {
	u64 bit;
	const char *name;
	bool supported;
};

static const struct feature incompat_features[] = {
	{ BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF, "mixed backref", true },
	{ BTRFS_FEATURE_INCOMPAT_DEFAULT_SUBVOL, "default subvolume", true },
	{ BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS, "mixed block groups", true },
	/* set by the kernel at the first compressed write or mount option; extents tell the rest */
	{ BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO, "lzo compression", true },
	{ BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD, "zstd compression", true },
	{ BTRFS_FEATURE_INCOMPAT_BIG_METADATA, "big metadata", true },
	{ BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF, "extended inode refs", true },
	{ BTRFS_FEATURE_INCOMPAT_RAID56, "RAID5/6", true },
	{ BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA, "skinny metadata", true },
	{ BTRFS_FEATURE_INCOMPAT_NO_HOLES, "no-holes", true },
	{ BTRFS_FEATURE_INCOMPAT_METADATA_UUID, "metadata uuid", true },
	{ BTRFS_FEATURE_INCOMPAT_RAID1C34, "RAID1C3/4", true },
	{ BTRFS_FEATURE_INCOMPAT_ZONED, "zoned", false },
	{ BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2, "extent tree v2", false },
	{ BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE, "RAID stripe tree", false },
	{ BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA, "simple quotas", true },
	{ FEATURE_INCOMPAT_REMAP_TREE, "remap tree", false },
};

static const struct feature compat_ro_features[] = {
	{ BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE, "free-space tree", true },
	{ BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID, "valid free-space tree", true },
	{ BTRFS_FEATURE_COMPAT_RO_VERITY, "verity", true },
	{ BTRFS_FEATURE_COMPAT_RO_BLOCK_GROUP_TREE, "block-group tree", true },
};

/* The first feature in @flags that is not supported, unknown bits included; NULL if none. */
static const char *unsupported(u64 flags, const struct feature *table, size_t count, u64 *bit)
{
	for (size_t i = 0; i < count; i++) {
		if (!(flags & table[i].bit))
			continue;
		*bit = table[i].bit;
		if (!table[i].supported)
			return table[i].name;
		flags &= ~table[i].bit;
	}
	*bit = flags & -flags;
	return flags ? "unknown" : NULL;
}

/* What btrfstune sets while it works, and clears when it is done. */
static const struct feature super_flags[] = {
	{ BTRFS_HEADER_FLAG_WRITTEN, "written", true },
	{ BTRFS_HEADER_FLAG_RELOC, "relocated", true },
	{ BTRFS_SUPER_FLAG_ERROR, "error", true },
	{ BTRFS_SUPER_FLAG_SEEDING, "seed device", true }, /* read-only: check_seed() */
	{ BTRFS_SUPER_FLAG_METADUMP, "metadata dump", true },
	{ BTRFS_SUPER_FLAG_METADUMP_V2, "metadata dump", true },
	{ BTRFS_SUPER_FLAG_CHANGING_FSID, "an unfinished change of the file system id", false },
	/* every node has the metadata uuid already: only the superblocks were left to be written */
	{ BTRFS_SUPER_FLAG_CHANGING_FSID_V2, "an unfinished change of the metadata uuid", true },
	{ SUPER_FLAG_CHANGING_BG_TREE, "an unfinished conversion to a block-group tree", false },
	{ SUPER_FLAG_CHANGING_DATA_CSUM, "an unfinished change of data checksums", false },
	{ SUPER_FLAG_CHANGING_META_CSUM, "an unfinished change of metadata checksums", false },
};

static int check_super_flags(struct fs *fs, struct reason *why)
{
	u64 bit;
	const char *name = unsupported(get_le64(&fs->super.flags), super_flags,
				       ARRAY_SIZE(super_flags), &bit);

	if (!name || fs->opt.rescue & RESCUE_SUPER_FLAGS)
		return 0;
	reason_set(why, "superblock: %s is not supported (flag 0x%llx)", name,
		   (unsigned long long)bit);
	return -EOPNOTSUPP;
}

static int check_incompat(struct fs *fs, struct reason *why)
{
	u64 bit;
	const char *name = unsupported(fs->incompat, incompat_features,
				       ARRAY_SIZE(incompat_features), &bit);

	if (!name)
		return 0;
	reason_set(why, "unsupported incompat feature: %s (bit 0x%llx)", name,
		   (unsigned long long)bit);
	return -EOPNOTSUPP;
}

static int check_compat_ro(struct fs *fs, struct reason *why)
{
	u64 bit;
	const char *name = unsupported(fs->compat_ro, compat_ro_features,
				       ARRAY_SIZE(compat_ro_features), &bit);

	if (fs->readonly || !name)
		return 0;
	reason_set(why, "unsupported read-write feature: %s (compat_ro bit 0x%llx); "
		   "it can be mounted with -o ro", name, (unsigned long long)bit);
	return -EOPNOTSUPP;
}

static int check_log(struct fs *fs, struct reason *why)
{
	if (get_le64(&fs->super.log_root) == 0)
		return 0;
	if (fs->readonly && fs->opt.nologreplay)
		return 0;
	if (fs->opt.nologreplay)
		reason_set(why, "a log waits to be replayed: nologreplay needs -o ro");
	else if (fs->opt.rescue)
		reason_set(why, "a log waits to be replayed, and rescue= mounts replay nothing: "
				"-o ro,nologreplay mounts without it");
	else
		return 0;
	return -EOPNOTSUPP;
}

/* Others build upon what is there. */
static int check_seed(struct fs *fs, struct reason *why)
{
	if (fs->readonly || !(get_le64(&fs->super.flags) & BTRFS_SUPER_FLAG_SEEDING))
		return 0;
	reason_set(why, "a seed device: it can be mounted with -o ro");
	return -EROFS;
}

int super_check_features(struct fs *fs, struct reason *why)
{
	int r;

	if (csum_size(fs->csum_type) == 0) {
		const char *name = csum_name(fs->csum_type);

		reason_set(why, "unsupported checksum type %s (%u)", name ? name : "unknown",
			   fs->csum_type);
		return -EOPNOTSUPP;
	}
	r = check_super_flags(fs, why);
	if (r == 0)
		r = check_seed(fs, why);
	if (r == 0)
		r = check_incompat(fs, why);
	if (r == 0)
		r = check_compat_ro(fs, why);
	if (r == 0)
		r = check_log(fs, why);
	return r;
}

bool super_use_backup(struct fs *fs, u64 *below)
{
	struct btrfs_super_block *sb = &fs->super;
	const struct btrfs_root_backup *best = NULL;

	for (unsigned i = 0; i < SUPER_BACKUP_ROOTS; i++) {
		const struct btrfs_root_backup *b = &sb->super_roots[i];
		u64 generation = get_le64(&b->tree_root_gen);

		if (generation && generation < *below &&
		    (!best || generation > get_le64(&best->tree_root_gen)))
			best = b;
	}
	if (!best)
		return false;
	*below = get_le64(&best->tree_root_gen);
	sb->generation = best->tree_root_gen;
	sb->root = best->tree_root;
	sb->root_level = best->tree_root_level;
	sb->chunk_root = best->chunk_root;
	sb->chunk_root_generation = best->chunk_root_gen;
	sb->chunk_root_level = best->chunk_root_level;
	return sb->root_level < NODE_LEVEL_MAX && sb->chunk_root_level < NODE_LEVEL_MAX;
}

static void backup_tree(void *bytenr, void *generation, u8 *level, const struct root *root)
{
	put_le64(bytenr, root->node->logical);
	put_le64(generation, root->node->generation);
	*level = root->node->level;
}

/* The slots turn with each commit: the kernel looks for the newest by tree_root_gen. */
static void fill_backup(struct fs *fs)
{
	struct btrfs_super_block *sb = &fs->super;
	struct btrfs_root_backup *b = &sb->super_roots[fs->backup_slot];

	memset(b, 0, sizeof(*b));
#define TREE(name, root) \
	backup_tree((u8 *)b + offsetof(struct btrfs_root_backup, name##_root), \
		    (u8 *)b + offsetof(struct btrfs_root_backup, name##_root_gen), \
		    &b->name##_root_level, root)
	TREE(tree, fs->tree_root);
	TREE(chunk, fs->chunk_root);
	TREE(extent, fs->extent_root);
	TREE(fs, fs->top_root);
	TREE(dev, fs->dev_root);
	TREE(csum, fs->csum_root);
#undef TREE
	b->total_bytes = sb->total_bytes;
	b->bytes_used = sb->bytes_used;
	b->num_devices = sb->num_devices;
	fs->backup_slot = (fs->backup_slot + 1) % SUPER_BACKUP_ROOTS;
}

void super_prepare(struct fs *fs, u64 transid)
{
	struct btrfs_super_block *sb = &fs->super;

	put_le64(&sb->generation, transid);
	put_le64(&sb->flags, get_le64(&sb->flags) & ~BTRFS_SUPER_FLAG_CHANGING_FSID_V2);
	put_le64(&sb->root, fs->tree_root->node->logical);
	sb->root_level = fs->tree_root->node->level;
	put_le64(&sb->chunk_root, fs->chunk_root->node->logical);
	sb->chunk_root_level = fs->chunk_root->node->level;
	put_le64(&sb->chunk_root_generation, fs->chunk_root->node->generation);
	put_le64(&sb->incompat_flags,
		 get_le64(&sb->incompat_flags) | atomic_load(&fs->incompat_used));
	put_le64(&sb->log_root, 0);
	sb->log_root_level = 0;
	/* else the kernel would walk all subvolumes to rebuild the uuid tree */
	if (fs->uuid_tree_follows)
		put_le64(&sb->uuid_tree_generation, transid);
	fill_backup(fs);
}
