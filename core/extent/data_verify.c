/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * data_verify.c - see data_verify.h. A checksum that is in the tree speaks of what is on the device:
 * it is inserted after the data was written, and deleted before the space can be written again.
 */
#include "core/extent/data_verify.h"

#include "core/extent/csum_tree.h"
#include "core/fs.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume.h"

static enum sector_verdict verify_sector(void *ctx, u64 logical, const void *sector)
{
	struct fs *fs = ctx;
	u8 want[CSUM_SIZE_MAX], got[CSUM_SIZE_MAX];

	if (csum_lookup(fs, logical, fs->sectorsize, want, NULL) != 1)
		return SECTOR_UNKNOWN;
	csum_compute(fs->csum_type, sector, fs->sectorsize, got);
	return memcmp(want, got, fs->csum_size) ? SECTOR_BAD : SECTOR_GOOD;
}

void data_verify_start(struct fs *fs)
{
	if (!fs->readonly)
		volume_set_verify(fs->vol, verify_sector, fs);
}
