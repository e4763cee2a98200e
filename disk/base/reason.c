/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reason.c - see reason.h. Pure formatting into a fixed buffer; keeps errno. */
#include <stdarg.h>
#include <stdio.h>

#include "disk/base/reason.h"

void reason_set(struct reason *why, const char *fmt, ...)
{
	va_list ap;
	int saved = errno;

	if (!why)
		return;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	errno = saved;
}
