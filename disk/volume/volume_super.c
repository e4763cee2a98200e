/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_super.c - writing superblocks, and which logical ranges they occupy.
 * Order between primary, flush and copies is the commit's; here each copy just gets its own address
 * and checksum.
 */
#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume_internal.h"

static void super_seal(const struct volume *vol, struct btrfs_super_block *sb, u64 offset)
{
	put_le64(&sb->bytenr, offset);
	memset(sb->csum, 0, sizeof(sb->csum));
	csum_block(vol->csum_type, sb, SUPER_SIZE, sb->csum);
}

static int write_primary(struct volume *vol, struct member *m, struct btrfs_super_block *buf)
{
	struct reason why = {0};
	int err;

	super_seal(vol, buf, SUPER_OFFSET);
	err = check_super(buf, SUPER_OFFSET, &why);
	if (err) {
		log_fault("refusing to write a bad superblock: %s", why.text);
		return err;
	}
	err = member_write(m, buf, SUPER_SIZE, SUPER_OFFSET);
	if (!err)
		return 0;
	stat_add(&vol->stats.write_errors);
	log_fault("writing the primary superblock of %s: %s", m->dev->path, strerror(-err));
	return volume_give_up(vol, m) ? err : 0;
}

static int write_copies(struct volume *vol, struct member *m, struct btrfs_super_block *buf)
{
	for (unsigned copy = 1; copy < SUPER_COPIES_MAX; copy++) {
		u64 offset = super_offset(copy);
		int err;

		if (offset + SUPER_SIZE > device_size(m->dev) ||
		    offset + SUPER_SIZE > get_le64(&buf->dev_item.total_bytes))
			break;
		super_seal(vol, buf, offset);
		err = member_write(m, buf, SUPER_SIZE, offset);
		if (!err)
			continue;
		stat_add(&vol->failed_super_copies);
		log_fault("writing the superblock copy of %s at %llu: %s", m->dev->path,
			  (unsigned long long)offset, strerror(-err));
	}
	return 0;
}

/* The superblock as this device has it. */
static void super_for(struct volume *vol, const struct member *m, struct btrfs_super_block *buf)
{
	MUTEX_SCOPE(&vol->item_lock);
	buf->dev_item = m->frozen;
	put_le64(&buf->dev_item.generation, 0);
}

int volume_write_super(struct volume *vol, struct btrfs_super_block *sb, enum super_which which)
{
	_cleanup_buffer_ struct btrfs_super_block *buf = buffer_get(SUPER_SIZE);
	unsigned count = volume_device_count(vol);

	if (!buf)
		return -ENOMEM;
	if (vol->readonly)
		return -EROFS;
	for (unsigned i = 0; i < count; i++) {
		struct member *m = vol->members[i];
		int err;

		if (!member_usable(m) || m->seed)
			continue;
		*buf = *sb;
		super_for(vol, m, buf);
		err = which == SUPER_PRIMARY ? write_primary(vol, m, buf) : write_copies(vol, m, buf);
		if (err)
			return err;
	}
	super_seal(vol, sb, SUPER_OFFSET);
	if (which == SUPER_PRIMARY)
		__atomic_store_n(&vol->generation, get_le64(&sb->generation), __ATOMIC_RELEASE);
	return 0;
}

/* The logical range of a chunk that is on superblock copy @copy by way of stripe @stripe; false: none. */
static bool super_range(const struct chunk *chunk, unsigned stripe, unsigned copy, u64 *logical,
			u64 *len)
{
	u64 physical = chunk->stripes[stripe].physical, offset = super_offset(copy);

	if (offset < physical || offset - physical >= chunk_stripe_bytes(chunk))
		return false;
	stripe_map_reverse(chunk, stripe, ALIGN_DOWN(offset - physical, STRIPE_LEN), logical, len);
	return *len > 0;
}

/* Stripes of a mirror are often at the same place of their devices: one range, then. */
static bool range_seen(const struct chunk *chunk, unsigned stripes, u64 logical)
{
	for (unsigned i = 0; i < stripes; i++)
		for (unsigned copy = 0; copy < SUPER_COPIES_MAX; copy++) {
			u64 other, len;

			if (super_range(chunk, i, copy, &other, &len) && other == logical)
				return true;
		}
	return false;
}

void volume_super_stripes(struct volume *vol, const struct chunk *chunk,
			  void (*cb)(void *ctx, u64 logical, u64 len), void *ctx)
{
	/* the kernel keeps the first 64 KiB of the address space free too */
	if (chunk->logical < SUPER_OFFSET)
		cb(ctx, chunk->logical, MIN(SUPER_OFFSET - chunk->logical, chunk->length));
	for (u16 i = 0; i < chunk->num_stripes; i++)
		for (unsigned copy = 0; copy < SUPER_COPIES_MAX; copy++) {
			u64 logical, len;

			if (super_range(chunk, i, copy, &logical, &len) &&
			    !range_seen(chunk, i, logical))
				cb(ctx, logical, len);
		}
}
