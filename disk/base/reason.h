/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reason.h - why something was refused, in one line for a person; the errno travels beside it. */
#ifndef DISK_BASE_REASON_H
#define DISK_BASE_REASON_H

#include "disk/base/types.h"

struct reason {
	char text[240];
};

/* Overwrites @why; nothing happens if @why is NULL. Too long a text is cut. */
void reason_set(struct reason *why, const char *fmt, ...) _printf_(2, 3);

#endif
