/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_write.c - fan-out writes, flush, discard, and the sealing of nodes.
 * Invariant: success means that every mirror took every byte. The chunk is referenced, not locked,
 * during the I/O.
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

static int write_mirrors(struct volume *vol, const struct chunk *chunk, u64 logical,
			 const struct iovec *iov, int cnt)
{
	int ret = 0;

	for (unsigned m = 0; m < chunk_mirrors(chunk); m++) {
		u64 physical = chunk_physical(chunk, m, logical);
		int err = device_writev(vol->dev, iov, cnt, physical);

		if (!err)
			continue;
		stat_add(&vol->stats.write_errors);
		log_fault("writing address %llu mirror %u (device offset %llu): %s",
			  (unsigned long long)logical, m + 1, (unsigned long long)physical,
			  strerror(-err));
		ret = err;
	}
	return ret;
}

/* A list of buffers, consumed from the front. */
struct cursor {
	const struct iovec *iov;
	int cnt;
	size_t used; /* of iov[0] */
};

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

/* The rare write that spans chunks, in pieces. */
static int write_pieces(struct volume *vol, u64 logical, const struct iovec *iov, int cnt)
{
	struct cursor c = {iov, cnt, 0};

	while (c.cnt) {
		_cleanup_chunk_ struct chunk *chunk = chunk_map_find(&vol->chunks, logical);
		struct iovec piece[PIECE_IOVS];
		u64 bytes;
		int n, err;

		if (!chunk) {
			log_fault("write to address %llu, which is in no chunk",
				  (unsigned long long)logical);
			return -EIO;
		}
		n = cursor_take(&c, piece, chunk->logical + chunk->length - logical, &bytes);
		err = write_mirrors(vol, chunk, logical, piece, n);
		if (err)
			return err;
		logical += bytes;
	}
	return 0;
}

int volume_write(struct volume *vol, u64 logical, const struct iovec *iov, int cnt)
{
	_cleanup_chunk_ struct chunk *chunk = chunk_map_find(&vol->chunks, logical);
	u64 len = 0;

	for (int i = 0; i < cnt; i++)
		len += iov[i].iov_len;
	if (vol->readonly)
		return -EROFS;
	if (chunk && len <= chunk->logical + chunk->length - logical)
		return write_mirrors(vol, chunk, logical, iov, cnt);
	return write_pieces(vol, logical, iov, cnt);
}

int volume_pwrite_inplace(struct volume *vol, u64 logical, const void *buf, u64 len)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};

	return volume_write(vol, logical, &iov, 1);
}

int volume_flush(struct volume *vol)
{
	int err = device_flush(vol->dev);

	if (err) {
		stat_add(&vol->stats.flush_errors);
		log_fault("flushing %s: %s", vol->dev->path, strerror(-err));
	}
	return err;
}

int volume_discard(struct volume *vol, u64 logical, u64 len)
{
	int ret = 0;

	while (len) {
		_cleanup_chunk_ struct chunk *chunk = chunk_map_find(&vol->chunks, logical);
		u64 n;

		if (!chunk)
			return -EIO;
		n = MIN(len, chunk->logical + chunk->length - logical);
		for (unsigned m = 0; m < chunk_mirrors(chunk); m++) {
			int err = device_discard(vol->dev, chunk_physical(chunk, m, logical), n);

			ret = err ? err : ret;
		}
		logical += n;
		len -= n;
	}
	return ret;
}
