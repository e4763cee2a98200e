/* SPDX-License-Identifier: GPL-2.0-or-later */
/* name_item.h - items that hold names: DIR_ITEM, DIR_INDEX and XATTR_ITEM (one record, or several
 * whose names have the same hash), INODE_REF and INODE_EXTREF (one record a name).
 *
 * Pure functions over an item's bytes, and the few tree operations that add and cut one record.
 * The tree operations return what the tree returned; whoever joined aborts.
 */
#ifndef CORE_INODE_NAME_ITEM_H
#define CORE_INODE_NAME_ITEM_H

#include "core/inode/name.h"
#include "disk/format/key.h"

struct root;
struct trans;

/* One record of an item, decoded. @at and @bytes are where it stands in the item. */
struct name_record {
	struct name name;
	u32 at;
	u32 bytes;

	/* DIR_ITEM, DIR_INDEX, XATTR_ITEM */
	struct key location;
	u64 transid;
	u8 ftype;
	const void *value;
	u16 value_len;

	/* INODE_REF, INODE_EXTREF (parent of an INODE_REF is its key's offset) */
	u64 index;
	u64 parent;
};

/* Decodes the record at @at of an item of type @type. False at the end, or where the record would
 * not fit (checked nodes have none such). */
bool name_record_at(u8 type, const void *item, u32 size, u32 at, struct name_record *ret);

/* The record named @want (of @parent, for INODE_EXTREF). */
bool name_record_find(u8 type, const void *item, u32 size, struct name want, u64 parent,
		      struct name_record *ret);

/* Encode one record at @buf, which is large enough; bytes used. */
u32 dir_record_bytes(u32 name_len, u32 value_len);
u32 dir_record_encode(void *buf, const struct key *location, u64 transid, u8 ftype,
		      struct name name, const void *value, u16 value_len);
u32 ref_record_encode(void *buf, u64 index, struct name name);
u32 extref_record_encode(void *buf, u64 parent, u64 index, struct name name);

/* Largest item that a leaf holds together with its header and one more (the kernel's limit for
 * growing one). */
u32 name_item_max(const struct root *root);

/* Finds a record in the tree: 0 and a decoded copy (name and value pointers unset), -ENOENT. */
_must_check_ int name_item_find(struct root *root, const struct key *key, struct name want,
				u64 parent, struct name_record *ret);

/* May a record of @bytes be added to the item at @key? 0, -EEXIST (the name is there),
 * -EOVERFLOW (other names have filled the item). */
_must_check_ int name_item_room(struct root *root, const struct key *key, struct name want,
				u64 parent, u32 bytes);

/* Adds a record to the item at @key, making the item if there is none. */
_must_check_ int name_item_add(struct trans *trans, struct root *root, const struct key *key,
			       const void *record, u32 bytes);

/* Cuts the record out; the item goes with the last one. -ENOENT: not there, nothing changed. */
_must_check_ int name_item_cut(struct trans *trans, struct root *root, const struct key *key,
			       struct name want, u64 parent);

#endif
