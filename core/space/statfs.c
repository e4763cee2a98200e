/* SPDX-License-Identifier: GPL-2.0-or-later */
/* statfs.c - total, free and available bytes as statfs(2) of the kernel's btrfs computes them, so that
 * df shows the same on both. Facts: btrfs documentation on df; measured against 6.18.
 *
 * Free: the device less what is used, raw, over the copies of the data profile, less the global
 * reserve. Available: free bytes of data groups and the device room for more of them; 0 when metadata
 * is at its end and no group can be made.
 */
#include "core/fs.h"
#include "core/space/raid_profile.h"
#include "core/space/space_impl.h"

#define META_END MIB(4)

static unsigned copies_of(u64 profile)
{
	const struct raid_profile *p = raid_profile_of(profile);

	return p ? p->copies : 1;
}

/* Device bytes in no chunk, less what is never allocated. */
static u64 unallocated(struct fs *fs)
{
	u64 total = get_le64(&fs->super.dev_item.total_bytes), used = 0, at = 0, room;

	for (;;) {
		_cleanup_group_ struct block_group *bg = block_group_next(fs, at);

		if (!bg)
			break;
		at = bg->logical + bg->length;
		used += bg->length * copies_of(bg->flags);
	}
	room = total > used ? ALIGN_DOWN(total - used, KIB(64)) : 0;
	return room > MIB(1) + KIB(64) ? room - MIB(1) : 0;
}

void space_statfs(struct fs *fs, struct space_stat *ret)
{
	struct space *s = fs->space;
	const struct space_info *data = &s->info[SPACE_DATA], *meta = &s->info[SPACE_METADATA];
	u64 room = unallocated(fs), raw_used = 0, meta_free;
	unsigned copies;

	MUTEX_SCOPE(&s->lock);
	copies = copies_of(data->profile);
	for (int k = 0; k < SPACE_KINDS; k++)
		raw_used += s->info[k].used * copies_of(s->info[k].profile);
	ret->total_bytes = get_le64(&fs->super.total_bytes) / copies;
	ret->free_bytes = ret->total_bytes - MIN(ret->total_bytes, raw_used / copies);
	ret->free_bytes -= MIN(ret->free_bytes, s->global_reserve);
	ret->avail_bytes = data->total - data->used - MIN(data->readonly, data->total - data->used);
	ret->avail_bytes += room / copies;
	meta_free = (meta->total - meta->used) * copies_of(meta->profile);
	if (chunk_meta_room(s) == 0 &&
	    (meta_free < META_END || meta_free - META_END < s->global_reserve))
		ret->avail_bytes = 0;
}
