/* SPDX-License-Identifier: GPL-2.0-or-later */
/* epoch.h - who may still be looking at space that was freed.
 *
 * A reader enters an epoch before it looks a mapping up and leaves it when the bytes are in its
 * buffer. Space freed by a transaction is handed out again only when that transaction is durable
 * and every epoch that was entered before then is over.
 *
 * Inside an epoch a thread may do device I/O and take tree locks; it never waits for an inode, a
 * range or a join, so waiting for epochs always ends.
 */
#ifndef CORE_TRANS_EPOCH_H
#define CORE_TRANS_EPOCH_H

#include "disk/base/types.h"

struct fs;
struct epochs;

struct epoch {
	struct fs *fs;
	unsigned slot;
};

int epochs_create(struct epochs **ret) _must_check_;
void epochs_destroy(struct epochs *e);

/* Never fails; lock-free unless more than 1,024 epochs are open at once. */
struct epoch epoch_enter(struct fs *fs);
void epoch_exit(struct epoch *e);

/* Starts a new epoch and returns its number: what was visible only before is over once
 * epoch_passed() says so. */
u64 epoch_advance(struct fs *fs);
bool epoch_passed(struct fs *fs, u64 number);

#define EPOCH_SCOPE(fs) \
	_cleanup_(epoch_exit) struct epoch _epoch_scope __attribute__((unused)) = epoch_enter(fs)

#endif
