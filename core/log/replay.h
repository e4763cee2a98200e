/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay.h - what a log tree says becomes part of the subvolumes. */
#ifndef CORE_LOG_REPLAY_H
#define CORE_LOG_REPLAY_H

#include "disk/base/reason.h"
#include "disk/base/types.h"

struct fs;

/* Does the superblock name a log? */
bool log_pending(const struct fs *fs);

/*
 * Replays every log, in one transaction that is durable on return and after which there is no log;
 * a no-op without one. At mount, writable, all trees loaded, before anybody else runs. On failure
 * @why names what is wrong, and nothing was written. -EUCLEAN, -ENOSPC, -EOPNOTSUPP, -EIO, -ENOMEM.
 */
_must_check_ int log_replay(struct fs *fs, struct reason *why);

#endif
