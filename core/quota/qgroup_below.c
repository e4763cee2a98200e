/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_below.c - what is below a node that has gained or lost holders and goes on.
 *
 * Who copies a shared node touches each of its children in doing so. Who gives up a whole shared
 * subtree (a deleted snapshot), or comes to share one (a new snapshot), touches its top alone: then all
 * that is below has other holders, too. So untouched children of such a node are accounted, and what is
 * below them. A node that came or went as a whole says nothing of its children.
 */
#include <errno.h>

#include "core/fs.h"
#include "core/quota/qgroup_account.h"
#include "core/trans/epoch.h"
#include "core/tree/node_cache.h"
#include "disk/base/log.h"
#include "disk/format/node.h"

/* Joins wait meanwhile. The kernel gives up on subtrees of three levels. */
#define BELOW_MAX 400000u

static bool pointer_at(const struct extent_buffer *eb, u32 slot, struct touched *ret)
{
	const struct btrfs_file_extent_item *fi;
	u64 logical;

	*ret = (struct touched){.len = eb->fs->nodesize, .level = (u8)(eb->level - 1)};
	if (eb->level) {
		ret->logical = ret->before = node_blockptr(eb->data, slot);
		return true;
	}
	fi = (const void *)leaf_data(eb->data, slot);
	if (node_key(eb->data, slot).type != BTRFS_EXTENT_DATA_KEY ||
	    fi->type == BTRFS_FILE_EXTENT_INLINE)
		return false;
	logical = get_le64(&fi->disk_bytenr);
	*ret = (struct touched){.logical = logical,
				.before = logical,
				.len = get_le64(&fi->disk_num_bytes),
				.is_data = true};
	return logical;
}

static int account_child(struct account *a, const struct touched *child)
{
	const struct root_set *before, *after;
	int r;

	if (touched_find(&a->touched, child->logical))
		return 0;
	if (++a->below > BELOW_MAX)
		return -E2BIG;
	r = touched_put(&a->touched, child);
	if (r == 0)
		r = account_extent(a, child, &before, &after);
	return r < 0 ? r : account_below(a, child, before, after);
}

static int read_node(struct fs *fs, const struct touched *t, struct extent_buffer **ret)
{
	struct node_expect want = {.logical = t->logical, .level = t->level};
	EPOCH_SCOPE(fs);

	return node_cache_read(fs, &want, ret);
}

int account_below(struct account *a, const struct touched *t, const struct root_set *before,
		  const struct root_set *after)
{
	_cleanup_eb_ struct extent_buffer *eb = NULL;
	struct touched child;
	int r;

	if (t->is_data || before == after || !before->nr || !after->nr)
		return 0;
	r = read_node(a->q->fs, t, &eb);
	for (u32 slot = 0; r == 0 && slot < node_nritems(eb->data); slot++)
		if (pointer_at(eb, slot, &child))
			r = account_child(a, &child);
	return r;
}
