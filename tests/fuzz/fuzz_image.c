/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_image.c - opens damaged images, reads all of them and changes them.
 *
 *   fuzz-image WORKFILE FIRST-SEED COUNT BASE...   damage with valid checksums, each seed in a child
 *   fuzz-image -c FIRST-SEED COUNT BASE...         the checkers alone, on nodes and superblocks
 *   fuzz-image -o IMAGE ro|rw                      one image as it is
 *
 * Right is: data or errors. A crash, a sanitizer's word, more than 10 seconds, more than 512 MiB or a
 * write to an image that is opened read-only is a failure; its seed is printed, and the exit is 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file/file.h"
#include "core/fs.h"
#include "core/inode/attr.h"
#include "core/inode/dir.h"
#include "core/inode/namei.h"
#include "core/inode/xattr.h"
#include "core/space/space.h"
#include "core/trans/transaction.h"
#include "disk/base/buffer.h"
#include "disk/codec/csum.h"
#include "disk/format/check.h"
#include "tests/fuzz/damage.h"

#define SECONDS_MAX 10
#define MEMORY_MAX_KIB (512u << 10)
#define VISITS_MAX 3000
#define DEPTH_MAX 12
#define READ_MAX MIB(2)

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_FACTOR 3 /* shadow and red zones */
#else
#define MEMORY_FACTOR 1
#endif

/* ---- looking at everything ---- */

struct tour {
	struct fs *fs;
	unsigned visits;
	bool change;
	u8 *buf;
};

static void visit_dir(struct tour *t, struct inode *dir, int depth);

static void read_file(struct tour *t, struct inode *inode)
{
	u64 size = inode_size(inode), at = 0;

	for (; at < size && at < READ_MAX; at += MIB(1))
		(void)!file_read(inode, at, (u32)MIN(size - at, MIB(1)), t->buf, 0);
	if (size > READ_MAX)
		(void)!file_read(inode, size - 1, 1, t->buf, 0);
	(void)!file_seek(inode, 0, SEEK_HOLE);
	(void)!file_seek(inode, 0, SEEK_DATA);
}

static void read_xattrs(struct tour *t, struct inode *inode)
{
	char names[4096], value[4096];
	int len = xattr_list(inode, names, sizeof(names));

	for (char *n = names; len > 0 && n < names + len; n += strlen(n) + 1)
		(void)!xattr_get(inode, name_of(n), value, sizeof(value));
}

static void change_file(struct tour *t, struct inode *inode)
{
	u64 size = inode_size(inode);

	memset(t->buf, 'w', 5000);
	(void)!file_write(inode, size / 2, t->buf, 5000, 0, NULL);
	if (t->visits % 3 == 0)
		(void)!file_truncate(inode, size / 3);
}

static void visit(struct tour *t, struct inode *inode, int depth)
{
	char target[4096];
	u32 len = sizeof(target);
	struct inode_attr a;

	attr_get(inode, &a);
	read_xattrs(t, inode);
	if (inode_is_dir(inode))
		visit_dir(t, inode, depth + 1);
	else if (inode_is_reg(inode))
		read_file(t, inode);
	else
		(void)!namei_readlink(inode, target, &len);
	if (t->change && inode_is_reg(inode))
		change_file(t, inode);
}

struct entry {
	char name[256];
};

struct listing {
	struct entry *v;
	unsigned count, room;
};

static int list_one(void *ctx, const struct dir_record *rec)
{
	struct listing *l = ctx;

	if (l->count == l->room)
		return 1;
	snprintf(l->v[l->count++].name, sizeof(l->v[0].name), "%.*s", (int)rec->name.len,
		 rec->name.s);
	return 0;
}

static void change_name(struct tour *t, struct inode *dir, const char *name)
{
	static const struct cred cred = {0, 0, 022};
	_cleanup_inode_ struct inode *gone = NULL;

	if (t->visits % 5 == 0)
		(void)!namei_unlink(dir, name_of(name), &gone);
	else if (t->visits % 5 == 1)
		(void)!namei_rename(dir, name_of(name), dir, name_of("renamed"), 0, &cred, &gone);
}

