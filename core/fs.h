/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fs.h - one mounted file system: what all parts of core share.
 *
 * Set up by fs_open() before any other thread runs and constant afterwards, unless a line says
 * which lock or phase changes it.
 */
#ifndef CORE_FS_H
#define CORE_FS_H

#include <stdatomic.h>

#include "disk/base/reason.h"
#include "disk/base/types.h"
#include "disk/format/ondisk.h"

struct volume;
struct root;
struct node_cache;
struct space;
struct delayed_refs;
struct trans_mgr;
struct tree_log;
struct epochs;
struct inode_table;
struct root_table;
struct file_flusher;
struct plain_cache;
struct quota;
struct work_pool;
struct cleaner;

/* What a read-only rescue mount does without (the kernel's `rescue=`). */
enum rescue {
	RESCUE_BACKUP_ROOT = 1, /* an older root tree if the newest cannot be read */
	RESCUE_BAD_ROOTS = 2,   /* global trees that cannot be read */
	RESCUE_DATA_CSUMS = 4,  /* checksums of file data */
	RESCUE_NODE_CSUMS = 8,  /* checksums of nodes; their content is checked all the same */
	RESCUE_SUPER_FLAGS = 16 /* superblock flags of conversions that were never finished */
};

struct fs_options {
	const char *source;
	u64 offset_bytes;           /* where the file system begins in @source */
	const char *const *devices; /* the file system's other devices */
	unsigned device_count;
	bool degraded;       /* mount without missing devices */
	bool readonly;
	bool no_excl;        /* somebody else (fuseblk) holds the claim on a block device */
	int claim_wait_ms;   /* how long to wait for a btrfuse that is still finishing the image */
	const char *subvol;  /* path from the top level, or NULL */
	u64 subvolid;        /* 0: not given */
	bool nodatacow;
	bool nodatasum;
	bool compress, compress_force;
	u8 compress_type;    /* enum compress_type; none: zlib where files ask for it */
	int compress_level;  /* 0: default */
	bool nologreplay;
	bool notreelog;      /* fsync commits */
	unsigned rescue;     /* enum rescue; read-only mounts */
	unsigned commit_s;   /* 0: 30 */
	bool space_cache_v2; /* build a free-space tree if there is none */
	bool clear_cache;    /* drop what there is of tree and cache; the tree is built anew */
	u64 cache_bytes;     /* 0: default */
};

/* Work of upper layers that must happen inside core's phases. Set once at start, may be NULL. */
struct fs_hooks {
	void *ctx;
	/* Content of an inode changed other than by FUSE requests: drop the kernel's pages. Called
	 * without locks. */
	void (*invalidate)(void *ctx, u64 root_id, u64 ino);
};

struct fs {
	struct fs_options opt;
	struct volume *vol;
	u32 nodesize;
	u32 sectorsize;
	u16 csum_type;
	u16 csum_size;
	u8 fsid[16];            /* as node headers carry it (metadata_uuid if that is set) */
	u8 chunk_tree_uuid[16];
	u64 incompat;
	u64 compat_ro;
	u64 mount_root_id;      /* subvolume shown at the mountpoint */

	/* Changed in settle and exclusive sections only. */
	struct btrfs_super_block super;
	unsigned backup_slot;
	_Atomic u64 incompat_used; /* features that came into use: set any time, stored by commits */
	bool uuid_tree_follows; /* the uuid tree is up to date: uuid_tree_generation = generation */

	_Atomic int error;      /* first negative errno that aborted; 0 while healthy */
	bool readonly;
	_Atomic bool shut;      /* nobody may write for a while (a remount): what nobody asks for waits */
	bool log_waits;         /* why a read-only open gave up: there is a log to be replayed first */

	struct root *tree_root;
	struct root *chunk_root;
	struct root *extent_root;
	struct root *dev_root;
	struct root *csum_root;
	struct root *fst_root;  /* NULL: none, or none that may be believed */
	struct root *fst_stale; /* one that is about to be rebuilt */
	struct root *uuid_root; /* NULL if the image has none */
	struct root *data_reloc_root; /* only its nodes matter to us; NULL if there is none */
	struct root *quota_root; /* NULL if the image has none */
	struct root *block_group_root; /* where BLOCK_GROUP_ITEMs are: extent_root without the feature */

	struct root *top_root; /* subvolume 5, always loaded */

	struct root_table *roots;
	struct node_cache *cache;
	struct epochs *epochs;
	struct trans_mgr *trans;
	struct tree_log *log;
	struct delayed_refs *drefs;
	struct space *space;
	struct inode_table *inodes;
	struct file_flusher *flusher;
	struct cleaner *cleaner;
	struct work_pool *workers;    /* for what keeps a core busy: compression */
	struct plain_cache *plain_cache;
	struct quota *quota;          /* NULL: read-only */
	_Atomic u64 moved_transid;    /* last transaction that moved extents without their files' knowing:
				       * what was written there in place since is nothing without it */
	_Atomic u64 reuse_count;      /* goes up before freed space becomes usable again */
	struct fs_hooks hooks;
	void *relocation;       /* owned by the layer above */
};

static inline bool fs_has_incompat(const struct fs *fs, u64 bit)
{
	return (fs->incompat & bit) != 0;
}

static inline bool fs_has_compat_ro(const struct fs *fs, u64 bit)
{
	return (fs->compat_ro & bit) != 0;
}

/* Opens @opt->source. On failure @why says what was wrong in words for the user, nothing was
 * written, and *ret is untouched. The strings in @opt must outlive the file system. */
_must_check_ int fs_open(const struct fs_options *opt, struct fs **ret, struct reason *why);

/* The tree @root_id if it is one of those that are never shared with snapshots, else NULL. */
struct root *fs_global_root(struct fs *fs, u64 root_id);

/* Flushes, commits, closes. The first error met is returned; the image is complete (or untouched
 * since its last good commit) when this returns. NULL is accepted. */
int fs_close(struct fs *fs);

#endif
