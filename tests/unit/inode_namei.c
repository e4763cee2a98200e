/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_namei.c - name operations on a real image; btrfs check judges what is left. */
#include "tests/unit/inode_fixture.h"

#include <linux/fs.h>
#include <sys/wait.h>

#include "core/inode/inode_table.h"
#include "disk/format/hash.h"

static void names_come_and_go(void **state)
{
	struct image *img = image_of(state);
	struct inode *d = make(img->root, "dir", S_IFDIR | 0777), *none = NULL;

	make_put(d, "file", S_IFREG | 0666);
	make_put(d, "link", S_IFLNK | 0777);
	make_put(d, "fifo", S_IFIFO | 0600);
	assert_int_equal(attrs(d).size, 2 * 12);
	assert_int_equal(attrs(d).mode, S_IFDIR | 0755);
	assert_int_equal(attrs(d).nlink, 1);
	assert_int_equal(namei_create(d, name_of("file"), S_IFREG, 0, &root_cred, NULL, &none),
			 -EEXIST);
	assert_int_equal(namei_unlink(img->root, name_of("dir"), NULL), -EISDIR);
	assert_int_equal(namei_rmdir(d, name_of("file"), NULL), -ENOTDIR);
	assert_int_equal(namei_rmdir(img->root, name_of("dir"), NULL), -ENOTEMPTY);
	inode_put(d);
}

static void reopened_names_are_there(void **state)
{
	struct image *img = image_of(state);
	struct inode *d = make(img->root, "d", S_IFDIR | 0755), *f, *gone;
	char target[16];
	u32 len = sizeof(target);

	f = make(d, "file", S_IFREG | 0666);
	assert_int_equal(namei_link(f, d, name_of("second")), 0);
	assert_int_equal(namei_link(f, d, name_of("second")), -EEXIST);
	assert_int_equal(namei_link(d, d, name_of("dirlink")), -EPERM);
	inode_put(f);
	make_put(d, "sym", S_IFLNK | 0777);
	inode_put(d);
	image_reopen(img);
	d = look(img->root, "d");
	f = look(d, "second");
	assert_int_equal(attrs(f).nlink, 2);
	assert_int_equal(attrs(f).mode, S_IFREG | 0644);
	assert_int_equal(namei_unlink(d, name_of("file"), &gone), 0);
	assert_ptr_equal(gone, f);
	inode_put(gone);
	assert_int_equal(attrs(f).nlink, 1);
	assert_int_equal(namei_unlink(d, name_of("second"), NULL), 0);
	assert_int_equal(attrs(f).nlink, 0);
	assert_int_equal(count_items(img, BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY), 1);
	assert_int_equal(namei_link(f, d, name_of("back")), -ENOENT);
	u64 ino = f->ino;
	inode_put(f);
	assert_int_equal(count_items(img, BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY), 0);
	assert_int_equal(count_items(img, ino, 0), 0);
	f = look(d, "sym");
	assert_int_equal(namei_readlink(f, target, &len), 0);
	assert_int_equal(len, 6);
	assert_memory_equal(target, "target", 6);
	inode_put(f);
	inode_put(d);
}

struct hashed {
	u32 hash;
	u32 number;
};

/* Many bits of difference: short counters would never collide, the hash is linear. */
static void scattered_name(char name[24], u32 number)
{
	snprintf(name, 24, "c%016llx", (unsigned long long)number * 0x9e3779b97f4a7c15ULL);
}

