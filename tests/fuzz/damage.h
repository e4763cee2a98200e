/* SPDX-License-Identifier: GPL-2.0-or-later */
/* damage.h - breaking an image so that checksums still hold.
 *
 * Noise alone stops at the first checksum. Here nodes and superblocks are changed at random, at the
 * places that programs trust, and sealed again. The same seed does the same damage.
 */
#ifndef TESTS_FUZZ_DAMAGE_H
#define TESTS_FUZZ_DAMAGE_H

#include "disk/base/types.h"
#include "disk/format/ondisk.h"

struct rng {
	u64 state;
};

u64 rng_next(struct rng *rng);
u64 rng_below(struct rng *rng, u64 limit);

/* An image in memory and where its nodes are. */
struct base {
	u8 *data;
	u64 size;
	u32 nodesize;
	u16 csum_type;
	u64 *nodes; /* offsets of blocks with a right checksum and our file system id */
	size_t count;
};

/* Loads @path. 0 or -1 with a message. */
int base_load(struct base *b, const char *path);
void base_free(struct base *b);

/* One random change of @node's header, items or item data; the caller seals it. */
void damage_node(struct rng *rng, const struct base *b, u8 *node);
/* The same for a superblock. */
void damage_super(struct rng *rng, struct btrfs_super_block *sb);

/* Writes the damage that @seed stands for over the image @fd, which holds @b's bytes. */
int damage_image(const struct base *b, u64 seed, int fd);

#endif
