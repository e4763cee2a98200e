/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_fixture.h - a fresh image of mkfs.btrfs, opened; checked by btrfs check when closed.
 * Where mkfs.btrfs is missing the test is skipped by name. */
#ifndef TESTS_UNIT_INODE_FIXTURE_H
#define TESTS_UNIT_INODE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file/file.h"
#include "core/fs.h"
#include "core/inode/attr.h"
#include "core/inode/dir.h"
#include "core/inode/namei.h"
#include "core/inode/orphan.h"
#include "core/inode/xattr.h"
#include "core/trans/transaction.h"
#include "core/tree/root.h"
#include "core/tree/search.h"

struct image {
	char path[64];
	struct fs *fs;
	struct inode *root;
};

static const struct cred root_cred = { 0, 0, 022 };

static inline void image_open(struct image *img)
{
	struct fs_options opt = { .source = img->path };
	struct reason why = {};
	int r = fs_open(&opt, &img->fs, &why);

	if (r < 0)
		fail_msg("fs_open: %d %s", r, why.text);
	assert_int_equal(inode_get(img->fs, img->fs->mount_root_id, 256, &img->root), 0);
}

static inline void image_close(struct image *img)
{
	inode_put(img->root);
	assert_int_equal(fs_close(img->fs), 0);
	img->fs = NULL;
}

static inline void image_reopen(struct image *img)
{
	image_close(img);
	image_open(img);
}

static inline int image_setup(void **state)
{
	struct image *img = calloc(1, sizeof(*img));
	char cmd[256];
	const char *dir = getenv("TMPDIR");

	snprintf(img->path, sizeof(img->path), "%.32s/btrfuse-unit-%d.img", dir ? dir : "/tmp",
		 (int)getpid());
	snprintf(cmd, sizeof(cmd),
		 "rm -f %s && truncate -s 512M %s && mkfs.btrfs -q -f %s >/dev/null 2>&1",
		 img->path, img->path, img->path);
	if (system(cmd)) {
		free(img);
		*state = NULL;
		return 0;
	}
	image_open(img);
	*state = img;
	return 0;
}

static inline int image_teardown(void **state)
{
	struct image *img = *state;
	char cmd[256];
	int r;

	if (!img)
		return 0;
	if (img->fs)
		image_close(img);
	snprintf(cmd, sizeof(cmd), "btrfs check %s >%s.log 2>&1 || { cat %s.log; false; }",
		 img->path, img->path, img->path);
	r = system(cmd);
	if (getenv("KEEP_IMAGE"))
		return r;
	unlink(img->path);
	strcat(img->path, ".log");
	unlink(img->path);
	free(img);
	return r ? -1 : 0;
}

static inline struct image *image_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static inline struct inode *make(struct inode *dir, const char *name, u32 mode)
{
	struct inode *inode = NULL;

	assert_int_equal(namei_create(dir, name_of(name), mode, 0, &root_cred,
				      S_ISLNK(mode) ? "target" : NULL, &inode),
			 0);
	return inode;
}

static inline void make_put(struct inode *dir, const char *name, u32 mode)
{
	inode_put(make(dir, name, mode));
}

static inline struct inode *look(struct inode *dir, const char *name)
{
	struct inode *inode = NULL;

	assert_int_equal(namei_lookup(dir, name_of(name), &inode), 0);
	return inode;
}

static inline int missing(struct inode *dir, const char *name)
{
	struct inode *inode = NULL;
	int r = namei_lookup(dir, name_of(name), &inode);

	inode_put(inode);
	return r;
}

static inline struct inode_attr attrs(struct inode *inode)
{
	struct inode_attr a;

	attr_get(inode, &a);
	return a;
}

/* Number of items of type @type (0: any) of object @objectid in the mounted subvolume. */
static inline unsigned count_items(struct image *img, u64 objectid, u8 type)
{
	_cleanup_path_ struct path path = {};
	struct key key = KEY(objectid, type, 0);
	unsigned n = 0;
	int r;

	for (r = tree_search_next(img->root->root, &key, &path); r >= 0 && !path_at_end(&path);
	     r = tree_next(&path)) {
		key = path_key(&path);
		if (key.objectid != objectid || (type && key.type != type))
			break;
		n++;
	}
	return n;
}

#endif
