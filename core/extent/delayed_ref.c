/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * delayed_ref.c - the queue of reference changes, merged by extent and holder.
 *
 * Invariants: at most one head an address; a head's references are sorted and none has a zero
 * count; a head from which everything has cancelled out is gone, unless it creates its extent
 * (then the run gives the space back). Locks: see delayed_ref.h.
 * Relations: filled by tree_block.c, extent_alloc.c; emptied by delayed_run.c; read by
 * extent_info.c.
 */
#include "core/extent/delayed_queue.h"

#include "core/extent/extent_alloc.h"
#include "core/fs.h"
#include "core/quota/qgroup.h"
#include "core/trans/transaction.h"
#include "disk/base/log.h"
#include "disk/base/sync_point.h"

#define HASH_MULTIPLIER 0x9E3779B97F4A7C15ULL
#define BUCKETS_FIRST 64u

static int cmp_u64(u64 a, u64 b)
{
	return a < b ? -1 : a > b;
}

int ref_cmp(const struct ref *a, const struct ref *b)
{
	int r = cmp_u64(a->kind, b->kind);

	r = r ? r : cmp_u64(a->root, b->root);
	r = r ? r : cmp_u64(a->parent, b->parent);
	r = r ? r : cmp_u64(a->ino, b->ino);
	return r ? r : cmp_u64(a->offset, b->offset);
}

int delayed_refs_create(struct delayed_refs **ret)
{
	struct delayed_refs *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	for (int i = 0; i < DREF_SHARDS; i++) {
		mutex_init(&d->shards[i].ref_mutex, RANK_NODE_REF);
		mutex_init(&d->shards[i].lock, RANK_DREF_QUEUE);
	}
	*ret = d;
	return 0;
}

void dref_head_free(struct dref_head *head)
{
	if (head)
		free(head->refs);
	free(head);
}

void delayed_refs_destroy(struct delayed_refs *d)
{
	if (!d)
		return;
	for (int i = 0; i < DREF_SHARDS; i++) {
		struct dref_shard *s = &d->shards[i];

		for (u32 b = 0; b < s->bucket_count; b++)
			while (s->buckets[b]) {
				struct dref_head *head = s->buckets[b];

				s->buckets[b] = head->next;
				dref_head_free(head);
			}
		free(s->buckets);
		free(s->dropped);
		touched_free(&s->touched);
		mutex_destroy(&s->ref_mutex);
		mutex_destroy(&s->lock);
	}
	free(d);
}

static u64 hash(u64 logical)
{
	return (logical >> 12) * HASH_MULTIPLIER;
}

static struct dref_shard *shard_of(struct delayed_refs *d, u64 logical)
{
	return &d->shards[hash(logical) >> 58];
}

static u32 bucket_of(const struct dref_shard *s, u64 logical)
{
	return (u32)(hash(logical) >> 20) & (s->bucket_count - 1);
}

/* Where the head of @logical hangs, or where it would; NULL without buckets. */
static struct dref_head **slot_of(struct dref_shard *s, u64 logical)
{
	struct dref_head **at;

	if (!s->bucket_count)
		return NULL;
	at = &s->buckets[bucket_of(s, logical)];
	while (*at && (*at)->logical != logical)
		at = &(*at)->next;
	return at;
}

static int shard_grow(struct dref_shard *s)
{
	u32 old_count = s->bucket_count;
	struct dref_head **old = s->buckets;
	struct dref_head **fresh;

	if (s->nr < old_count)
		return 0;
	fresh = calloc(old_count ? old_count * 2ul : BUCKETS_FIRST, sizeof(struct dref_head *));
	if (!fresh)
		return -ENOMEM;
	s->buckets = fresh;
	s->bucket_count = old_count ? old_count * 2 : BUCKETS_FIRST;
	for (u32 b = 0; b < old_count; b++)
		while (old[b]) {
			struct dref_head *head = old[b];
			struct dref_head **to = &fresh[bucket_of(s, head->logical)];

			old[b] = head->next;
			head->next = *to;
			*to = head;
		}
	free(old);
	return 0;
}