static int hashed_cmp(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Two names with one hash, found by birthday. */
static void collision(char a[24], char b[24])
{
	const u32 n = 400000;
	struct hashed *h = malloc(n * sizeof(*h));

	for (u32 i = 0; i < n; i++) {
		scattered_name(a, i);
		h[i] = (struct hashed){ (u32)name_hash(a, strlen(a)), i };
	}
	qsort(h, n, sizeof(*h), hashed_cmp);
	for (u32 i = 1; i < n; i++)
		if (h[i].hash == h[i - 1].hash) {
			scattered_name(a, h[i].number);
			scattered_name(b, h[i - 1].number);
			free(h);
			return;
		}
	free(h);
	fail_msg("no two names with one hash among %u", n);
}

static void colliding_names_share_an_item(void **state)
{
	struct image *img = image_of(state);
	char a[24], b[24];
	u64 dir = img->root->ino;

	collision(a, b);
	make_put(img->root, a, S_IFREG | 0644);
	make_put(img->root, b, S_IFDIR | 0755);
	assert_int_equal(count_items(img, dir, BTRFS_DIR_ITEM_KEY), 1);
	assert_int_equal(count_items(img, dir, BTRFS_DIR_INDEX_KEY), 2);
	struct inode *x = look(img->root, a), *y = look(img->root, b);
	assert_true(x->type == S_IFREG && y->type == S_IFDIR);
	inode_put(x);
	inode_put(y);
	assert_int_equal(trans_commit(img->fs), 0);
	assert_int_equal(namei_unlink(img->root, name_of(a), NULL), 0);
	assert_int_equal(missing(img->root, a), -ENOENT);
	inode_put(look(img->root, b));
	assert_int_equal(namei_rmdir(img->root, name_of(b), NULL), 0);
	assert_int_equal(count_items(img, dir, BTRFS_DIR_ITEM_KEY), 0);
	assert_int_equal(attrs(img->root).size, 0);
	make_put(img->root, b, S_IFREG | 0644);
	make_put(img->root, a, S_IFREG | 0644);
}

static void link_name(char *buf, unsigned i)
{
	memset(buf, 'x', 200);
	snprintf(buf + 190, 11, "%010u", i);
}

static void many_links_overflow_into_extrefs(void **state)
{
	struct image *img = image_of(state);
	struct inode *f = make(img->root, "f", S_IFREG | 0644);
	char name[256];

	for (unsigned i = 0; i < 300; i++) {
		link_name(name, i);
		assert_int_equal(namei_link(f, img->root, name_of(name)), 0);
	}
	assert_int_equal(count_items(img, f->ino, BTRFS_INODE_REF_KEY), 1);
	assert_true(count_items(img, f->ino, BTRFS_INODE_EXTREF_KEY) > 200);
	assert_int_equal(attrs(f).nlink, 301);
	assert_int_equal(trans_commit(img->fs), 0);
	for (unsigned i = 0; i < 300; i += 2) {
		link_name(name, i);
		assert_int_equal(namei_unlink(img->root, name_of(name), NULL), 0);
	}
	assert_int_equal(attrs(f).nlink, 151);
	/* a rename finds its reference wherever it is */
	link_name(name, 299);
	assert_int_equal(namei_rename(img->root, name_of(name), img->root, name_of("r"), 0, NULL, NULL),
			 0);
	link_name(name, 1);
	assert_int_equal(namei_rename(img->root, name_of(name), img->root, name_of("s"), 0, NULL, NULL),
			 0);
	inode_put(f);
}

static void renames(void **state)
{
	struct image *img = image_of(state);
	struct inode *top = img->root, *gone = NULL;
	struct inode *a = make(top, "a", S_IFDIR | 0755), *b = make(a, "b", S_IFDIR | 0755);
	struct inode *c = make(b, "c", S_IFDIR | 0755);
	struct inode *f = make(c, "f", S_IFREG | 0644), *g = make(top, "g", S_IFREG | 0644);

	assert_int_equal(namei_rename(top, name_of("a"), c, name_of("x"), 0, NULL, NULL), -EINVAL);
	assert_int_equal(namei_rename(top, name_of("a"), a, name_of("x"), 0, NULL, NULL), -EINVAL);
	assert_int_equal(namei_rename(b, name_of("c"), top, name_of("a"), 0, NULL, NULL), -ENOTEMPTY);
	assert_int_equal(namei_rename(b, name_of("c"), top, name_of("g"), 0, NULL, NULL), -ENOTDIR);
	assert_int_equal(namei_rename(top, name_of("g"), a, name_of("b"), 0, NULL, NULL), -EISDIR);
	assert_int_equal(namei_rename(top, name_of("g"), c, name_of("f"), RENAME_NOREPLACE, NULL, NULL),
			 -EEXIST);
	assert_int_equal(namei_rename(top, name_of("no"), c, name_of("f"), 0, NULL, NULL), -ENOENT);
	assert_int_equal(namei_rename(top, name_of("g"), c, name_of("n"), RENAME_EXCHANGE, NULL, NULL),
			 -ENOENT);
	assert_int_equal(namei_rename(top, name_of("a"), c, name_of("f"), RENAME_EXCHANGE, NULL, NULL),
			 -EINVAL);
	/* a file over a file */
	assert_int_equal(namei_rename(top, name_of("g"), c, name_of("f"), 0, NULL, &gone), 0);
	assert_ptr_equal(gone, f);
	assert_int_equal(attrs(f).nlink, 0);
	inode_put(gone);
	inode_put(f);
	f = look(c, "f");
	assert_ptr_equal(f, g);
	/* a directory over an empty one, into another place */
	make_put(top, "e", S_IFDIR | 0755);
	assert_int_equal(namei_rename(b, name_of("c"), top, name_of("e"), 0, NULL, NULL), 0);
	u64 root_id, ino;
	assert_int_equal(dir_parent(c, &root_id, &ino), 0);
	assert_int_equal(ino, 256);
	/* exchange across directories */
	make_put(b, "leaf", S_IFREG | 0600);
	assert_int_equal(namei_rename(b, name_of("leaf"), top, name_of("e"), RENAME_EXCHANGE, NULL, NULL),
			 0);
	struct inode *leaf = look(top, "e"), *moved = look(b, "leaf");
	assert_true(S_ISREG(leaf->type));
	assert_ptr_equal(moved, c);
	inode_put(leaf);
	inode_put(moved);
	assert_int_equal(namei_rename(top, name_of("e"), top, name_of("e"), 0, NULL, NULL), 0);
	assert_int_equal(attrs(top).size, 2 * 2);
	inode_put(f);
	inode_put(g);
	inode_put(c);
	inode_put(b);
	inode_put(a);
}

static void indexes_go_on_after_a_remount(void **state)
{
	struct image *img = image_of(state);
	u64 end;

	for (unsigned i = 0; i < 5; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%u", i);
		make_put(img->root, name, S_IFREG | 0644);
	}
	assert_int_equal(dir_index_end(img->root, &end), 0);
	assert_int_equal(end, 7);
	assert_int_equal(namei_unlink(img->root, name_of("n1"), NULL), 0);
	image_reopen(img);
	assert_int_equal(dir_index_end(img->root, &end), 0);
	assert_int_equal(end, 7);
	make_put(img->root, "more", S_IFREG | 0644);
	assert_int_equal(dir_index_end(img->root, &end), 0);
	assert_int_equal(end, 8);
}

struct seen {
	unsigned count;
	u64 last, stop_after;
};

static int see(void *ctx, const struct dir_record *rec)
{
	struct seen *s = ctx;

	assert_true(rec->next_off > s->last);
	s->last = rec->next_off;
	return ++s->count == s->stop_after;
}

static void reading_goes_on_where_it_stopped(void **state)
{
	struct image *img = image_of(state);
	struct seen s = { .stop_after = 777 };

	for (unsigned i = 0; i < 2000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "a rather long name with number %u", i);
		make_put(img->root, name, S_IFREG | 0644);
	}
	assert_int_equal(dir_read(img->root, 0, see, &s), 0);
	assert_int_equal(s.count, 777);
	assert_int_equal(namei_unlink(img->root, name_of("a rather long name with number 1500"),
				      NULL),
			 0);
	s.stop_after = 0;
	assert_int_equal(dir_read(img->root, s.last, see, &s), 0);
	assert_int_equal(s.count, 1999);
	assert_true(inode_table_count(img->fs) <= INODE_IDLE_MAX + 16);
}

