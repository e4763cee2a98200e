/* SPDX-License-Identifier: GPL-2.0-or-later */
/* size.h - bytes for people, in the units and forms of btrfs-progs 6.2. */
#ifndef FUSE_CTL_SIZE_H
#define FUSE_CTL_SIZE_H

#include <stdbool.h>
#include <stdint.h>

struct size_unit {
	bool decimal;  /* 1000 instead of 1024 */
	bool raw;      /* plain bytes */
	unsigned step; /* 0: as fits; 1 kilo, 2 mega, 3 giga, 4 tera */
};

#define SIZE_TEXT 32

/* The text, in @buf. */
const char *size_text(const struct size_unit *unit, uint64_t bytes, char buf[SIZE_TEXT]);

/* Is @word one of -b -h -H --raw --iec --si --kbytes ...? Then it is taken into @unit. */
bool size_option(const char *word, struct size_unit *unit);

#endif
