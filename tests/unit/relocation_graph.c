/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relocation_graph.c - the closure of nodes that move together, and moving them, on a real image.
 * What it leaves behind is judged by btrfs check. */
#include "tests/unit/inode_fixture.h"

#include "core/tree/node_cache.h"
#include "relocation/graph.h"

#define FILES 2000

static void fill(struct image *img)
{
	for (int i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file-%d", i);
		make_put(img->root, name, S_IFREG | 0644);
	}
	assert_int_equal(fs_sync(img->fs), 0);
}

/* The leaf that holds the inode item of @ino. */
static u64 leaf_of(struct image *img, u64 ino)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(ino, BTRFS_INODE_ITEM_KEY, 0);

	assert_int_equal(tree_search(img->root->root, &key, &path), 0);
	return path.nodes[0]->logical;
}

static void nodes_are_put_in_once(void **state)
{
	struct image *img = image_of(state);
	_cleanup_graph_ struct graph g = {};

	graph_init(&g, img->fs, 0, NULL, NULL);
	assert_int_equal(graph_add(&g, MIB(1), 0), 0);
	assert_int_equal(graph_add(&g, MIB(1), 0), 0);
	assert_int_equal(g.count, 1);
	assert_int_equal(graph_add(&g, MIB(1), 1), -EUCLEAN);
	assert_int_equal(graph_add(&g, MIB(2), NODE_LEVEL_MAX), -EUCLEAN);
}

/* Two leaves: both and what is above them, each once, moved; everything else stays. */
static void closure_moves_as_a_whole(void **state)
{
	struct image *img = image_of(state);
	_cleanup_graph_ struct graph g = {};
	struct root *root;
	struct trans trans;
	u64 first, last, untouched, top;

	fill(img);
	root = img->root->root;
	first = leaf_of(img, 257);
	last = leaf_of(img, 257 + FILES - 1);
	untouched = leaf_of(img, 257 + FILES / 2);
	top = root->node->logical;
	assert_true(first != last && first != untouched && root->node->level == 1);

	assert_int_equal(trans_exclusive_begin(img->fs, graph_items(8), &trans), 0);
	graph_init(&g, img->fs, trans.transid, NULL, NULL);
	assert_int_equal(graph_add(&g, first, 0), 0);
	assert_int_equal(graph_add(&g, last, 0), 0);
	assert_int_equal(graph_close(&g), 0);
	assert_int_equal(g.count, 3);
	assert_int_equal(graph_apply(&g, &trans), 0);
	assert_int_equal(trans_exclusive_end(&trans, true), 0);

	assert_true(root->node->logical != top);
	assert_true(leaf_of(img, 257) != first && leaf_of(img, 257 + FILES - 1) != last);
	assert_int_equal(leaf_of(img, 257 + FILES / 2), untouched);
	assert_int_equal(missing(img->root, "file-0"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nodes_are_put_in_once, image_setup, image_teardown),
		cmocka_unit_test_setup_teardown(closure_moves_as_a_whole, image_setup,
						image_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
