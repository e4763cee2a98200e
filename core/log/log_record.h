/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log_record.h - what is to be logged of one inode, copied out of the trees. Private to core/log.
 *
 * Attributes are those in memory. Names and xattrs are always complete: whoever replays takes away those
 * that the log does not have. Extents are those that changed since the last time, and holes are told
 * as such. Directories above that did not exist before this transaction come along, so that the names have
 * a place.
 */
#ifndef CORE_LOG_LOG_RECORD_H
#define CORE_LOG_LOG_RECORD_H

#include <linux/btrfs_tree.h>

#include "core/log/log_items.h"
#include "core/log/log_ranges.h"

struct inode;
struct log_changes;

#define LOG_RECORD_MAX MIB(4)

struct log_record {
	struct inode *inode;
	u64 transid;
	u64 sequence;
	struct btrfs_inode_item item;
	struct log_items names;
	u32 digest;
	struct log_items above;
	u64 hole_end; /* holes behind the file's end are not told */
	struct log_ranges replaced; /* what @extents says all about */
	struct log_items extents;
	struct log_items csums;
};

void log_record_free(struct log_record *rec);
#define _cleanup_log_record_ _cleanup_(log_record_free)

/*
 * Fills in @rec, whose inode and transid are set. The inode and all of its range are locked, so nothing
 * but relocation changes it. @known_digest: the names that this transaction's log has already; they
 * need no look at what is above. 0; 1: fsync has to commit; -EIO, -ENOMEM, -EUCLEAN.
 */
_must_check_ int log_record_fill(struct log_record *rec, struct log_changes *changes,
				 const u32 *known_digest);

/* All items, and their bytes. */
u64 log_record_items(const struct log_record *rec);
u64 log_record_bytes(const struct log_record *rec);

#endif
