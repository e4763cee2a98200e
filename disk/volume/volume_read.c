/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_read.c - verified reads. The first copy is read in one go; only what is bad there is tried
 * elsewhere, block by block. A block is a node or a data sector; both take the same way: read a copy
 * or compute it from parity, judge it, and if a later try is good write it over the bad ones.
 * Invariants: nothing unverified is returned as success where a checksum exists; a repair happens
 * only after still_wanted(). No locks held.
 */
#include "disk/base/log.h"
#include "disk/codec/csum.h"
#include "disk/volume/volume_internal.h"

#define SPAN_MAX MIB(1) /* then another copy has its turn */

/* One block to find a good copy of. */
struct hunt {
	struct volume *vol;
	const struct chunk *chunk;
	u64 logical;
	u32 len;
	void *buf;
	/* 0 or negative; @why may be filled, @fault says what to count */
	int (*judge)(const struct hunt *h, struct reason *why, enum device_error *fault);
	const struct node_expect *node;
	const u8 *csum; /* NULL: nothing to compare */
	bool (*still_wanted)(void *ctx);
	void *ctx;
};

static int not_mapped(u64 logical, u64 len)
{
	log_fault("address %llu length %llu is in no chunk", (unsigned long long)logical,
		  (unsigned long long)len);
	return -EIO;
}

/* ---- copies ---- */

#define TRIES_MAX 300

/* The copy to begin with: neighbouring megabytes take turns, so that all devices work. */
static unsigned first_copy(const struct chunk *chunk, const struct stripe_run *run, u64 logical)
{
	return chunk->type & BTRFS_BLOCK_GROUP_DUP ? 0 : (unsigned)(logical / SPAN_MAX % run->copies);
}

/* The stripe that try @n reads: copies that are up to date before those that are not. */
static unsigned copy_by_age(const struct volume *vol, const struct chunk *chunk, u64 logical,
			    const struct stripe_run *run, unsigned n)
{
	unsigned first = first_copy(chunk, run, logical);

	for (int stale = 0; stale < 2; stale++) {
		for (unsigned i = 0; i < run->copies; i++) {
			unsigned stripe = run->first + (first + i) % run->copies;
			const struct member *m = stripe_member(vol, chunk, stripe);

			if ((m && m->stale) == stale && n-- == 0)
				return stripe;
		}
	}
	return run->first;
}

/* Ways to get at a block's bytes: each copy, then by parity. */
static unsigned count_tries(const struct chunk *chunk)
{
	if (stripe_map_has_parity(chunk))
		return MIN(1 + parity_ways(chunk), (unsigned)TRIES_MAX);
	return stripe_run_at(chunk, chunk->logical, 1).copies;
}

/* [@logical, +@len), inside one run; *@from is whose bytes they are, or NULL if computed. */
static int read_run(struct volume *vol, const struct chunk *chunk, u64 logical, u32 len,
		    unsigned try, void *buf, struct member **from)
{
	struct stripe_run run = stripe_run_at(chunk, logical, len);
	unsigned stripe;

	*from = NULL;
	if (try >= run.copies)
		return parity_rebuild(vol, chunk, logical, len, try - run.copies, buf);
	stripe = copy_by_age(vol, chunk, logical, &run, try);
	*from = stripe_member(vol, chunk, stripe);
	return member_read(*from, buf, len, chunk->stripes[stripe].physical + run.offset);
}

/* A node of an old file system may cross a stripe's border. */
static int read_try(const struct hunt *h, unsigned try, struct member **from)
{
	for (u32 at = 0; at < h->len;) {
		u32 len = (u32)stripe_run_at(h->chunk, h->logical + at, h->len - at).len;
		int err = read_run(h->vol, h->chunk, h->logical + at, len, try, (u8 *)h->buf + at,
				   from);

		if (err)
			return err;
		at += len;
	}
	return 0;
}

static int read_judged(const struct hunt *h, unsigned try, struct reason *why)
{
	enum device_error fault = DEVICE_CORRUPTION;
	struct member *from = NULL;
	int err = read_try(h, try, &from);

	if (err) {
		stat_add(&h->vol->stats.read_errors);
		reason_set(why, "read error: %s", strerror(-err));
		return err;
	}
	err = h->judge(h, why, &fault);
	if (err && from)
		member_count(from, fault);
	return err;
}

/* ---- repair ---- */

static void repaired(const struct hunt *h, unsigned try, int err)
{
	if (err) {
		log_fault("block %llu: copy %u cannot be repaired", (unsigned long long)h->logical,
			  try + 1);
		return;
	}
	stat_add(&h->vol->stats.repaired);
	log_info("block %llu: copy %u was bad, repaired", (unsigned long long)h->logical, try + 1);
}

