/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keyed_ref.h - references that did not fit into the extent item: items of their own behind it.
 *
 * Key (logical, kind, root | parent | hash). Different data references with equal hashes sit at
 * hash, hash + 1 and so on. Caller: joins blocked or read-only; takes the extent tree's lock.
 */
#ifndef CORE_EXTENT_KEYED_REF_H
#define CORE_EXTENT_KEYED_REF_H

#include "core/extent/delayed_ref.h"
#include "core/tree/path.h"

struct fs;
struct trans;

/* Where @ref is first looked for. */
struct key keyed_ref_key(u64 logical, const struct ref *ref);

/* True if an item with this key belongs to the extent at @logical as a reference. */
bool keyed_ref_is(const struct key *key, u64 logical);

/* Reads an item that keyed_ref_is(). -EUCLEAN if its size is wrong. */
_must_check_ int keyed_ref_decode(const struct key *key, const void *data, u32 size,
				  struct ref_count *ret);

/* Size of a keyed item of this kind and its bytes. */
u32 keyed_ref_encode(const struct ref *ref, u32 count,
		     u8 buf[sizeof(struct btrfs_extent_data_ref)]);

/* 1 if the extent has any keyed reference, 0, <0. */
_must_check_ int keyed_refs_exist(struct fs *fs, u64 logical);

/* 0 and the count, -ENOENT, <0. @path may be cached_only (-EAGAIN); it is left released. */
_must_check_ int keyed_ref_count(struct fs *fs, struct path *path, u64 logical,
				 const struct ref *ref, u32 *count);

/* Adds (@delta > 0) or drops. -ENOENT: nothing to drop from; -EUCLEAN: too few. */
_must_check_ int keyed_ref_change(struct trans *trans, u64 logical, const struct ref *ref,
				  s64 delta);

#endif
