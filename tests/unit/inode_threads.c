/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inode_threads.c - name operations from several threads in the same few directories, with
 * commits in between; btrfs check and a recount judge the result. Run under ThreadSanitizer too. */
#include "tests/unit/inode_fixture.h"

#include <linux/fs.h>
#include <pthread.h>

#define DIRS 4
#define NAMES 12
#define THREADS 4
#define STEPS 1500

struct world {
	struct image *img;
	struct inode *dirs[DIRS];
	_Atomic unsigned done;
};

struct worker {
	struct world *w;
	unsigned seed;
};

static struct name pick(unsigned *seed, char *buf)
{
	snprintf(buf, 16, "n%u", rand_r(seed) % NAMES);
	return name_of(buf);
}

static void expect(int r)
{
	switch (r) {
	case 0:
	case -EEXIST:
	case -ENOENT:
	case -EISDIR:
	case -ENOTDIR:
	case -ENOTEMPTY:
	case -EINVAL:
	case -EPERM:
		return;
	default:
		fprintf(stderr, "unexpected result %d\n", r);
		abort();
	}
}

static int create(struct worker *k, struct inode *d, struct name name)
{
	static const u32 modes[] = { S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFLNK | 0777 };
	u32 mode = modes[rand_r(&k->seed) % 4];
	struct inode *inode = NULL;
	int r = namei_create(d, name, mode, 0, &root_cred, S_ISLNK(mode) ? "t" : NULL, &inode);

	inode_put(inode);
	return r;
}

static int link_some(struct inode *d, struct name from, struct inode *e, struct name to)
{
	struct inode *inode = NULL;
	int r = namei_lookup(d, from, &inode);

	if (r == 0)
		r = namei_link(inode, e, to);
	inode_put(inode);
	return r;
}

static int change_some(struct inode *d, struct name name)
{
	struct attr_change c = { .mask = ATTR_MODE | ATTR_MTIME_NOW, .mode = 0640 };
	struct inode *inode = NULL;
	int r = namei_lookup(d, name, &inode);

	if (r == 0)
		r = attr_set(inode, &c);
	if (r == 0)
		r = xattr_set(inode, name_of("user.x"), "value", 5, 0);
	if (r == 0)
		r = attr_touch_atime(inode);
	inode_put(inode);
	return r;
}

static int count_record(void *ctx, const struct dir_record *rec)
{
	u64 *sum = ctx;

	*sum += 2 * (u64)rec->name.len;
	return 0;
}

static int read_some(struct inode *d)
{
	u64 sum = 0;

	return dir_read(d, 0, count_record, &sum);
}

static int step(struct worker *k)
{
	char a[16], b[16];
	struct inode *d = k->w->dirs[rand_r(&k->seed) % DIRS];
	struct inode *e = k->w->dirs[rand_r(&k->seed) % DIRS];
	struct name x = pick(&k->seed, a), y = pick(&k->seed, b);

	switch (rand_r(&k->seed) % 10) {
	case 0:
	case 1:
	case 2:
		return create(k, d, x);
	case 3:
		return namei_unlink(d, x, NULL);
	case 4:
		return namei_rmdir(d, x, NULL);
	case 5:
		return namei_rename(d, x, e, y, 0, NULL, NULL);
	case 6:
		return namei_rename(d, x, e, y, RENAME_EXCHANGE, NULL, NULL);
	case 7:
		return link_some(d, x, e, y);
	case 8:
		return change_some(d, x);
	default:
		return read_some(d);
	}
}

static void *work(void *arg)
{
	struct worker *k = arg;

	for (unsigned i = 0; i < STEPS; i++)
		expect(step(k));
	atomic_fetch_add(&k->w->done, 1);
	return NULL;
}

static void check_sizes(struct world *w)
{
	for (unsigned i = 0; i < DIRS; i++) {
		u64 sum = 0;

		assert_int_equal(dir_read(w->dirs[i], 0, count_record, &sum), 0);
		assert_int_equal(attrs(w->dirs[i]).size, sum);
	}
}

/* Directories beside and below each other, so that renames meet loops. */
static void make_dirs(struct world *w)
{
	w->dirs[0] = make(w->img->root, "d0", S_IFDIR | 0755);
	w->dirs[1] = make(w->dirs[0], "n0", S_IFDIR | 0755);
	w->dirs[2] = make(w->dirs[1], "n1", S_IFDIR | 0755);
	w->dirs[3] = make(w->img->root, "d3", S_IFDIR | 0755);
}

static void threads_agree(void **state)
{
	struct world w = { .img = image_of(state) };
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	make_dirs(&w);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ &w, i + 1 };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	while (atomic_load(&w.done) < THREADS) {
		assert_int_equal(trans_commit(w.img->fs), 0);
		usleep(20000);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check_sizes(&w);
	for (unsigned i = 0; i < DIRS; i++)
		inode_put(w.dirs[i]);
	assert_int_equal(count_items(w.img, BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(threads_agree, image_setup, image_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
