/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * write_compressed.c - buffered content into compressed extents.
 *
 * A batch of pieces, cut at multiples of 128 KiB in the file so that later reads meet whole extents,
 * is compressed and checksummed on all cores; then, in order, neighbours that shrank get space and
 * go out in one write, and what did not shrink becomes a plain extent. A piece must save a sector.
 * When one does not although it looked promising, the file is not tried again (NOCOMPRESS), unless
 * the property or compress-force insist. Each piece's promise of space covers it uncompressed; what
 * it did not need is given back once it is mapped.
 */
#include "core/file/promise.h"
#include "core/file/write_run.h"
#include "core/fs.h"
#include "core/inode/compression.h"
#include "disk/base/buffer.h"
#include "disk/base/sync_point.h"
#include "disk/base/work_pool.h"
#include "disk/codec/compress.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume.h"

#define BATCH 32

struct piece {
	const struct write_run *run;
	const struct compression_choice *choice;
	u64 start, end;
	u8 *packed;    /* NULL: plain */
	u32 disk_len;  /* of packed, whole sectors */
	u8 *csums;
	bool stubborn; /* did not shrink although it was tried */
};

static void piece_put(struct piece *p)
{
	buffer_put(TAKE(p->packed));
	buffer_put(TAKE(p->csums));
}

/* ---- compressing: on any core ---- */

static void csum_sectors(const struct fs *fs, const u8 *data, u32 len, u8 *out)
{
	for (u32 at = 0; at < len; at += fs->sectorsize, out += fs->csum_size) {
		u8 one[CSUM_SIZE_MAX];

		csum_compute(fs->csum_type, data + at, fs->sectorsize, one);
		memcpy(out, one, fs->csum_size);
	}
}

/* The stream becomes an extent: zeroes up to the sector's end, checksums. */
static void piece_seal(struct piece *p, u8 *packed, u32 len)
{
	const struct fs *fs = p->run->inode->fs;
	u32 disk_len = ALIGN_UP(len, fs->sectorsize);
	u8 *csums = buffer_get((size_t)disk_len / fs->sectorsize * fs->csum_size);

	if (!csums) {
		buffer_put(packed);
		return;
	}
	memset(packed + len, 0, disk_len - len);
	csum_sectors(fs, packed, disk_len, csums);
	p->packed = packed;
	p->disk_len = disk_len;
	p->csums = csums;
}

/* Without memory a piece stays plain. */
static void pack(struct piece *p, const u8 *data, u32 len)
{
	const struct compression_choice *c = p->choice;
	u32 ss = p->run->inode->fs->sectorsize;
	u8 *packed;
	int n;

	if (len <= ss || (!c->force && !compress_promising(data, len)))
		return;
	packed = buffer_get(COMPRESS_MAX);
	if (!packed)
		return;
	n = compress_data(c->type, c->level, ss, data, len, packed, len - ss);
	p->stubborn = n == 0;
	if (n > 0)
		piece_seal(p, packed, (u32)n);
	else
		buffer_put(packed);
}

static void piece_pack(void *item)
{
	struct piece *p = item;
	u64 len = p->end - p->start;
	_cleanup_buffer_ u8 *gathered = NULL;
	struct iovec iov[RUN_IOV_MAX];
	int n = write_run_slice(p->run, p->start, p->end, iov);

	if (n == 1) {
		pack(p, iov[0].iov_base, (u32)len);
		return;
	}
	gathered = buffer_get(len);
	if (!gathered)
		return;
	for (u64 i = 0, at = 0; i < (u64)n; at += iov[i++].iov_len)
		memcpy(gathered + at, iov[i].iov_base, iov[i].iov_len);
	pack(p, gathered, (u32)len);
}

/* ---- writing: in order ---- */

static int place(struct write_run *run, const struct piece *p, struct new_extent *e)
{
	int r;

	*e = (struct new_extent){.start = p->start, .end = p->end, .compression = p->choice->type};
	r = space_alloc_data(run->inode->fs, p->disk_len, p->disk_len, &e->at);
	if (r == 0) {
		run->promised -= p->disk_len;
		e->group = e->at.bg->logical;
	}
	return r;
}

