/* SPDX-License-Identifier: GPL-2.0-or-later */
/* balance_run.h - one walk over the chunks that a balance takes, in descending order of address as
 * listed at its start. */
#ifndef RELOCATION_BALANCE_RUN_H
#define RELOCATION_BALANCE_RUN_H

#include "relocation/filter.h"
#include "relocation/group.h"

/* May be read at any time. */
struct balance_counts {
	_Atomic u64 expected, considered, completed;
};

/* Moves what passes the filters (whose limits count down), with the profile that they convert to.
 * Out of space for one group does not end it: others may still fit, and then that one is tried once
 * more. Nor does something unreadable: the rest moves. -ECANCELED if stopped, else the fault that
 * ended it, -EIO if something was unreadable, -ENOSPC if a group was left for lack of space. */
_must_check_ int balance_run(struct fs *fs, struct balance_filters *filters,
			     const struct stop_flag *stop, struct balance_counts *counts);

#endif
