/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_nodes.h - the nodes of log trees.
 *
 * They stand outside of the extent tree: no extent items, no references, owner TREE_LOG. An
 * address that was handed out in a transaction stays taken until that transaction, whose
 * commit makes the log obsolete, is durable. A node that a log sync has written is never changed again:
 * the copy goes to a new address. Lock: the tree log's mutex.
 */
#ifndef CORE_LOG_LOG_NODES_H
#define CORE_LOG_LOG_NODES_H

#include "core/tree/extent_buffer.h"

struct trans;

struct log_nodes {
	u64 *taken; /* every address handed out in this transaction */
	size_t count, room;
	struct extent_buffer **dirty; /* referenced; to be written by the next sync */
	size_t dirty_count, dirty_room;
};

/* @eb is new: its address is noted, and the next sync writes it. -ENOMEM. */
_must_check_ int log_nodes_add(struct log_nodes *nodes, struct extent_buffer *eb);

/* Hands over what is to be written, sorted by address, sealed, and frozen for ever. */
_must_check_ int log_nodes_freeze(struct fs *fs, struct log_nodes *nodes, struct log_nodes *ret);
_must_check_ int log_nodes_write(struct fs *fs, const struct log_nodes *frozen);

/* Settle: the transaction that is about to be written makes all of them obsolete. -ENOMEM, -EUCLEAN. */
_must_check_ int log_nodes_pin(struct trans *trans, struct log_nodes *nodes);

void log_nodes_free(struct log_nodes *nodes);
#define _cleanup_log_nodes_ _cleanup_(log_nodes_free)

#endif