/* Pieces from the first on that are compressed and get space. */
static int place_all(struct write_run *run, struct piece *p, int n, struct new_extent *e, int *ret)
{
	int i = 0, r = 0;

	while (i < n && p[i].packed) {
		r = place(run, &p[i], &e[i]);
		if (r < 0)
			break;
		e[i].csums = TAKE(p[i].csums);
		SP("wr.alloc", .ino = run->inode->ino, .root = run->inode->root->id,
		   .off = p[i].start, .len = p[i].end - p[i].start, .bytenr = e[i].at.logical,
		   .bg = e[i].group);
		i++;
	}
	*ret = i;
	return r == -ENOSPC || i ? 0 : r;
}

/* As many of the placed pieces as lie one behind the other on the device go out at once. */
static int write_out(struct write_run *run, const struct piece *p, const struct new_extent *e,
		     int n)
{
	struct iovec iov[BATCH];
	int r = SP_FAIL("wr.io_pre", .ino = run->inode->ino, .root = run->inode->root->id,
			.off = p[0].start, .bytenr = e[0].at.logical);

	for (int i = 0, k; r == 0 && i < n; i += k) {
		u64 next = e[i].at.logical;

		for (k = 0; i + k < n && e[i + k].at.logical == next; k++) {
			iov[k] = (struct iovec){p[i + k].packed, p[i + k].disk_len};
			next += p[i + k].disk_len;
		}
		r = volume_write(run->inode->fs->vol, e[i].at.logical, iov, k);
	}
	return r;
}

/* Maps one and gives back the promise that it did not need. */
static int map(struct write_run *run, struct new_extent *e)
{
	u64 spare = e->end - e->start - e->at.len;
	int r = new_extent_map(run, e);

	if (r < 0)
		return r;
	data_unpromise(run->inode, spare);
	run->promised -= spare;
	return 0;
}

/* Compressed pieces from @p on: how many were written, 0 if there is no space in one piece. */
static int write_packed(struct write_run *run, struct piece *p, int n)
{
	struct new_extent e[BATCH];
	int placed, r = place_all(run, p, n, e, &placed);

	if (placed)
		r = write_out(run, p, e, placed);
	for (int i = 0; i < placed; i++) {
		if (r == 0)
			r = map(run, &e[i]);
		new_extent_put(run->inode, &e[i]);
	}
	return r < 0 ? r : placed;
}

static int write_plain(struct write_run *run, u64 end)
{
	int r = 0;

	while (r == 0 && run->pos < end)
		r = write_cow(run, end - run->pos);
	return r;
}

static int write_pieces(struct write_run *run, struct piece *p, int n)
{
	for (int i = 0; i < n;) {
		int done = p[i].packed ? write_packed(run, p + i, n - i) : 0, r;

		if (done < 0)
			return done;
		i += done;
		if (done)
			continue;
		do
			i++;
		while (i < n && !p[i].packed);
		r = write_plain(run, p[i - 1].end);
		if (r < 0)
			return r;
	}
	return 0;
}

static int cut_pieces(const struct write_run *run, const struct compression_choice *c,
		      struct piece *p)
{
	u64 at = run->pos;
	int n = 0;

	while (at < run->end && n < BATCH) {
		u64 end = MIN(run->end, ALIGN_DOWN(at, COMPRESS_MAX) + COMPRESS_MAX);

		p[n++] = (struct piece){.run = run, .choice = c, .start = at, .end = end};
		at = end;
	}
	return n;
}

int write_compressed(struct write_run *run)
{
	struct compression_choice c;
	struct piece p[BATCH];
	bool stubborn = false;
	int n, r;

	if (run->end - run->pos <= run->inode->fs->sectorsize || !compression_choose(run->inode, &c))
		return 0;
	n = cut_pieces(run, &c, p);
	work_pool_run(run->inode->fs->workers, piece_pack, p, sizeof(*p), (size_t)n);
	for (int i = 0; i < n; i++)
		stubborn |= p[i].stubborn;
	if (stubborn && !c.forgive)
		compression_give_up(run->inode);
	compression_announce(run->inode->fs, c.type);
	r = write_pieces(run, p, n);
	for (int i = 0; i < n; i++)
		piece_put(&p[i]);
	return r < 0 ? r : 1;
}
