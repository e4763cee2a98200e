/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log_changes.c - see log_changes.h. */
#include "core/log/log_changes.h"

#include "disk/codec/csum.h"

#define FIRST_ROOM 64u

void log_changes_init(struct log_changes *c)
{
	mutex_init(&c->lock, RANK_CACHE);
}

void log_changes_destroy(struct log_changes *c)
{
	mutex_destroy(&c->lock);
	free(c->slots);
}

void log_changes_must_commit(struct log_changes *c, u64 transid)
{
	MUTEX_SCOPE(&c->lock);
	c->must_commit = MAX(c->must_commit, transid);
}

bool log_changes_forbid(struct log_changes *c, u64 transid)
{
	MUTEX_SCOPE(&c->lock);
	return c->must_commit >= transid;
}

static u64 mix(u64 h)
{
	h ^= h >> 31;
	h *= 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

u64 log_change_inode(u64 root_id, u64 ino)
{
	return mix(mix(root_id * 0xff51afd7ed558ccdULL) + ino) | 1;
}

u64 log_change_name(u64 root_id, u64 dir, struct name name)
{
	u64 of_name = (u64)crc32c_raw(~0u, name.s, name.len) << 32 |
		      crc32c_raw(0x5bd1e995u, name.s, name.len);

	return mix(log_change_inode(root_id, dir) ^ mix(of_name + name.len)) | 1;
}

u64 log_change_index(u64 root_id, u64 dir, u64 index)
{
	return mix(~log_change_inode(root_id, dir) ^ mix(index + 1)) | 1;
}

/* The slot that holds @hash, or the free one where it would go. */
static u64 *slot_of(u64 *slots, u32 room, u64 hash)
{
	u32 at = (u32)mix(hash) & (room - 1);

	while (slots[at] && slots[at] != hash)
		at = (at + 1) & (room - 1);
	return &slots[at];
}

static bool grow(struct log_changes *c)
{
	u32 room = c->room ? c->room * 2 : FIRST_ROOM;
	u64 *slots = calloc(room, sizeof(*slots));

	if (!slots)
		return false;
	for (u32 i = 0; i < c->room; i++)
		if (c->slots[i])
			*slot_of(slots, room, c->slots[i]) = c->slots[i];
	free(c->slots);
	c->slots = slots;
	c->room = room;
	return true;
}

/* The first change of a transaction: those of the one before do not matter any more. */
static void begin(struct log_changes *c, u64 transid)
{
	if (c->transid == transid)
		return;
	c->transid = transid;
	c->count = 0;
	c->room = 0;
	free(TAKE(c->slots));
}

void log_changes_add(struct log_changes *c, u64 transid, u64 hash)
{
	u64 *slot;

	MUTEX_SCOPE(&c->lock);
	begin(c, transid);
	if (c->must_commit >= transid)
		return;
	if (c->count >= LOG_CHANGES_MAX || (c->count * 2 >= c->room && !grow(c))) {
		c->must_commit = transid;
		return;
	}
	slot = slot_of(c->slots, c->room, hash);
	c->count += *slot == 0;
	*slot = hash;
}

bool log_changes_have(struct log_changes *c, u64 transid, u64 hash)
{
	MUTEX_SCOPE(&c->lock);
	return c->transid == transid && c->room && *slot_of(c->slots, c->room, hash) == hash;
}