static void unlinked_inodes_that_nobody_put_go_with_the_unmount(void **state)
{
	struct image *img = image_of(state);
	struct inode *f = make(img->root, "f", S_IFREG | 0644);
	struct inode *d = make(img->root, "d", S_IFDIR | 0755);
	u64 ino = f->ino;

	assert_int_equal(namei_unlink(img->root, name_of("f"), NULL), 0);
	assert_int_equal(namei_rmdir(img->root, name_of("d"), NULL), 0);
	assert_int_equal(count_items(img, BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY), 2);
	assert_int_equal(namei_create(d, name_of("x"), S_IFREG, 0, &root_cred, NULL, &f), -ENOENT);
	/* nobody puts them: the unmount deletes them */
	image_reopen(img);
	assert_int_equal(count_items(img, BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY), 0);
	assert_int_equal(count_items(img, ino, 0), 0);
}

/* In another process: unlinks what it still holds, commits and dies. */
static void die_with_orphans(struct image *img)
{
	static char data[1 << 20];
	struct inode *f, *sub;

	image_open(img);
	f = make(img->root, "f", S_IFREG | 0644);
	sub = make(img->root, "d", S_IFDIR | 0755);
	memset(data, 'x', sizeof(data));
	if (file_write(f, 0, data, sizeof(data), 0, NULL) != sizeof(data) || file_flush(f) ||
	    xattr_set(f, name_of("user.a"), "b", 1, 0) ||
	    namei_unlink(img->root, name_of("f"), NULL) ||
	    namei_rmdir(img->root, name_of("d"), NULL) || trans_commit(img->fs))
		_exit(1);
	_exit(sub->ino == f->ino + 1 ? 0 : 2);
}

static void unlinked_inodes_left_by_a_crash_are_deleted(void **state)
{
	struct image *img = image_of(state);
	int status = -1;
	pid_t pid;

	image_close(img);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		die_with_orphans(img);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	image_open(img);
	assert_int_equal(count_items(img, BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY), 0);
	assert_int_equal(count_items(img, 257, 0), 0);
	assert_int_equal(count_items(img, 258, 0), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, image_setup, image_teardown)
	const struct CMUnitTest tests[] = {
		T(names_come_and_go),
		T(reopened_names_are_there),
		T(colliding_names_share_an_item),
		T(many_links_overflow_into_extrefs),
		T(renames),
		T(indexes_go_on_after_a_remount),
		T(reading_goes_on_where_it_stopped),
		T(unlinked_inodes_that_nobody_put_go_with_the_unmount),
		T(unlinked_inodes_left_by_a_crash_are_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
