/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_write.c - fan-out writes, flush, discard, and the sealing of nodes.
 * Invariant: success means that every copy took every byte, or its device is no longer counted on.
 * The chunk is referenced, not locked, during the I/O. Parity: parity_write.c.
 */
#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume_internal.h"

#define PIECE_IOVS 64

int volume_seal_node(struct volume *vol, void *node)
{
	struct check_env env = volume_env(vol);
	struct reason why = {0};
	int err;

	if (!(node_flags(node) & BTRFS_HEADER_FLAG_WRITTEN)) /* others may be reading it */
		node_set_flags(node, node_flags(node) | BTRFS_HEADER_FLAG_WRITTEN);
	err = check_node(&env, node, &why);
	if (err) {
		log_fault("refusing to write a bad node: %s", why.text);
		return err;
	}
	memset(node, 0, BTRFS_CSUM_SIZE);
	csum_block(vol->csum_type, node, vol->nodesize, node);
	return 0;
}

int volume_write_stripe(struct volume *vol, const struct chunk *chunk, unsigned stripe, u64 offset,
			const struct iovec *iov, int cnt)
{
	struct member *m = stripe_member(vol, chunk, stripe);
	u64 physical = chunk->stripes[stripe].physical + offset;
	int err;

	if (!member_usable(m) || m->seed)
		return 1;
	err = member_writev(m, iov, cnt, physical);
	if (!err)
		return 0;
	stat_add(&vol->stats.write_errors);
	log_fault("writing chunk %llu stripe %u (device %llu offset %llu): %s",
		  (unsigned long long)chunk->logical, stripe, (unsigned long long)m->devid,
		  (unsigned long long)physical, strerror(-err));
	return volume_give_up(vol, m) ? err : 1;
}

/* To all copies of one run; one at least must have it. */
static int write_copies(struct volume *vol, const struct chunk *chunk, const struct stripe_run *run,
			const struct iovec *iov, int cnt)
{
	unsigned written = 0;
	int ret = 0;

	for (unsigned i = 0; i < run->copies; i++) {
		int r = volume_write_stripe(vol, chunk, run->first + i, run->offset, iov, cnt);

		written += r == 0;
		ret = r < 0 ? r : ret;
	}
	return !ret && !written ? -EIO : ret;
}

/* Moves at most @max bytes into @piece; the number of entries, *@bytes says how much. */
static int cursor_take(struct cursor *c, struct iovec *piece, u64 max, u64 *bytes)
{
	int n = 0;

	*bytes = 0;
	while (c->cnt && n < PIECE_IOVS && *bytes < max) {
		size_t len = (size_t)MIN((u64)(c->iov->iov_len - c->used), max - *bytes);

		piece[n++] = (struct iovec){(u8 *)c->iov->iov_base + c->used, len};
		*bytes += len;
		c->used += len;
		if (c->used == c->iov->iov_len) {
			c->iov++;
			c->cnt--;
			c->used = 0;
		}
	}
	return n;
}

/* @len bytes inside one chunk. */
static int write_in_chunk(struct volume *vol, const struct chunk *chunk, u64 logical, u64 len,
			  struct cursor *c)
{
	while (len) {
		struct stripe_run run = stripe_run_at(chunk, logical, len);
		struct iovec piece[PIECE_IOVS];
		u64 bytes;
		int n = cursor_take(c, piece, run.len, &bytes);
		int err = write_copies(vol, chunk, &run, piece, n);

		if (err)
			return err;
		logical += bytes;
		len -= bytes;
	}
	return 0;
}

static int write_range(struct volume *vol, u64 logical, u64 len, struct cursor *c)
{
	while (len) {
		_cleanup_chunk_ struct chunk *chunk = chunk_map_find(&vol->chunks, logical);
		u64 n;
		int err;

		if (!chunk) {
			log_fault("write to address %llu, which is in no chunk",
				  (unsigned long long)logical);
			return -EIO;
		}
		n = MIN(len, chunk->logical + chunk->length - logical);
		err = stripe_map_has_parity(chunk) ? parity_write(vol, chunk, logical, n, c) :
						     write_in_chunk(vol, chunk, logical, n, c);
		if (err)
			return err;
		logical += n;
		len -= n;
	}
	return 0;
}

int volume_write(struct volume *vol, u64 logical, const struct iovec *iov, int cnt)
{
	struct cursor c = {iov, cnt, 0};
	u64 len = 0;

	for (int i = 0; i < cnt; i++)
		len += iov[i].iov_len;
	return vol->readonly ? -EROFS : write_range(vol, logical, len, &c);
}

int volume_pwrite_inplace(struct volume *vol, u64 logical, const void *buf, u64 len)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};

	return volume_write(vol, logical, &iov, 1);
}

static int flush_member(struct volume *vol, struct member *m)
{
	int err;

	if (!member_usable(m) || m->seed)
		return 0;
	err = device_flush(m->dev);
	if (!err)
		return 0;
	stat_add(&vol->stats.flush_errors);
	member_count(m, DEVICE_FLUSH_ERROR);
	log_fault("flushing %s: %s", m->dev->path, strerror(-err));
	return volume_give_up(vol, m) ? err : 0;
}

int volume_flush(struct volume *vol)
{
	unsigned count = volume_device_count(vol);
	int ret = 0;

	for (unsigned i = 0; i < count; i++) {
		int err = flush_member(vol, vol->members[i]);

		ret = ret ? ret : err;
	}
	return ret;
}

static int discard_run(struct volume *vol, const struct chunk *chunk, const struct stripe_run *run)
{
	int ret = 0;

	for (unsigned i = 0; i < run->copies; i++) {
		struct member *m = stripe_member(vol, chunk, run->first + i);
		int err = 0;

		if (member_usable(m) && !m->seed)
			err = device_discard(m->dev,
					     chunk->stripes[run->first + i].physical + run->offset,
					     run->len);
		ret = err ? err : ret;
	}
	return ret;
}

/* Parity would no longer match: rows are left as they are. */
int volume_discard(struct volume *vol, u64 logical, u64 len)
{
	int ret = 0;

	while (len) {
		_cleanup_chunk_ struct chunk *chunk = chunk_map_find(&vol->chunks, logical);
		struct stripe_run run;
		int err;

		if (!chunk)
			return -EIO;
		run = stripe_run_at(chunk, logical, len);
		err = stripe_map_has_parity(chunk) ? -EOPNOTSUPP : discard_run(vol, chunk, &run);
		ret = err ? err : ret;
		logical += run.len;
		len -= run.len;
	}
	return ret;
}
