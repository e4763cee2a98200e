/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * delayed_queue.h - the queue behind delayed_ref.h: what is pending for each extent. Private to
 * core/extent.
 */
#ifndef CORE_EXTENT_DELAYED_QUEUE_H
#define CORE_EXTENT_DELAYED_QUEUE_H

#include <stdatomic.h>

#include "core/extent/delayed_ref.h"
#include "core/quota/qgroup_touched.h"

#define DREF_SHARDS 64

/* Everything pending for one extent. Under its shard's queue mutex until it is taken out. */
struct dref_head {
	struct dref_head *next;
	u64 logical;
	u64 len;
	u8 level;
	bool is_data;
	bool create;
	u64 flags_set;
	struct key first_key; /* with create, of nodes */
	u64 generation;       /* with create: what the item says; 0: the running transaction */
	u64 owner;            /* who pays for it with simple quotas; 0: nobody */
	s64 total;            /* sum of the counts */
	u32 nr, room;
	struct ref_count *refs; /* sorted by ref_cmp, no zero counts */
};

/* A data extent that lost a holder in a transaction: until that is durable, a crash brings the
 * holder back. */
struct dropped_holder {
	u64 logical;
	u64 transid;
};

struct dref_shard {
	struct mutex ref_mutex; /* RANK_NODE_REF: decisions about extents of this shard */
	struct mutex lock;      /* RANK_DREF_QUEUE; all below */
	struct dref_head **buckets;
	u32 bucket_count; /* power of two, or 0 */
	u32 nr;
	struct dropped_holder *dropped;
	u32 dropped_count, dropped_room;
	struct touched_set touched; /* if traced: since the last commit */
};

struct delayed_refs {
	struct dref_shard shards[DREF_SHARDS];
	_Atomic u64 count;
	bool traced; /* constant while anybody is joined */
	_Atomic u64 touched_count;
};

/* One change as it is asked for. */
struct dref_change {
	u64 logical, len;
	u8 level;
	bool is_data;
	bool create;
	u64 flags_set;
	const struct key *first_key;
	u64 generation;
	u64 owner;
	bool neutral;          /* holders stay the same: not for the trace */
	const struct ref *ref; /* NULL: flags only */
	int count;
};

/* Merges a change into the queue. -ENOMEM; -EUCLEAN if it contradicts what is there. */
_must_check_ int dref_queue(struct delayed_refs *d, const struct dref_change *change);

/* A new extent with all its holders in one step; ref and count in @change are not looked at. */
_must_check_ int dref_queue_new(struct delayed_refs *d, const struct dref_change *change,
				const struct ref_count *refs, u32 nr);

/* Takes the head of @logical out of the queue; NULL if there is none. dref_head_free() it. */
struct dref_head *dref_take(struct delayed_refs *d, u64 logical);
void dref_head_free(struct dref_head *head); /* accepts NULL */

/* The addresses that have something queued, ascending, in *ret (free() it): their number or <0. */
_must_check_ s64 dref_collect(struct delayed_refs *d, u64 **ret);

/* Remembers that the extent lost a holder in @transid. */
_must_check_ int dropped_note(struct delayed_refs *d, u64 logical, u64 transid);
/* Did it lose one in a transaction after @durable? */
bool dropped_since(struct delayed_refs *d, u64 logical, u64 durable);
/* Forgets what is durable. */
void dropped_forget(struct delayed_refs *d, u64 durable);

struct dref_sum dref_queue_peek(struct delayed_refs *d, u64 logical, const struct ref *ref,
				s64 *ref_change);

#endif
