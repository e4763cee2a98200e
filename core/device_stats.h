/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_stats.h - what the volume counted against each device, kept in the device tree as the kernel
 * does: item (0, PERSISTENT_ITEM, devid) with five counters. */
#ifndef CORE_DEVICE_STATS_H
#define CORE_DEVICE_STATS_H

#include "disk/base/types.h"

struct fs;
struct trans;

/* At mount, before any other thread. */
_must_check_ int device_stats_load(struct fs *fs);
/* In settle: items of those that changed. */
_must_check_ int device_stats_write(struct trans *trans);
/* What was counted is worth a commit: called before the last one. */
void device_stats_note(struct fs *fs);

#endif