static int rewrite_copy(const struct hunt *h, unsigned try)
{
	int err = 0;

	for (u32 at = 0; !err && at < h->len;) {
		struct stripe_run run =
			stripe_run_at(h->chunk, h->logical + at, h->len - at);
		unsigned stripe = copy_by_age(h->vol, h->chunk, h->logical, &run, try);
		struct iovec iov = {(u8 *)h->buf + at, run.len};

		err = volume_write_stripe(h->vol, h->chunk, stripe, run.offset, &iov, 1);
		at += (u32)run.len;
	}
	return err;
}

static bool copy_is_there(const struct hunt *h, unsigned try)
{
	struct stripe_run run = stripe_run_at(h->chunk, h->logical, h->len);
	unsigned stripe = copy_by_age(h->vol, h->chunk, h->logical, &run, try);

	return member_usable(stripe_member(h->vol, h->chunk, stripe)) &&
	       !stripe_member(h->vol, h->chunk, stripe)->seed;
}

/* The tries before @good were bad. With parity a write puts the whole row right. */
static void repair_copies(const struct hunt *h, unsigned good)
{
	struct iovec iov = {h->buf, h->len};
	struct cursor c = {&iov, 1, 0};

	if (h->vol->readonly || (h->still_wanted && !h->still_wanted(h->ctx)))
		return;
	if (stripe_map_has_parity(h->chunk)) {
		if (copy_is_there(h, 0))
			repaired(h, 0, parity_write(h->vol, h->chunk, h->logical, h->len, &c));
		return;
	}
	for (unsigned try = 0; try < good; try++)
		if (copy_is_there(h, try))
			repaired(h, try, rewrite_copy(h, try));
}

/* Fills h->buf from the first good copy. */
static int hunt_copies(const struct hunt *h)
{
	unsigned tries = count_tries(h->chunk);
	struct reason why = {0};

	for (unsigned try = 0; try < tries; try++) {
		if (read_judged(h, try, try ? NULL : &why))
			continue;
		if (try)
			repair_copies(h, try);
		return 0;
	}
	if (volume_fault_is_new(h->vol, h->logical))
		log_fault("block %llu is bad in every copy (%u): %s",
			  (unsigned long long)h->logical, tries, why.text);
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
			  struct reason *why, enum device_error *fault)
{
	if (node_bytenr(node) != want->logical)
		return expect_bad("address", node_bytenr(node), want->logical, why);
	if ((want->generation || want->exact_generation) &&
	    node_generation(node) != want->generation) {
		stat_add(&vol->stats.generation_errors);
		*fault = DEVICE_GENERATION_ERROR;
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

static int judge_node(const struct hunt *h, struct reason *why, enum device_error *fault)
{
	struct check_env env = volume_env(h->vol);
	u8 csum[CSUM_SIZE_MAX];
	int err;

	csum_block(h->vol->csum_type, h->buf, h->len, csum);
	if (memcmp(csum, h->buf, h->vol->csum_size) && !h->vol->ignore_node_csums) {
		stat_add(&h->vol->stats.csum_errors);
		reason_set(why, "node: checksum does not match");
		return -EIO;
	}
	err = check_expected(h->vol, h->node, h->buf, why, fault);
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
	return hunt_copies(&h);
}

/* ---- data ---- */

static int judge_sector(const struct hunt *h, struct reason *why, enum device_error *fault)
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

/* The first copy whose device is there, or what parity makes of the rest. */
static int read_first(struct volume *vol, const struct chunk *chunk, u64 logical, u32 len, u8 *buf)
{
	unsigned tries = count_tries(chunk);
	struct member *from;
	int err = -ENODEV;

	for (unsigned try = 0; err == -ENODEV && try < tries; try++)
		err = read_run(vol, chunk, logical, len, try, buf, &from);
	if (err)
		stat_add(&vol->stats.read_errors);
	return err;
}

/* One run: one read, then only the bad sectors again. */
static int read_span(struct volume *vol, const struct chunk *chunk, u64 logical, u64 len,
		     const struct data_read *r, u8 *buf)
{
	int io = read_first(vol, chunk, logical, (u32)len, buf);

	if (!io && !r->csums)
		return 0;
	for (u64 i = 0; i < len / vol->sectorsize; i++) {
		struct hunt h = {
			.vol = vol,
			.chunk = chunk,
			.logical = logical + i * vol->sectorsize,
			.len = vol->sectorsize,
			.buf = buf + i * vol->sectorsize,
			.judge = judge_sector,
			.csum = sector_csum(vol, r, i),
			.still_wanted = r->still_wanted,
			.ctx = r->ctx,
		};
		enum device_error fault;
		int err = io ? io : judge_sector(&h, NULL, &fault);

		if (err && (r->quiet || (err = hunt_copies(&h))))
			return r->quiet ? -EIO : err;
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
		n = MIN(len, SPAN_MAX - logical % SPAN_MAX);
		n = stripe_run_at(chunk, logical, n).len;
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