static void visit_dir(struct tour *t, struct inode *dir, int depth)
{
	struct listing l = {calloc(512, sizeof(struct entry)), 0, 512};

	if (l.v && depth < DEPTH_MAX)
		(void)!dir_read(dir, 2, list_one, &l);
	for (unsigned i = 0; i < l.count && t->visits < VISITS_MAX; i++) {
		_cleanup_inode_ struct inode *child = NULL;

		t->visits++;
		if (namei_lookup(dir, name_of(l.v[i].name), &child) == 0)
			visit(t, child, depth);
		if (t->change)
			change_name(t, dir, l.v[i].name);
	}
	free(l.v);
}

static void create_some(struct inode *top)
{
	static const struct cred cred = {0, 0, 022};
	static const u8 text[3000] = "new";

	for (int i = 0; i < 8; i++) {
		_cleanup_inode_ struct inode *inode = NULL;
		char name[16];

		snprintf(name, sizeof(name), "new-%d", i);
		if (namei_create(top, name_of(name), S_IFREG | 0644, 0, &cred, NULL, &inode) == 0)
			(void)!file_write(inode, (u64)i * 9000, text, sizeof(text), 0, NULL);
	}
}

/* Opens @path, looks at all of it, changes it if @rw, closes it. Refusing is fine. */
static void try_image(const char *path, bool rw, unsigned rescue)
{
	struct fs_options opt = {.source = path, .readonly = !rw, .rescue = rescue,
				 .nologreplay = !rw, .commit_s = 3600};
	struct tour t = {.change = rw, .buf = buffer_get(MIB(1))};
	struct inode *top = NULL;
	struct reason why = {0};
	struct space_stat stat;

	if (t.buf && fs_open(&opt, &t.fs, &why) == 0) {
		space_statfs(t.fs, &stat);
		if (inode_get(t.fs, t.fs->mount_root_id, BTRFS_FIRST_FREE_OBJECTID, &top) == 0) {
			visit_dir(&t, top, 0);
			if (rw)
				create_some(top);
			inode_put(top);
		}
		if (rw)
			(void)!fs_sync(t.fs);
		(void)!fs_close(t.fs);
	}
	buffer_put(t.buf);
}

/* ---- children ---- */

static void silence(void)
{
	/* what they say about the damage is not of interest here, a sanitizer's words are */
	if (!getenv("FUZZ_VERBOSE")) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
	}
}

/* 0, or words for what went wrong with the child. */
static const char *judge_child(int status, const struct rusage *usage)
{
	static char words[64];

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return "took more than 10 seconds";
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		snprintf(words, sizeof(words), "status 0x%x", (unsigned)status);
		return words;
	}
	if (usage->ru_maxrss > (long)MEMORY_MAX_KIB * MEMORY_FACTOR)
		return "took more than 512 MiB";
	return NULL;
}

static const char *in_child(const char *path, bool rw, unsigned rescue)
{
	struct rusage usage;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(SECONDS_MAX * MEMORY_FACTOR);
		silence();
		try_image(path, rw, rescue);
		exit(0); /* leaks are looked for */
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		return "no child";
	return judge_child(status, &usage);
}

/* ---- seeds ---- */

static int write_sparse(int fd, const u8 *data, u64 size)
{
	static const u8 zero[4096];

	if (ftruncate(fd, 0) || ftruncate(fd, (off_t)size))
		return -1;
	for (u64 at = 0; at + 4096 <= size; at += 4096)
		if (memcmp(data + at, zero, 4096) && pwrite(fd, data + at, 4096, (off_t)at) != 4096)
			return -1;
	return 0;
}

