/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_nodes.c - see log_nodes.h. */
#include "core/log/log_nodes.h"

#include <sys/uio.h>

#include "core/fs.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "core/tree/node_cache.h"
#include "disk/volume/volume.h"

#define WRITE_BATCH 64

static int grow(void *list, size_t width, size_t count, size_t *room)
{
	void **v = list, *grown;
	size_t want = *room ? *room * 2 : 64;

	if (count < *room)
		return 0;
	grown = reallocarray(*v, want, width);
	if (!grown)
		return -ENOMEM;
	*v = grown;
	*room = want;
	return 0;
}

int log_nodes_add(struct log_nodes *nodes, struct extent_buffer *eb)
{
	int r = grow(&nodes->taken, sizeof(*nodes->taken), nodes->count, &nodes->room);

	if (r == 0)
		r = grow(&nodes->dirty, sizeof(*nodes->dirty), nodes->dirty_count,
			 &nodes->dirty_room);
	if (r < 0)
		return r;
	nodes->taken[nodes->count++] = eb->logical;
	eb_set(eb, EB_DIRTY);
	nodes->dirty[nodes->dirty_count++] = eb_get(eb);
	return 0;
}

void log_nodes_free(struct log_nodes *nodes)
{
	for (size_t i = 0; i < nodes->dirty_count; i++) {
		eb_clear(nodes->dirty[i], EB_DIRTY);
		eb_put(nodes->dirty[i]);
	}
	free(nodes->dirty);
	free(nodes->taken);
	*nodes = (struct log_nodes){};
}

static int by_logical(const void *a, const void *b)
{
	const struct extent_buffer *const *x = a, *const *y = b;

	return ((*x)->logical > (*y)->logical) - ((*x)->logical < (*y)->logical);
}

int log_nodes_freeze(struct fs *fs, struct log_nodes *nodes, struct log_nodes *ret)
{
	int r = 0;

	*ret = (struct log_nodes){ .dirty = TAKE(nodes->dirty),
				   .dirty_count = TAKE(nodes->dirty_count),
				   .dirty_room = TAKE(nodes->dirty_room) };
	qsort(ret->dirty, ret->dirty_count, sizeof(*ret->dirty), by_logical);
	for (size_t i = 0; r == 0 && i < ret->dirty_count; i++) {
		if (!eb_test(ret->dirty[i], EB_DIRTY)) /* freed again */
			continue;
		eb_set(ret->dirty[i], EB_WRITTEN);
		r = volume_seal_node(fs->vol, ret->dirty[i]->data);
	}
	return r;
}

/* Writes the nodes from @first on as far as they are contiguous; returns how many, or an error. */
static int write_run(struct fs *fs, const struct log_nodes *frozen, size_t first)
{
	struct iovec iov[WRITE_BATCH];
	u64 start = frozen->dirty[first]->logical;
	int n = 0, r;

	while (n < WRITE_BATCH && first + (size_t)n < frozen->dirty_count) {
		const struct extent_buffer *eb = frozen->dirty[first + (size_t)n];

		if (eb->logical != start + (u64)n * fs->nodesize || !eb_test(eb, EB_WRITTEN))
			break;
		iov[n].iov_base = eb->data;
		iov[n++].iov_len = fs->nodesize;
	}
	r = volume_write(fs->vol, start, iov, n);
	return r < 0 ? r : n;
}

int log_nodes_write(struct fs *fs, const struct log_nodes *frozen)
{
	for (size_t i = 0; i < frozen->dirty_count;) {
		int n = eb_test(frozen->dirty[i], EB_WRITTEN) ? write_run(fs, frozen, i) : 1;

		if (n < 0)
			return n;
		i += (size_t)n;
	}
	return 0;
}

int log_nodes_pin(struct trans *trans, struct log_nodes *nodes)
{
	struct fs *fs = trans->fs;
	int r = 0;

	for (size_t i = 0; r == 0 && i < nodes->count; i++) {
		node_cache_drop(fs, nodes->taken[i]);
		r = space_alloc_cancelled(trans, nodes->taken[i], fs->nodesize);
	}
	return r;
}
