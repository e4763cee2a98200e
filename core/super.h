/* SPDX-License-Identifier: GPL-2.0-or-later */
/* super.h - what the superblock asks of us, and what a commit puts into it. */
#ifndef CORE_SUPER_H
#define CORE_SUPER_H

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct fs;

/* Refuses features and pending work that this version cannot honour, naming them.
 * @readonly may be turned on by an unknown compat_ro bit. -EOPNOTSUPP. */
_must_check_ int super_check_features(struct fs *fs, struct reason *why);

/* Rescue: puts the roots of the newest backup older than *@below into fs->super; *@below becomes its
 * generation. False: there is none. */
bool super_use_backup(struct fs *fs, u64 *below);

/* Fills roots, generation and the next backup slot of fs->super for the transaction @transid.
 * Settle is over: roots do not change any more. */
void super_prepare(struct fs *fs, u64 transid);

#endif