/* First reference >= @ref. */
static u32 ref_position(const struct dref_head *head, const struct ref *ref)
{
	u32 low = 0, high = head->nr;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (ref_cmp(&head->refs[mid].ref, ref) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool ref_is_at(const struct dref_head *head, u32 at, const struct ref *ref)
{
	return at < head->nr && !ref_cmp(&head->refs[at].ref, ref);
}

static int refs_insert(struct dref_head *head, u32 at, const struct ref *ref, s64 count)
{
	if (head->nr == head->room) {
		u32 room = head->room ? head->room * 2 : 2;
		struct ref_count *refs = realloc(head->refs, room * sizeof(*refs));

		if (!refs)
			return -ENOMEM;
		head->refs = refs;
		head->room = room;
	}
	memmove(&head->refs[at + 1], &head->refs[at], (head->nr - at) * sizeof(*head->refs));
	head->refs[at] = (struct ref_count){.ref = *ref, .count = count};
	head->nr++;
	return 0;
}

static int head_add_ref(struct dref_head *head, const struct ref *ref, s64 count)
{
	u32 at = ref_position(head, ref);
	int r = 0;

	if (!ref_is_at(head, at, ref)) {
		r = refs_insert(head, at, ref, count);
	} else if (head->refs[at].count + count) {
		head->refs[at].count += count;
	} else {
		head->nr--;
		memmove(&head->refs[at], &head->refs[at + 1],
			(head->nr - at) * sizeof(*head->refs));
	}
	if (!r)
		head->total += count;
	return r;
}

static struct dref_head *head_new(const struct dref_change *c)
{
	struct dref_head *head = calloc(1, sizeof(*head));

	if (!head)
		return NULL;
	head->logical = c->logical;
	head->len = c->len;
	head->level = c->level;
	head->is_data = c->is_data;
	head->create = c->create;
	head->generation = c->generation;
	if (c->first_key)
		head->first_key = *c->first_key;
	return head;
}

static bool contradicts(const struct dref_head *head, const struct dref_change *c)
{
	return c->create || head->len != c->len || head->is_data != c->is_data ||
	       head->level != c->level;
}

static int head_change(struct dref_head *head, const struct dref_change *c)
{
	head->flags_set |= c->flags_set;
	if (c->owner)
		head->owner = c->owner;
	return c->ref ? head_add_ref(head, c->ref, c->count) : 0;
}

static void head_unlink(struct delayed_refs *d, struct dref_shard *s, struct dref_head **at)
{
	*at = (*at)->next;
	s->nr--;
	atomic_fetch_sub(&d->count, 1);
}

static int queue_new(struct delayed_refs *d, struct dref_shard *s, const struct dref_change *c)
{
	struct dref_head *head = head_new(c);
	int r = head ? head_change(head, c) : -ENOMEM;

	r = r ? r : shard_grow(s);
	if (r) {
		dref_head_free(head);
		return r;
	}
	head->next = s->buckets[bucket_of(s, c->logical)];
	s->buckets[bucket_of(s, c->logical)] = head;
	s->nr++;
	atomic_fetch_add(&d->count, 1);
	return 0;
}

/* Could this change which subvolumes hold the extent? Parents are nodes of subvolumes. */
static bool concerns_subvolumes(const struct dref_change *c)
{
	return c->ref && !c->neutral && (c->ref->parent || qgroup_counts_tree(c->ref->root));
}

/* Lock held. */
static int trace(struct delayed_refs *d, struct dref_shard *s, const struct dref_change *c)
{
	size_t before = s->touched.count;
	int r;

	if (!d->traced || !concerns_subvolumes(c))
		return 0;
	r = touched_note(&s->touched, &(struct touched){.logical = c->logical,
							.before = c->logical,
							.len = c->len,
							.fresh = c->create,
							.is_data = c->is_data,
							.level = c->level});
	atomic_fetch_add(&d->touched_count, s->touched.count - before);
	return r;
}

/* Lock held. */
static int queue_locked(struct delayed_refs *d, struct dref_shard *s, const struct dref_change *c)
{
	struct dref_head **at = slot_of(s, c->logical);
	struct dref_head *head = at ? *at : NULL;
	int r = trace(d, s, c);

	if (r < 0)
		return r;
	if (!head)
		return queue_new(d, s, c);
	if (contradicts(head, c))
		return -EUCLEAN;
	r = head_change(head, c);
	if (!r && !head->nr && !head->create && !head->flags_set) {
		head_unlink(d, s, at);
		dref_head_free(head);
	}
	return r;
}

int dref_queue(struct delayed_refs *d, const struct dref_change *c)
{
	struct dref_shard *s = shard_of(d, c->logical);

	MUTEX_SCOPE(&s->lock);
	return queue_locked(d, s, c);
}

int dref_queue_new(struct delayed_refs *d, const struct dref_change *c,
		   const struct ref_count *refs, u32 nr)
{
	struct dref_shard *s = shard_of(d, c->logical);
	struct dref_change one = *c;
	int r = 0;

	mutex_lock(&s->lock);
	for (u32 i = 0; r == 0 && i < nr; i++) {
		one.create = i == 0;
		one.ref = &refs[i].ref;
		one.count = (int)refs[i].count;
		r = queue_locked(d, s, &one);
		if (!GUARD(refs_at_once)) {
			mutex_unlock(&s->lock);
			SP("rl.ref", .bytenr = c->logical);
			mutex_lock(&s->lock);
		}
	}
	mutex_unlock(&s->lock);
	return r;
}

struct dref_head *dref_take(struct delayed_refs *d, u64 logical)
{
	struct dref_shard *s = shard_of(d, logical);
	MUTEX_SCOPE(&s->lock);
	struct dref_head **at = slot_of(s, logical);
	struct dref_head *head = at ? *at : NULL;

	if (head)
		head_unlink(d, s, at);
	return head;
}

static int by_value(const void *a, const void *b)
{
	return cmp_u64(*(const u64 *)a, *(const u64 *)b);
}

/* Appends the shard's addresses; stops at @room (others queue meanwhile: next round). */
static u64 shard_collect(struct dref_shard *s, u64 *list, u64 nr, u64 room)
{
	MUTEX_SCOPE(&s->lock);

	for (u32 b = 0; b < s->bucket_count; b++)
		for (struct dref_head *h = s->buckets[b]; h && nr < room; h = h->next)
			list[nr++] = h->logical;
	return nr;
}

s64 dref_collect(struct delayed_refs *d, u64 **ret)
{
	u64 room = atomic_load(&d->count);
	u64 *list = room ? malloc(room * sizeof(*list)) : NULL;
	u64 nr = 0;

	if (!room)
		return 0;
	if (!list)
		return -ENOMEM;
	for (int i = 0; i < DREF_SHARDS; i++)
		nr = shard_collect(&d->shards[i], list, nr, room);
	qsort(list, nr, sizeof(*list), by_value);
	*ret = list;
	return (s64)nr;
}

int dropped_note(struct delayed_refs *d, u64 logical, u64 transid)
{
	struct dref_shard *s = shard_of(d, logical);
	MUTEX_SCOPE(&s->lock);

	if (s->dropped_count == s->dropped_room) {
		u32 room = s->dropped_room ? s->dropped_room * 2 : 8;
		struct dropped_holder *list = realloc(s->dropped, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		s->dropped = list;
		s->dropped_room = room;
	}
	s->dropped[s->dropped_count++] = (struct dropped_holder){logical, transid};
	return 0;
}

bool dropped_since(struct delayed_refs *d, u64 logical, u64 durable)
{
	struct dref_shard *s = shard_of(d, logical);
	MUTEX_SCOPE(&s->lock);

	for (u32 i = 0; i < s->dropped_count; i++)
		if (s->dropped[i].logical == logical && s->dropped[i].transid > durable)
			return true;
	return false;
}

static void shard_forget_dropped(struct dref_shard *s, u64 durable)
{
	MUTEX_SCOPE(&s->lock);
	u32 kept = 0;

	for (u32 i = 0; i < s->dropped_count; i++)
		if (s->dropped[i].transid > durable)
			s->dropped[kept++] = s->dropped[i];
	s->dropped_count = kept;
}

void dropped_forget(struct delayed_refs *d, u64 durable)
{
	for (int i = 0; i < DREF_SHARDS; i++)
		shard_forget_dropped(&d->shards[i], durable);
}

struct dref_sum dref_queue_peek(struct delayed_refs *d, u64 logical, const struct ref *ref,
				s64 *ref_change)
{
	struct dref_shard *s = shard_of(d, logical);
	MUTEX_SCOPE(&s->lock);
	struct dref_head **at = slot_of(s, logical);
	struct dref_head *head = at ? *at : NULL;
	u32 i, ours = 0;

	if (ref_change)
		*ref_change = 0;
	if (!head)
		return (struct dref_sum){};
	if (ref && ref_change) {
		i = ref_position(head, ref);
		ours = ref_is_at(head, i, ref);
		*ref_change = ours ? head->refs[i].count : 0;
	}
	return (struct dref_sum){.queued = true,
				 .create = head->create,
				 .len = head->len,
				 .level = head->level,
				 .flags_set = head->flags_set,
				 .total = head->total,
				 .others = head->nr > ours};
}

/* ---- the trace for quotas ---- */

static void drop_notes(struct delayed_refs *d)
{
	for (int i = 0; i < DREF_SHARDS; i++) {
		MUTEX_SCOPE(&d->shards[i].lock);
		touched_free(&d->shards[i].touched);
	}
	atomic_store(&d->touched_count, 0);
}

void delayed_refs_trace(struct fs *fs, bool on)
{
	fs->drefs->traced = on;
	if (!on)
		drop_notes(fs->drefs);
}

bool delayed_refs_traced(struct fs *fs)
{
	return fs->drefs->traced;
}

u64 delayed_refs_touched(struct fs *fs)
{
	return atomic_load(&fs->drefs->touched_count);
}

static int take_shard(struct dref_shard *s, struct touched_set *into)
{
	struct touched_set set;
	int r = 0;

	mutex_lock(&s->lock);
	set = TAKE(s->touched);
	mutex_unlock(&s->lock);
	for (size_t i = 0; r == 0 && i < set.room; i++)
		if (set.v[i].len)
			r = touched_put(into, &set.v[i]);
	touched_free(&set);
	return r;
}

int delayed_refs_take_touched(struct fs *fs, struct touched_set *into)
{
	int r = 0;

	for (int i = 0; r == 0 && i < DREF_SHARDS; i++)
		r = take_shard(&fs->drefs->shards[i], into);
	atomic_store(&fs->drefs->touched_count, 0);
	return r;
}

static int note(struct delayed_refs *d, const struct touched *t)
{
	struct dref_shard *s = shard_of(d, t->logical);
	MUTEX_SCOPE(&s->lock);

	return touched_put(&s->touched, t);
}

static bool take_note(struct delayed_refs *d, u64 logical, struct touched *ret)
{
	struct dref_shard *s = shard_of(d, logical);
	MUTEX_SCOPE(&s->lock);

	return touched_take(&s->touched, logical, ret);
}

int delayed_refs_move_touched(struct fs *fs, u64 from, u64 to)
{
	struct touched t;
	int r;

	if (!take_note(fs->drefs, from, &t))
		return 0;
	t.logical = to;
	r = note(fs->drefs, &t);
	return r < 0 ? r : 1;
}

int delayed_refs_touch_moved(struct fs *fs, u64 from, u64 to, u64 len)
{
	struct touched old = {.logical = from, .before = from, .len = len};
	struct touched new = {.logical = to, .before = to, .len = len, .fresh = true};
	int r;

	(void)take_note(fs->drefs, from, &old);
	r = note(fs->drefs, &old);
	return r < 0 ? r : note(fs->drefs, &new);
}

/* The interface of delayed_ref.h */

static int refused(const struct dref_change *c, int r)
{
	if (r == -EUCLEAN)
		log_fault("delayed ref of extent %llu: %s contradicts what is queued, length %llu, "
			  "level %u",
			  (unsigned long long)c->logical, c->create ? "creation" : "change",
			  (unsigned long long)c->len, c->level);
	return r;
}

static int queue_logged(struct trans *trans, const struct dref_change *c)
{
	return refused(c, dref_queue(trans->fs->drefs, c));
}

int dref_add(struct trans *trans, u64 logical, u64 len, u8 level, bool is_data,
	     const struct ref *ref, int count)
{
	if (!count)
		return 0;
	return queue_logged(trans, &(struct dref_change){.logical = logical,
							 .len = len,
							 .level = level,
							 .is_data = is_data,
							 .neutral = trans->neutral,
							 .ref = ref,
							 .count = count});
}

int dref_drop_node(struct trans *trans, u64 logical, u8 level, u64 owner, const struct ref *ref,
		   int count)
{
	return queue_logged(trans, &(struct dref_change){.logical = logical,
							 .len = trans->fs->nodesize,
							 .level = level,
							 .owner = owner,
							 .neutral = trans->neutral,
							 .ref = ref,
							 .count = -count});
}

int dref_add_new(struct trans *trans, u64 logical, u64 len, u8 level, u64 extent_flags,
		 const struct ref *ref, const struct key *first_key)
{
	bool data = extent_flags & BTRFS_EXTENT_FLAG_DATA;

	return queue_logged(trans,
			    &(struct dref_change){.logical = logical,
						  .len = len,
						  .level = level,
						  .is_data = data,
						  .create = true,
						  .flags_set = extent_flags,
						  .first_key = first_key,
						  .owner = data ? quota_data_owner(trans->fs, ref->root)
								: ref->root,
						  .neutral = trans->neutral,
						  .ref = ref,
						  .count = 1});
}

int dref_add_new_shared(struct trans *trans, u64 logical, u64 len, u64 owner, u64 generation,
			const struct ref_count *refs, u32 nr)
{
	const struct dref_change c = {.logical = logical,
				      .len = len,
				      .is_data = true,
				      .owner = owner,
				      .generation = generation,
				      .neutral = trans->neutral,
				      .flags_set = BTRFS_EXTENT_FLAG_DATA};
	int r = dref_queue_new(trans->fs->drefs, &c, refs, nr);

	SP("rl.ref", .bytenr = logical);
	return refused(&c, r);
}

int dref_add_moved_node(struct trans *trans, u64 logical, u8 level, u64 extent_flags, u64 owner,
			const struct ref *ref, const struct key *first_key, u64 generation)
{
	return queue_logged(trans, &(struct dref_change){.logical = logical,
							 .len = trans->fs->nodesize,
							 .level = level,
							 .create = true,
							 .flags_set = extent_flags,
							 .first_key = first_key,
							 .generation = generation,
							 .owner = owner,
							 .neutral = trans->neutral,
							 .ref = ref,
							 .count = 1});
}

int dref_set_flags(struct trans *trans, u64 logical, u8 level, u64 extent_flags)
{
	return queue_logged(trans, &(struct dref_change){.logical = logical,
							 .len = trans->fs->nodesize,
							 .level = level,
							 .flags_set = extent_flags});
}

u64 delayed_refs_count(struct fs *fs)
{
	return fs->drefs ? atomic_load(&fs->drefs->count) : 0;
}

struct dref_sum dref_peek(struct fs *fs, u64 logical, const struct ref *ref, s64 *ref_change)
{
	return dref_queue_peek(fs->drefs, logical, ref, ref_change);
}

struct mutex *ref_mutex(struct fs *fs, u64 logical)
{
	return &shard_of(fs->drefs, logical)->ref_mutex;
}
