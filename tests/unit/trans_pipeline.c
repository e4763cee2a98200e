/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trans_pipeline.c - a transaction is written while the next one runs: order, waits, failures of either, and
 * nodes that the next one drops. The commit is parked at sync points, so without test hooks there is
 * nothing to see. */
#include "inode_fixture.h"

#include <errno.h>
#include <pthread.h>

#include "disk/base/sync_point.h"

#ifdef BTRFUSE_TEST

#define SOME 300 /* names: enough for several leaves */

static void say(const char *line)
{
	char reply[1024];

	sync_point_command(line, reply, sizeof(reply));
	if (strncmp(reply, "ok", 2))
		fail_msg("%s: got \"%s\"", line, reply);
}

struct committer {
	struct fs *fs;
	pthread_t thread;
	int result;
	_Atomic bool done;
};

static void *commit_main(void *arg)
{
	struct committer *c = arg;

	c->result = trans_commit(c->fs);
	atomic_store(&c->done, true);
	return NULL;
}

static void commit_begin(struct committer *c, struct fs *fs)
{
	*c = (struct committer){ .fs = fs };
	assert_int_equal(pthread_create(&c->thread, NULL, commit_main, c), 0);
}

static int commit_end(struct committer *c)
{
	pthread_join(c->thread, NULL);
	return c->result;
}

/* A commit of what there is, parked at @point with the next transaction running. */
static void commit_parked(struct committer *c, struct fs *fs, const char *point)
{
	char line[64];

	snprintf(line, sizeof(line), "arm %s", point);
	say(line);
	commit_begin(c, fs);
	snprintf(line, sizeof(line), "wait %s 10", point);
	say(line);
}

static struct name numbered(const char *what, unsigned n, char buf[32])
{
	snprintf(buf, 32, "%s%u", what, n);
	return name_of(buf);
}

static void make_some(struct image *img, const char *what)
{
	char buf[32];

	for (unsigned i = 0; i < SOME; i++) {
		numbered(what, i, buf);
		make_put(img->root, buf, S_IFREG | 0644);
	}
}

static void unlink_some(struct image *img, const char *what)
{
	char buf[32];

	for (unsigned i = 0; i < SOME; i++)
		assert_int_equal(namei_unlink(img->root, numbered(what, i, buf), NULL), 0);
}

/* The image as it is on the device now: checked, and whether a name is there after a crash. */
static void judge_device(struct image *img, const char *there, const char *not_there)
{
	struct image twin = {};
	char cmd[256];

	snprintf(twin.path, sizeof(twin.path), "%.50s.twin", img->path);
	snprintf(cmd, sizeof(cmd), "cp --sparse=always %s %s && btrfs check %s >/dev/null 2>&1",
		 img->path, twin.path, twin.path);
	assert_int_equal(system(cmd), 0);
	image_open(&twin);
	inode_put(look(twin.root, there));
	assert_int_equal(missing(twin.root, not_there), -ENOENT);
	image_close(&twin);
	unlink(twin.path);
}

static void next_one_runs_meanwhile(void **state)
{
	struct image *img = image_of(state);
	u64 first = trans_running_id(img->fs);
	struct committer c;

	make_put(img->root, "first", S_IFREG | 0644);
	commit_parked(&c, img->fs, "tx.frozen");
	assert_int_equal(trans_running_id(img->fs), first + 1);
	assert_int_equal(trans_durable_id(img->fs), first - 1);
	make_some(img, "n"); /* joins: would wait for ever if the write held them */
	assert_false(atomic_load(&c.done));
	say("release all");
	assert_int_equal(commit_end(&c), 0);
	assert_int_equal(trans_durable_id(img->fs), first);
}

static void one_at_a_time_and_in_order(void **state)
{
	struct image *img = image_of(state);
	u64 first = trans_running_id(img->fs);
	struct committer a, b;

	make_put(img->root, "first", S_IFREG | 0644);
	commit_parked(&a, img->fs, "tx.super_pre");
	make_put(img->root, "second", S_IFREG | 0644);
	say("arm tx.frozen");
	commit_begin(&b, img->fs);
	usleep(200000);
	assert_int_equal(trans_running_id(img->fs), first + 1); /* not frozen */
	assert_false(atomic_load(&b.done));
	say("release tx.super_pre");
	assert_int_equal(commit_end(&a), 0);
	say("wait tx.frozen 10");
	assert_int_equal(trans_durable_id(img->fs), first);
	assert_int_equal(trans_running_id(img->fs), first + 2);
	say("release all");
	assert_int_equal(commit_end(&b), 0);
	assert_int_equal(trans_durable_id(img->fs), first + 1);
}

