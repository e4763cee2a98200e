/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parity.h - P and Q of RAID5/6, through ISA-L. P is the exclusive or of the data units; Q is the
 * sum of 2^i * unit i in GF(256) with polynomial 0x11d, as Linux has it. Pure.
 * Units are given as @data data units, then P, then Q (if @parities is 2); each has @len bytes and
 * is 32-byte aligned, @len is a multiple of 32.
 */
#ifndef DISK_CODEC_PARITY_H
#define DISK_CODEC_PARITY_H

#include "disk/base/types.h"

#define PARITY_UNITS_MAX 255

void parity_generate(unsigned data, unsigned parities, size_t len, u8 *const *unit);

bool parity_matches(unsigned data, unsigned parities, size_t len, u8 *const *unit);

/* Computes the units that are marked in @bad from the others. -EIO: more are bad than there are
 * parities; -ENOMEM. Other data units are not touched. */
_must_check_ int parity_recover(unsigned data, unsigned parities, size_t len, u8 *const *unit,
				const bool *bad);

#endif
