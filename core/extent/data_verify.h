/* SPDX-License-Identifier: GPL-2.0-or-later */
/* data_verify.h - tells the volume whether a sector of data is what its checksum says, so that parity
 * is never computed from bad data. */
#ifndef CORE_EXTENT_DATA_VERIFY_H
#define CORE_EXTENT_DATA_VERIFY_H

struct fs;

/* When the checksum tree is there. */
void data_verify_start(struct fs *fs);

#endif
