/* SPDX-License-Identifier: GPL-2.0-or-later */
/* name.h - a name in a directory or of an xattr: bytes with a length, no terminator. */
#ifndef CORE_INODE_NAME_H
#define CORE_INODE_NAME_H

#include <string.h>

#include "disk/base/types.h"

struct name {
	const char *s;
	u16 len;
};

/* Lengths above 65535 become 65535, which every check refuses. */
static inline struct name name_of(const char *s)
{
	size_t len = strlen(s);

	return (struct name){ .s = s, .len = len > 65535 ? 65535 : (u16)len };
}

static inline bool name_equal(struct name a, struct name b)
{
	return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

#endif
