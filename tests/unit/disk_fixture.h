/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_fixture.h - what the disk tests share: an image made by the real mkfs.btrfs, loaded into a
 * memory device, and a walk over every node of every tree of it. Each test program includes this
 * once; nothing here is a test.
 */
#ifndef TESTS_UNIT_DISK_FIXTURE_H
#define TESTS_UNIT_DISK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/base/buffer.h"
#include "disk/device/device.h"
#include "disk/format/node.h"
#include "disk/volume/volume.h"

#define FIXTURE_BYTES MIB(160)

/* A directory of a few files, a symlink and hard links, as mkfs.btrfs --rootdir input, then the
 * image. NULL if mkfs.btrfs is missing or fails. */
static inline struct device *fixture_image(const char *mkfs_options)
{
	char dir[] = "/tmp/btrfuse-unit-XXXXXX", cmd[1024];
	struct device *dev = NULL;
	FILE *f;
	int n;

	if (!mkdtemp(dir))
		return NULL;
	snprintf(cmd, sizeof(cmd),
		 "cd %s && mkdir root root/sub && head -c 300000 /dev/urandom > root/big && echo "
		 "small > root/small && "
		 "ln -s small root/link && for i in $(seq 40); do echo $i > root/sub/file-$i; ln "
		 "root/small root/hard-$i; done && "
		 "truncate -s %llu img && mkfs.btrfs -q -f %s --rootdir root img >/dev/null 2>&1",
		 dir, (unsigned long long)FIXTURE_BYTES, mkfs_options);
	n = system(cmd);
	snprintf(cmd, sizeof(cmd), "%s/img", dir);
	f = n ? NULL : fopen(cmd, "r");
	if (f && !device_memory_new(FIXTURE_BYTES, &dev) &&
	    fread(device_memory_data(dev), 1, FIXTURE_BYTES, f) != FIXTURE_BYTES) {
		device_close(dev);
		dev = NULL;
	}
	if (f)
		fclose(f);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	n = system(cmd);
	return dev;
}

struct walk {
	struct volume *vol;
	unsigned nodes, leaves, failed;
	/* called for each good leaf; may be NULL */
	void (*leaf)(struct walk *w, const void *node);
	void *ctx;
};

static inline void walk_node(struct walk *w, const struct node_expect *want);

static inline void walk_children(struct walk *w, const u8 *node)
{
	for (u32 i = 0; i < node_nritems(node); i++) {
		struct node_expect child = {
			.logical = node_blockptr(node, i),
			.generation = node_ptr_generation(node, i),
			.level = (u8)(node_level(node) - 1),
			.has_first_key = true,
			.first_key = node_key(node, i),
		};

		walk_node(w, &child);
	}
}

/* Root items lead to further trees, chunk items into the map. */
static inline void walk_leaf(struct walk *w, const u8 *node)
{
	for (u32 i = 0; i < node_nritems(node); i++) {
		struct key k = node_key(node, i);
		const struct btrfs_root_item *root = (const void *)leaf_data(node, i);
		struct node_expect tree = {0};

		if (k.type == BTRFS_CHUNK_ITEM_KEY &&
		    volume_add_chunk_item(w->vol, k.offset, (const void *)leaf_data(node, i),
					  leaf_item_size(node, i)))
			w->failed++;
		if (k.type != BTRFS_ROOT_ITEM_KEY || node_owner(node) != BTRFS_ROOT_TREE_OBJECTID)
			continue;
		tree.logical = get_le64(&root->bytenr);
		tree.generation = get_le64(&root->generation);
		tree.level = root->level;
		if (tree.logical)
			walk_node(w, &tree);
	}
	w->leaves++;
	if (w->leaf)
		w->leaf(w, node);
}

static inline void walk_node(struct walk *w, const struct node_expect *want)
{
	_cleanup_buffer_ u8 *node = buffer_get(volume_nodesize(w->vol));

	if (volume_read_node(w->vol, want, node)) {
		w->failed++;
		return;
	}
	w->nodes++;
	if (node_level(node))
		walk_children(w, node);
	else
		walk_leaf(w, node);
}

/* Chunk tree, then root tree and everything below. */
static inline void walk_volume(struct walk *w)
{
	const struct btrfs_super_block *sb = volume_super(w->vol);
	struct node_expect chunk_tree = {.logical = get_le64(&sb->chunk_root),
					 .level = sb->chunk_root_level};
	struct node_expect root_tree = {.logical = get_le64(&sb->root), .level = sb->root_level};

	chunk_tree.generation = get_le64(&sb->chunk_root_generation);
	root_tree.generation = get_le64(&sb->generation);
	walk_node(w, &chunk_tree);
	walk_node(w, &root_tree);
}

#endif
