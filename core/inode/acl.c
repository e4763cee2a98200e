/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acl.c - see acl.h. */
#include "core/inode/acl.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#define RWX 07u
#define OWNER_SHIFT 6
#define GROUP_SHIFT 3

typedef struct posix_acl_xattr_entry acl_entry;

static u32 entry_count(u32 size)
{
	return (size - (u32)sizeof(struct posix_acl_xattr_header)) / (u32)sizeof(acl_entry);
}

static acl_entry *entries(void *acl)
{
	return (acl_entry *)((struct posix_acl_xattr_header *)acl + 1);
}

static const acl_entry *entries_const(const void *acl)
{
	return (const acl_entry *)((const struct posix_acl_xattr_header *)acl + 1);
}

static bool shape_is_good(const void *acl, u32 size)
{
	const u32 header = (u32)sizeof(struct posix_acl_xattr_header);

	return size >= header && size <= ACL_BYTES_MAX &&
	       (size - header) % sizeof(acl_entry) == 0 &&
	       get_le32(acl) == POSIX_ACL_XATTR_VERSION;
}

/* What may follow: the tags stand in the order of their numbers, USER and GROUP may repeat. */
static bool tag_may_follow(u16 before, u16 tag)
{
	switch (tag) {
	case ACL_USER:
	case ACL_GROUP:
		return before <= tag && before != 0;
	case ACL_USER_OBJ:
		return before == 0;
	case ACL_GROUP_OBJ:
	case ACL_MASK:
	case ACL_OTHER:
		return before < tag && before != 0;
	default:
		return false;
	}
}

int acl_check(void *acl, u32 size)
{
	const u32 needed = ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_OTHER;
	u32 seen = 0;
	u16 before = 0;

	if (!shape_is_good(acl, size))
		return -EINVAL;
	for (u32 i = 0; i < entry_count(size); i++) {
		acl_entry *e = &entries(acl)[i];
		u16 tag = get_le16(&e->e_tag);

		if (!tag_may_follow(before, tag) || (get_le16(&e->e_perm) & ~RWX))
			return -EINVAL;
		if (tag != ACL_USER && tag != ACL_GROUP)
			put_le32(&e->e_id, ACL_UNDEFINED_ID);
		seen |= tag;
		before = tag;
	}
	if ((seen & needed) != needed)
		return -EINVAL;
	return (seen & (ACL_USER | ACL_GROUP)) && !(seen & ACL_MASK) ? -EINVAL : 0;
}

/* The entry that the group bits of the mode stand for. */
static acl_entry *group_class(void *acl, u32 size)
{
	acl_entry *found = NULL;

	for (u32 i = 0; i < entry_count(size); i++) {
		acl_entry *e = &entries(acl)[i];
		u16 tag = get_le16(&e->e_tag);

		if (tag == ACL_MASK || (tag == ACL_GROUP_OBJ && !found))
			found = e;
	}
	return found;
}

u32 acl_mode(const void *acl, u32 size, u32 mode, bool *extended)
{
	u32 perms = 0;

	*extended = false;
	for (u32 i = 0; i < entry_count(size); i++) {
		const acl_entry *e = &entries_const(acl)[i];
		u16 tag = get_le16(&e->e_tag);
		u32 perm = get_le16(&e->e_perm);

		if (tag == ACL_USER_OBJ)
			perms |= perm << OWNER_SHIFT;
		else if (tag == ACL_OTHER)
			perms |= perm;
		else if (tag == ACL_GROUP_OBJ)
			perms |= perm << GROUP_SHIFT;
		else if (tag == ACL_MASK)
			perms = (perms & ~(RWX << GROUP_SHIFT)) | perm << GROUP_SHIFT;
		if (tag == ACL_USER || tag == ACL_GROUP || tag == ACL_MASK)
			*extended = true;
	}
	return (mode & ~0777u) | perms;
}

void acl_chmod(void *acl, u32 size, u32 mode)
{
	acl_entry *group = group_class(acl, size);

	for (u32 i = 0; i < entry_count(size); i++) {
		acl_entry *e = &entries(acl)[i];
		u16 tag = get_le16(&e->e_tag);

		if (tag == ACL_USER_OBJ)
			put_le16(&e->e_perm, (u16)(mode >> OWNER_SHIFT & RWX));
		else if (tag == ACL_OTHER)
			put_le16(&e->e_perm, (u16)(mode & RWX));
		else if (e == group)
			put_le16(&e->e_perm, (u16)(mode >> GROUP_SHIFT & RWX));
	}
}

/* An entry and its bits of the mode: each keeps what both allow. */
static u32 meet(acl_entry *e, u32 mode, unsigned shift)
{
	u32 perm = get_le16(&e->e_perm) & mode >> shift & RWX;

	put_le16(&e->e_perm, (u16)perm);
	return (mode & ~(RWX << shift)) | perm << shift;
}

u32 acl_create(void *acl, u32 size, u32 mode, bool *extended)
{
	acl_entry *group = group_class(acl, size);

	*extended = false;
	for (u32 i = 0; i < entry_count(size); i++) {
		acl_entry *e = &entries(acl)[i];
		u16 tag = get_le16(&e->e_tag);

		if (tag == ACL_USER_OBJ)
			mode = meet(e, mode, OWNER_SHIFT);
		else if (tag == ACL_OTHER)
			mode = meet(e, mode, 0);
		else if (e == group)
			mode = meet(e, mode, GROUP_SHIFT);
		if (tag == ACL_USER || tag == ACL_GROUP || tag == ACL_MASK)
			*extended = true;
	}
	return mode;
}
