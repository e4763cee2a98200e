/* SPDX-License-Identifier: GPL-2.0-or-later */
/* damage.c - see damage.h. */
#include "tests/fuzz/damage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/codec/csum.h"
#include "disk/format/node.h"

#define CHANGES_MAX 4

u64 rng_next(struct rng *rng)
{
	u64 z = rng->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

u64 rng_below(struct rng *rng, u64 limit)
{
	return limit ? rng_next(rng) % limit : 0;
}

/* ---- the image ---- */

static bool is_node(const struct base *b, const u8 *fsid, const u8 *block)
{
	u8 csum[CSUM_SIZE_MAX];

	if (memcmp(block + BTRFS_CSUM_SIZE, fsid, BTRFS_FSID_SIZE))
		return false;
	csum_block(b->csum_type, block, b->nodesize, csum);
	return !memcmp(csum, block, csum_size(b->csum_type));
}

static int find_nodes(struct base *b)
{
	const struct btrfs_super_block *sb = (const void *)(b->data + SUPER_OFFSET);

	b->nodesize = get_le32(&sb->nodesize);
	b->csum_type = get_le16(&sb->csum_type);
	b->nodes = malloc(b->size / 4096 * sizeof(*b->nodes));
	if (!b->nodes)
		return -1;
	for (u64 at = 0; at + b->nodesize <= b->size; at += 4096)
		if (is_node(b, sb->fsid, b->data + at))
			b->nodes[b->count++] = at;
	return b->count ? 0 : -1;
}

int base_load(struct base *b, const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	int r = -1;

	*b = (struct base){0};
	if (fd >= 0 && fstat(fd, &st) == 0 && (u64)st.st_size > MIB(1)) {
		b->size = (u64)st.st_size;
		b->data = malloc(b->size);
		if (b->data && read(fd, b->data, b->size) == st.st_size)
			r = find_nodes(b);
	}
	if (fd >= 0)
		close(fd);
	if (r)
		fprintf(stderr, "%s: no usable image\n", path);
	return r;
}

void base_free(struct base *b)
{
	free(b->data);
	free(b->nodes);
}

/* ---- damage ---- */

static u64 nasty(struct rng *rng, const struct base *b)
{
	const u64 list[] = {
		0, 1, 2, 7, 255, 4095, 4096, 4097, 16384, 1ULL << 20, 1ULL << 31, 1ULL << 32,
		1ULL << 48, 1ULL << 63, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 4095, INT64_MAX,
		BTRFS_FIRST_FREE_OBJECTID, BTRFS_FIRST_FREE_OBJECTID + 1, rng_next(rng),
	};
	u64 pick = rng_below(rng, ARRAY_SIZE(list) + 4);

	if (pick < ARRAY_SIZE(list))
		return list[pick];
	return node_bytenr(b->data + b->nodes[rng_below(rng, b->count)]);
}

static void put_nasty(struct rng *rng, const struct base *b, u8 *at, size_t room)
{
	u64 v = nasty(rng, b);
	size_t len = 1u << rng_below(rng, 4);

	memcpy(at, &v, MIN(len, room));
}

static void flip_bit(struct rng *rng, u8 *at, size_t room)
{
	at[rng_below(rng, room)] ^= (u8)(1u << rng_below(rng, 8));
}

static void damage_header(struct rng *rng, const struct base *b, u8 *node)
{
	static const struct { u8 at, len; } fields[] = {
		{48, 8}, {56, 8}, {80, 8}, {88, 8}, {96, 4}, {96, 1}, {100, 1},
	};
	size_t i = rng_below(rng, ARRAY_SIZE(fields));

	put_nasty(rng, b, node + fields[i].at, fields[i].len);
}

/* A key, offset or size in the array behind the header. */
static void damage_array(struct rng *rng, const struct base *b, u8 *node)
{
	size_t each = node_level(node) ? sizeof(struct btrfs_key_ptr) : sizeof(struct btrfs_item);
	size_t slots = MIN((size_t)node_nritems(node), (b->nodesize - 101) / each);
	u8 *slot = node + 101 + each * rng_below(rng, slots ? slots : 1);
	size_t at = rng_below(rng, each);

	if (rng_below(rng, 2))
		put_nasty(rng, b, slot + at, each - at);
	else
		flip_bit(rng, slot, each);
}

/* Inside the data of one item. */
static void damage_data(struct rng *rng, const struct base *b, u8 *node)
{
	u32 n = node_nritems(node), slot, start, size;
	size_t at;

	if (node_level(node) || n == 0 || n > b->nodesize / sizeof(struct btrfs_item)) {
		damage_array(rng, b, node);
		return;
	}
	slot = (u32)rng_below(rng, n);
	start = leaf_item_offset(node, slot) + 101;
	size = leaf_item_size(node, slot);
	if (size == 0 || start >= b->nodesize || size > b->nodesize - start)
		return;
	at = rng_below(rng, size);
	if (rng_below(rng, 2))
		put_nasty(rng, b, node + start + at, size - at);
	else
		flip_bit(rng, node + start, size);
}

/* Another node's content under this one's address. */
static void damage_swap(struct rng *rng, const struct base *b, u8 *node)
{
	u64 own = node_bytenr(node);

	memcpy(node, b->data + b->nodes[rng_below(rng, b->count)], b->nodesize);
	node_set_bytenr(node, own);
}

void damage_node(struct rng *rng, const struct base *b, u8 *node)
{
	u64 dice = rng_below(rng, 20);

	if (dice < 3)
		damage_header(rng, b, node);
	else if (dice < 8)
		damage_array(rng, b, node);
	else if (dice < 19)
		damage_data(rng, b, node);
	else
		damage_swap(rng, b, node);
}

void damage_super(struct rng *rng, struct btrfs_super_block *sb)
{
	/* what counts stands in the first part; the label is no fun */
	size_t parts[][2] = {{32, 267}, {267, 299}, {555, 587}, {811, 811 + 300}, {2859, 3531}};
	size_t i = rng_below(rng, ARRAY_SIZE(parts));
	u8 *at = (u8 *)sb + parts[i][0] + rng_below(rng, parts[i][1] - parts[i][0]);
	u64 v = rng_below(rng, 2) ? rng_next(rng) : rng_next(rng) >> 40;

	if (rng_below(rng, 2))
		*at ^= (u8)(1u << rng_below(rng, 8));
	else
		memcpy(at, &v, 1u << rng_below(rng, 4));
}

static int write_nodes(const struct base *b, struct rng *rng, int fd)
{
	u64 at = b->nodes[rng_below(rng, b->count)];
	u64 logical = node_bytenr(b->data + at);
	u8 *node = malloc(b->nodesize);
	int r = node ? 0 : -1;

	if (r)
		return r;
	memcpy(node, b->data + at, b->nodesize);
	for (u64 i = rng_below(rng, CHANGES_MAX) + 1; i; i--)
		damage_node(rng, b, node);
	csum_block(b->csum_type, node, b->nodesize, node);
	/* both copies */
	for (size_t i = 0; r == 0 && i < b->count; i++)
		if (node_bytenr(b->data + b->nodes[i]) == logical)
			r = pwrite(fd, node, b->nodesize, (off_t)b->nodes[i]) < 0 ? -1 : 0;
	free(node);
	return r;
}

static int write_super(const struct base *b, struct rng *rng, int fd)
{
	struct btrfs_super_block sb;

	memcpy(&sb, b->data + SUPER_OFFSET, sizeof(sb));
	for (u64 i = rng_below(rng, CHANGES_MAX) + 1; i; i--)
		damage_super(rng, &sb);
	csum_block(b->csum_type, &sb, sizeof(sb), sb.csum);
	return pwrite(fd, &sb, sizeof(sb), SUPER_OFFSET) == sizeof(sb) ? 0 : -1;
}

int damage_image(const struct base *b, u64 seed, int fd)
{
	struct rng rng = {seed};
	int r = 0;

	if (rng_below(&rng, 8) == 0)
		r = write_super(b, &rng, fd);
	for (u64 i = rng_below(&rng, 3) + 1; r == 0 && i; i--)
		r = write_nodes(b, &rng, fd);
	return r;
}
