/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sync_schedule.h - between sync_point.c and sync_schedule.c. Test builds only. */
#ifndef DISK_BASE_SYNC_SCHEDULE_H
#define DISK_BASE_SYNC_SCHEDULE_H

#include "disk/base/types.h"

extern bool sync_schedule_on; /* atomic */

/* From now on chance decides who goes on; with @fail also what fails. False: no thread for it. */
bool sync_schedule_start(u64 seed, bool fail);
/* Lets everybody go. How often somebody was let go, in all runs. */
u64 sync_schedule_stop(void);
u64 sync_schedule_picks(void);

/* Parks the calling thread until it is chosen; then 0, or with @may_fail a negative errno. */
_must_check_ int sync_schedule_pass(const char *name, bool may_fail);

#endif