/* Whoever has nothing new to commit waits for what is on its way, and no longer. */
static void waits_for_what_is_on_its_way(void **state)
{
	struct image *img = image_of(state);
	struct committer a, b;
	u64 running;

	make_put(img->root, "first", S_IFREG | 0644);
	commit_parked(&a, img->fs, "tx.flushed");
	running = trans_running_id(img->fs);
	commit_begin(&b, img->fs);
	usleep(100000);
	assert_false(atomic_load(&b.done));
	say("release all");
	assert_int_equal(commit_end(&b), 0);
	assert_int_equal(commit_end(&a), 0);
	assert_int_equal(trans_running_id(img->fs), running);
}

static void dropped_nodes_are_written(void **state)
{
	struct image *img = image_of(state);
	struct committer c;

	make_some(img, "old");
	commit_parked(&c, img->fs, "tx.frozen");
	unlink_some(img, "old"); /* drops or copies every leaf that is about to be written */
	make_some(img, "new");
	say("arm tx.super_post");
	say("release tx.frozen");
	say("wait tx.super_post 10");
	judge_device(img, "old17", "new17");
	say("release all");
	assert_int_equal(commit_end(&c), 0);
	assert_int_equal(trans_commit(img->fs), 0);
	judge_device(img, "new17", "old17");
}

/* Frozen nodes stay readable in memory, however small the cache: nothing of them is on the device. */
static void frozen_nodes_stay_in_memory(void **state)
{
	struct image *img = image_of(state);
	struct committer c;
	char buf[32];

	make_some(img, "n");
	commit_parked(&c, img->fs, "tx.frozen");
	for (unsigned i = 0; i < SOME; i++) {
		struct inode *inode = NULL;

		assert_int_equal(namei_lookup(img->root, numbered("n", i, buf), &inode), 0);
		inode_put(inode);
	}
	say("release all");
	assert_int_equal(commit_end(&c), 0);
}

static int try_make(struct image *img, const char *name)
{
	struct inode *inode = NULL;
	int r = namei_create(img->root, name_of(name), S_IFREG | 0644, 0, &root_cred, NULL, &inode);

	inode_put(inode);
	return r;
}

/* Closes a file system that has been aborted, and opens what is on the device. */
static void reopen_aborted(struct image *img)
{
	inode_put(img->root);
	assert_true(fs_close(img->fs) < 0);
	image_open(img);
}

static void failure_takes_the_next_one_along(void **state)
{
	struct image *img = image_of(state);
	struct committer a, b;
	u64 durable;

	make_put(img->root, "before", S_IFREG | 0644);
	assert_int_equal(trans_commit(img->fs), 0);
	durable = trans_durable_id(img->fs);
	make_put(img->root, "in it", S_IFREG | 0644);
	commit_parked(&a, img->fs, "tx.super_pre");
	make_put(img->root, "in the next", S_IFREG | 0644);
	commit_begin(&b, img->fs);
	usleep(100000);
	say("fail tx.super EIO");
	say("release tx.super_pre");
	assert_int_equal(commit_end(&a), -EIO);
	assert_int_equal(commit_end(&b), -EIO);
	assert_int_equal(trans_durable_id(img->fs), durable);
	assert_int_equal(trans_commit(img->fs), -EIO);
	assert_int_equal(try_make(img, "too late"), -EROFS);
	inode_put(look(img->root, "in the next")); /* still there to be read */
	reopen_aborted(img);
	inode_put(look(img->root, "before"));
	assert_int_equal(missing(img->root, "in it"), -ENOENT);
	assert_int_equal(missing(img->root, "in the next"), -ENOENT);
}

static void failure_of_the_next_one_leaves_it_alone(void **state)
{
	struct image *img = image_of(state);
	struct committer a, b;
	u64 durable = trans_durable_id(img->fs);

	make_put(img->root, "in it", S_IFREG | 0644);
	commit_parked(&a, img->fs, "tx.super_pre");
	make_put(img->root, "in the next", S_IFREG | 0644);
	commit_begin(&b, img->fs);
	usleep(100000);
	fs_abort(img->fs, -EUCLEAN, "a test");
	say("release all");
	assert_int_equal(commit_end(&a), 0);
	assert_int_equal(commit_end(&b), -EUCLEAN);
	assert_int_equal(trans_durable_id(img->fs), durable + 1);
	reopen_aborted(img);
	inode_put(look(img->root, "in it"));
	assert_int_equal(missing(img->root, "in the next"), -ENOENT);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, image_setup, image_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(next_one_runs_meanwhile),
		CASE(one_at_a_time_and_in_order),
		CASE(waits_for_what_is_on_its_way),
		CASE(dropped_nodes_are_written),
		CASE(frozen_nodes_stay_in_memory),
		CASE(failure_takes_the_next_one_along),
		CASE(failure_of_the_next_one_leaves_it_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
	return 0;
}

#endif
