/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_read.c - verified reads. The first mirror is read in one go; only what is bad there is
 * tried elsewhere, block by block. A block is a node or a data sector; both take the same way: read
 * a mirror, judge it, and if a later mirror is good write it over the bad ones. Invariants: nothing
 * unverified is returned as success where a checksum exists; a repair happens only after
 * still_wanted(). No locks held; no allocation.
 */
#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume_internal.h"

/* One block to find a good copy of. */
struct hunt {
	struct volume *vol;
	const struct chunk *chunk;
	u64 logical;
	u32 len;
	void *buf;
	/* 0 or negative; @why may be filled */
	int (*judge)(const struct hunt *h, struct reason *why);
	const struct node_expect *node;
	const u8 *csum; /* NULL: nothing to compare */
	bool quiet;
	bool (*still_wanted)(void *ctx);
	void *ctx;
};

static int not_mapped(u64 logical, u64 len)
{
	log_fault("address %llu length %llu is in no chunk", (unsigned long long)logical,
		  (unsigned long long)len);
	return -EIO;
}

static int read_mirror(const struct hunt *h, unsigned mirror, struct reason *why)
{
	int err = device_read(h->vol->dev, h->buf, h->len,
			      chunk_physical(h->chunk, mirror, h->logical));

	if (err) {
		stat_add(&h->vol->stats.read_errors);
		reason_set(why, "read error: %s", strerror(-err));
		return err;
	}
	return h->judge(h, why);
}

static void repair_mirrors(const struct hunt *h, u32 bad, unsigned good)
{
	if (h->vol->readonly || h->quiet || (h->still_wanted && !h->still_wanted(h->ctx)))
		return;
	for (unsigned m = 0; m < good; m++) {
		if (!(bad & 1u << m))
			continue;
		if (device_write(h->vol->dev, h->buf, h->len,
				 chunk_physical(h->chunk, m, h->logical))) {
			stat_add(&h->vol->stats.write_errors);
			log_fault("block %llu: mirror %u cannot be repaired",
				  (unsigned long long)h->logical, m + 1);
			continue;
		}
		stat_add(&h->vol->stats.repaired);
		log_info("block %llu: mirror %u was bad, repaired from mirror %u",
			 (unsigned long long)h->logical, m + 1, good + 1);
	}
}

/* Fills h->buf from the first good mirror. */
static int hunt_mirrors(const struct hunt *h)
{
	unsigned mirrors = chunk_mirrors(h->chunk);
	struct reason why = {0};
	u32 bad = 0;

	for (unsigned m = 0; m < mirrors; m++) {
		if (!read_mirror(h, m, bad ? NULL : &why)) {
			if (bad)
				repair_mirrors(h, bad, m);
			return 0;
		}
		bad |= 1u << m;
	}
	if (!h->quiet && volume_fault_is_new(h->vol, h->logical))
		log_fault("block %llu is bad in every copy (%u): %s",
			  (unsigned long long)h->logical, mirrors, why.text);
	return -EIO;
}

/* ---- nodes ---- */

static int expect_bad(const char *what, u64 got, u64 wanted, struct reason *why)
{
	reason_set(why, "node is not the one pointed to: %s: got %llu, wanted %llu", what,
		   (unsigned long long)got, (unsigned long long)wanted);
	return -EIO;
}

static int check_expected(struct volume *vol, const struct node_expect *want, const void *node,
			  struct reason *why)
{
	if (node_bytenr(node) != want->logical)
		return expect_bad("address", node_bytenr(node), want->logical, why);
	if (want->generation && node_generation(node) != want->generation) {
		stat_add(&vol->stats.generation_errors);
		return expect_bad("generation", node_generation(node), want->generation, why);
	}
	if (node_level(node) != want->level)
		return expect_bad("level", node_level(node), want->level, why);
	if (want->owner && node_owner(node) != want->owner)
		return expect_bad("owner", node_owner(node), want->owner, why);
	return 0;
}

static int check_first_key(const struct node_expect *want, const void *node, struct reason *why)
{
	struct key first;

	if (!want->has_first_key)
		return 0;
	if (node_nritems(node) == 0)
		return expect_bad("items", 0, 1, why);
	first = node_key(node, 0);
	if (key_equal(&first, &want->first_key))
		return 0;
	reason_set(why,
		   "node is not the one pointed to: first key: got " KEY_FMT ", wanted " KEY_FMT,
		   KEY_ARG(first), KEY_ARG(want->first_key));
	return -EIO;
}

