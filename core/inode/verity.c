/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verity.c - see verity.h. */
#include "core/inode/verity.h"

#include "core/inode/inode.h"
#include "core/inode/inode_flags.h"
#include "core/tree/root.h"
#include "core/tree/search.h"
#include "disk/base/log.h"
#include "disk/codec/csum.h"

#define DESCRIPTOR_AT 1 /* the item at offset 0 says how long descriptor and signature are */
#define DESCRIPTOR_VERSION 1

struct verity_descriptor {
	u8 version, hash_algorithm, log_blocksize, salt_size;
	__le32 sig_size;
	__le64 data_size;
	u8 root_hash[64], salt[32], reserved[144];
};

static int malformed(const struct inode *inode)
{
	log_fault("tree %llu inode %llu: malformed verity descriptor",
		  (unsigned long long)inode->root->id, (unsigned long long)inode->ino);
	return -EUCLEAN;
}

int verity_measure(struct inode *inode, u8 digest[VERITY_DIGEST_BYTES])
{
	struct key key = KEY(inode->ino, BTRFS_VERITY_DESC_ITEM_KEY, DESCRIPTOR_AT);
	struct verity_descriptor d = {};
	struct inode_attr a;
	int r;

	inode_attr_copy(inode, &a);
	if (!(a.flags & BTRFS_INODE_RO_VERITY))
		return -ENODATA;
	r = tree_lookup(inode->root, &key, &d, sizeof(d));
	if (r < 0)
		return r == -ENOENT ? malformed(inode) : r;
	if (r < (int)sizeof(d) || d.version != DESCRIPTOR_VERSION || get_le64(&d.data_size) != a.size)
		return malformed(inode);
	if (d.hash_algorithm != VERITY_SHA256)
		return -EOPNOTSUPP;
	put_le32(&d.sig_size, 0); /* the signature is not part of what is measured */
	csum_compute(BTRFS_CSUM_TYPE_SHA256, &d, sizeof(d), digest);
	return 0;
}
