/* SPDX-License-Identifier: GPL-2.0-or-later */
/* extent_batch.c - see extent_batch.h. */
#include "relocation/extent_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "core/extent/csum_tree.h"
#include "core/fs.h"
#include "disk/base/buffer.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"
#include "disk/volume/volume.h"

#define COPY_BYTES MIB(4)
#define HOLDERS_SHOWN 4

void extent_batch_init(struct extent_batch *b, struct fs *fs)
{
	*b = (struct extent_batch){ .fs = fs };
}

static void give_back(struct fs *fs, struct moved_extent *e)
{
	if (!e->to.bg || !GUARD(give_back))
		return;
	space_data_alloc_undo(fs, e->to.logical, e->to.len);
	block_group_reservation_put(TAKE(e->to.bg));
}

void extent_batch_free(struct extent_batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct moved_extent *e = &b->v[i];

		give_back(b->fs, e);
		ref_list_free(&e->refs);
		free(e->csums);
		free(e->present);
	}
	free(b->v);
	*b = (struct extent_batch){ .fs = b->fs };
}

int extent_batch_add(struct extent_batch *b, const struct extent_info *info)
{
	if (b->count == b->room) {
		size_t room = b->room ? b->room * 2 : 64;
		struct moved_extent *v = reallocarray(b->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		b->v = v;
		b->room = room;
	}
	b->v[b->count++] = (struct moved_extent){ .from = info->logical, .len = info->length };
	b->bytes += info->length;
	b->refs += info->refs;
	return 0;
}

static int by_from(const void *key, const void *element)
{
	u64 from = *(const u64 *)key;
	const struct moved_extent *e = element;

	return (from > e->from) - (from < e->from);
}

struct moved_extent *extent_batch_find(struct extent_batch *b, u64 logical)
{
	return b->count ? bsearch(&logical, b->v, b->count, sizeof(*b->v), by_from) : NULL;
}

static int read_csums(struct fs *fs, struct moved_extent *e)
{
	size_t sectors = e->len / fs->sectorsize;
	int n;

	e->csums = calloc(sectors, fs->csum_size);
	e->present = calloc(sectors, sizeof(*e->present));
	if (!e->csums || !e->present)
		return -ENOMEM;
	n = csum_lookup(fs, e->from, e->len, e->csums, e->present);
	e->any_csum = n > 0;
	return n < 0 ? n : 0;
}

static int place(struct fs *fs, struct moved_extent *e)
{
	int r = space_reserve_data(fs, e->len);

	if (r < 0)
		return r;
	/* one piece: file extents would have to be split otherwise, in every snapshot */
	r = space_alloc_data(fs, e->len, e->len, &e->to);
	if (r < 0)
		space_release_data(fs, e->len);
	return r;
}

/* Says also whose it is, as far as that stands beside the extent. */
static void report_unreadable(struct fs *fs, const struct moved_extent *e, u64 at, int err)
{
	struct ref_list refs = {};
	int r = extent_refs_list(fs, e->from, &refs);

	log_fault("relocation: extent %llu (%llu bytes) is unreadable at %llu: %s",
		  (unsigned long long)e->from, (unsigned long long)e->len, (unsigned long long)at,
		  strerror(-err));
	for (u32 i = 0; r == 0 && i < MIN(refs.count, (u32)HOLDERS_SHOWN); i++)
		if (refs.v[i].ref.kind == REF_DATA)
			log_info("extent %llu belongs to tree %llu inode %llu",
				 (unsigned long long)e->from,
				 (unsigned long long)refs.v[i].ref.root,
				 (unsigned long long)refs.v[i].ref.ino);
	ref_list_free(&refs);
}

/* One stretch of an extent; the source is read with its checksums, which then go along. */
static int copy_stretch(struct fs *fs, struct moved_extent *e, u64 off, u64 len, void *buf)
{
	size_t sector = off / fs->sectorsize;
	struct iovec iov = { buf, len };
	int r = volume_read_data(fs->vol, e->from + off, len,
				 e->any_csum ? e->csums + sector * fs->csum_size : NULL,
				 e->any_csum ? e->present + sector : NULL, buf, NULL, NULL);

	if (r < 0 && GUARD(bad_source)) {
		report_unreadable(fs, e, e->from + off, r);
		e->state = MOVED_UNREADABLE;
		return 0;
	}
	return volume_write(fs->vol, e->to.logical + off, &iov, 1);
}

static int copy_extent(struct fs *fs, struct moved_extent *e, const struct stop_flag *stop,
		       void *buf)
{
	int r = read_csums(fs, e);

	if (r == 0)
		r = place(fs, e);
	e->state = MOVED_COPIED;
	for (u64 off = 0; r == 0 && e->state == MOVED_COPIED && off < e->len; off += COPY_BYTES) {
		r = stop_asked(stop) ? -ECANCELED :
				       copy_stretch(fs, e, off, MIN(COPY_BYTES, e->len - off), buf);
		SP("rl.copy_mid", .bytenr = e->from, .off = off);
	}
	if (e->state == MOVED_UNREADABLE)
		give_back(fs, e);
	else if (r == 0)
		TRACE("extent.copied", .bytenr = e->from, .len = e->len, .to = e->to.logical);
	return r;
}

int extent_batch_copy(struct extent_batch *b, const struct stop_flag *stop)
{
	_cleanup_buffer_ void *buf = buffer_get(COPY_BYTES);
	int r = buf ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < b->count; i++)
		r = copy_extent(b->fs, &b->v[i], stop, buf);
	return r;
}