static int judge_node(const struct hunt *h, struct reason *why)
{
	struct check_env env = volume_env(h->vol);
	u8 csum[CSUM_SIZE_MAX];
	int err;

	csum_block(h->vol->csum_type, h->buf, h->len, csum);
	if (memcmp(csum, h->buf, h->vol->csum_size)) {
		stat_add(&h->vol->stats.csum_errors);
		reason_set(why, "node: checksum does not match");
		return -EIO;
	}
	err = check_expected(h->vol, h->node, h->buf, why);
	if (!err)
		err = check_node(&env, h->buf, why);
	return err ? err : check_first_key(h->node, h->buf, why);
}

int volume_read_node(struct volume *vol, const struct node_expect *want, void *buf)
{
	_cleanup_chunk_ struct chunk *chunk = chunk_map_find(&vol->chunks, want->logical);
	struct hunt h = {
		.vol = vol,
		.chunk = chunk,
		.logical = want->logical,
		.len = vol->nodesize,
		.buf = buf,
		.judge = judge_node,
		.node = want,
		.still_wanted = want->still_wanted,
		.ctx = want->ctx,
	};

	if (!chunk || !IS_ALIGNED(want->logical, vol->sectorsize) ||
	    chunk->logical + chunk->length - want->logical < vol->nodesize)
		return not_mapped(want->logical, vol->nodesize);
	return hunt_mirrors(&h);
}

/* ---- data ---- */

static int judge_sector(const struct hunt *h, struct reason *why)
{
	u8 csum[CSUM_SIZE_MAX];

	if (!h->csum)
		return 0;
	csum_compute(h->vol->csum_type, h->buf, h->len, csum);
	if (!memcmp(csum, h->csum, h->vol->csum_size))
		return 0;
	stat_add(&h->vol->stats.csum_errors);
	reason_set(why, "data: checksum does not match");
	return -EIO;
}

struct data_read {
	const u8 *csums; /* of the first sector at hand */
	const bool *present;
	bool quiet;
	bool (*still_wanted)(void *ctx);
	void *ctx;
};

static const u8 *sector_csum(const struct volume *vol, const struct data_read *r, u64 sector)
{
	if (!r->csums || (r->present && !r->present[sector]))
		return NULL;
	return r->csums + sector * vol->csum_size;
}

/* @len bytes inside one chunk: one read, then only the bad sectors again. */
static int read_span(struct volume *vol, const struct chunk *chunk, u64 logical, u64 len,
		     const struct data_read *r, u8 *buf)
{
	int io = device_read(vol->dev, buf, len, chunk_physical(chunk, 0, logical));

	if (!io && !r->csums)
		return 0;
	if (io)
		stat_add(&vol->stats.read_errors);
	for (u64 i = 0; i < len / vol->sectorsize; i++) {
		struct hunt h = {
			.vol = vol,
			.chunk = chunk,
			.logical = logical + i * vol->sectorsize,
			.len = vol->sectorsize,
			.buf = buf + i * vol->sectorsize,
			.judge = judge_sector,
			.csum = sector_csum(vol, r, i),
			.quiet = r->quiet,
			.still_wanted = r->still_wanted,
			.ctx = r->ctx,
		};
		int err = io ? io : judge_sector(&h, NULL);

		if (err && (err = hunt_mirrors(&h)))
			return err;
	}
	return 0;
}

static int read_data(struct volume *vol, u64 logical, u64 len, struct data_read r, u8 *buf)
{
	while (len) {
		_cleanup_chunk_ struct chunk *chunk = chunk_map_find(&vol->chunks, logical);
		u64 n, sectors;
		int err;

		if (!chunk)
			return r.quiet ? -EIO : not_mapped(logical, len);
		n = MIN(len, chunk->logical + chunk->length - logical);
		sectors = n / vol->sectorsize;
		err = read_span(vol, chunk, logical, n, &r, buf);
		if (err)
			return err;
		r.csums = r.csums ? r.csums + sectors * vol->csum_size : NULL;
		r.present = r.present ? r.present + sectors : NULL;
		logical += n;
		buf += n;
		len -= n;
	}
	return 0;
}

int volume_read_data(struct volume *vol, u64 logical, u64 len, const u8 *csums, const bool *present,
		     void *buf, bool (*still_wanted)(void *ctx), void *ctx)
{
	struct data_read r = {csums, present, false, still_wanted, ctx};

	return read_data(vol, logical, len, r, buf);
}

int volume_read_data_quiet(struct volume *vol, u64 logical, u64 len, const u8 *csums,
			   const bool *present, void *buf)
{
	struct data_read r = {csums, present, true, NULL, NULL};

	return read_data(vol, logical, len, r, buf);
}