/* Every write moves the time, in place or not. */
static bool same_time(int fd, const struct stat *before)
{
	struct stat now;

	return fstat(fd, &now) == 0 && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

static const char *try_seed(const struct base *b, u64 seed, const char *work, int fd)
{
	struct stat before;
	const char *bad;

	if (write_sparse(fd, b->data, b->size) || damage_image(b, seed, fd) || fstat(fd, &before))
		return "the work file cannot be written";
	bad = in_child(work, false, seed % 4 == 0 ? ~0u : 0);
	if (!bad && !same_time(fd, &before))
		bad = "was written to, opened read-only";
	return bad ? bad : in_child(work, true, 0);
}

static int run_seeds(const struct base *bases, int count, const char *work, u64 first, u64 n)
{
	int fd = open(work, O_RDWR | O_CREAT, 0600), failed = 0;

	if (fd < 0)
		return 1;
	for (u64 seed = first; seed < first + n; seed++) {
		const char *bad = try_seed(&bases[seed % (u64)count], seed, work, fd);

		if (!bad)
			continue;
		fprintf(stderr, "fuzz-image: seed %llu: %s\n", (unsigned long long)seed, bad);
		failed = 1;
	}
	close(fd);
	unlink(work);
	return failed;
}

/* ---- checkers ---- */

/* In memory of exactly the node's size, so that a byte read beyond it is seen. */
static void check_once(const struct base *b, struct rng *rng)
{
	const struct btrfs_super_block *sb = (const void *)(b->data + SUPER_OFFSET);
	struct check_env env = {
		.nodesize = b->nodesize,
		.sectorsize = get_le32(&sb->sectorsize),
		.csum_size = csum_size(b->csum_type),
		.incompat_flags = get_le64(&sb->incompat_flags),
		.generation = get_le64(&sb->generation) + 1,
	};
	u8 *node = malloc(b->nodesize);
	struct btrfs_super_block *copy = malloc(sizeof(*copy));
	struct reason why = {0};

	if (node && copy) {
		memcpy(node, b->data + b->nodes[rng_below(rng, b->count)], b->nodesize);
		for (u64 i = rng_below(rng, 4) + 1; i; i--)
			damage_node(rng, b, node);
		(void)!check_node(&env, node, &why);
		*copy = *sb;
		damage_super(rng, copy);
		csum_block(b->csum_type, copy, sizeof(*copy), copy->csum);
		(void)!check_super(copy, SUPER_OFFSET, &why);
	}
	free(node);
	free(copy);
}

static int run_checkers(const struct base *bases, int count, u64 first, u64 n)
{
	for (u64 seed = first; seed < first + n; seed++) {
		struct rng rng = {seed};

		check_once(&bases[seed % (u64)count], &rng);
	}
	return 0;
}

static struct base *load_all(char **paths, int count)
{
	struct base *bases = calloc((size_t)count, sizeof(*bases));

	for (int i = 0; bases && i < count; i++)
		if (base_load(&bases[i], paths[i]))
			exit(2);
	return bases;
}

int main(int argc, char **argv)
{
	struct base *bases;
	u64 first, n;
	int r;

	if (argc == 4 && !strcmp(argv[1], "-o")) {
		const char *bad = in_child(argv[2], !strcmp(argv[3], "rw"), 0);

		if (bad)
			fprintf(stderr, "fuzz-image: %s: %s\n", argv[2], bad);
		return bad ? 1 : 0;
	}
	if (argc < 5) {
		fprintf(stderr, "usage: fuzz-image WORKFILE|-c FIRST-SEED COUNT BASE...\n");
		return 2;
	}
	first = strtoull(argv[2], NULL, 0);
	n = strtoull(argv[3], NULL, 0);
	bases = load_all(argv + 4, argc - 4);
	if (!bases)
		return 2;
	r = strcmp(argv[1], "-c") ? run_seeds(bases, argc - 4, argv[1], first, n) :
				    run_checkers(bases, argc - 4, first, n);
	for (int i = 0; i < argc - 4; i++)
		base_free(&bases[i]);
	free(bases);
	return r;
}
