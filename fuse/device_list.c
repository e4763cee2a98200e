/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_list.c - see device_list.h. Runs in one thread, before the daemon has others. */
#include "fuse/device_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "disk/format/check.h"
#include "disk/format/ondisk.h"

#define UUID_PREFIX "UUID="

/* What a superblock says of its device. */
struct probe {
	u8 fsid[BTRFS_FSID_SIZE];
	u8 uuid[BTRFS_UUID_SIZE];
	u64 devid, num_devices, generation;
	bool seed, maybe; /* maybe: not known to be ours */
	struct stat st;
};

struct finder {
	struct device_list list;
	struct probe *probes; /* one for each path */
	u8 fsid[BTRFS_FSID_SIZE];
	bool seeds_too;
};

/* False: no btrfs, or not readable. */
static bool probe_path(const char *path, u64 offset, struct probe *ret)
{
	struct btrfs_super_block sb;
	bool ok;
	int fd;

	if (stat(path, &ret->st) || !(S_ISREG(ret->st.st_mode) || S_ISBLK(ret->st.st_mode)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = pread(fd, &sb, sizeof(sb), (off_t)(offset + SUPER_OFFSET)) == sizeof(sb) &&
	     !check_super(&sb, SUPER_OFFSET, NULL);
	close(fd);
	if (!ok)
		return false;
	memcpy(ret->fsid, sb.fsid, sizeof(ret->fsid));
	memcpy(ret->uuid, sb.dev_item.uuid, sizeof(ret->uuid));
	ret->devid = get_le64(&sb.dev_item.devid);
	ret->generation = get_le64(&sb.generation);
	ret->seed = get_le64(&sb.flags) & BTRFS_SUPER_FLAG_SEEDING;
	ret->num_devices = get_le64(&sb.num_devices);
	return true;
}

/* A loop device over this file? */
static bool loop_over(const struct stat *loop, const struct stat *file)
{
	char name[64], text[4096] = "";
	struct stat back;
	FILE *f;

	if (!S_ISBLK(loop->st_mode))
		return false;
	snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/loop/backing_file",
		 (unsigned)(loop->st_rdev >> 8 & 0xfff), (unsigned)(loop->st_rdev & 0xff));
	f = fopen(name, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	return !stat(text, &back) && back.st_dev == file->st_dev && back.st_ino == file->st_ino;
}

static bool same_storage(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	if (a->st_dev == b->st_dev && a->st_ino == b->st_ino)
		return true;
	return loop_over(a, b) || loop_over(b, a);
}

static int append(struct finder *f, const char *path, const struct probe *probe)
{
	unsigned n = f->list.count;
	char **paths = reallocarray(f->list.paths, n + 1, sizeof(*paths));
	struct probe *probes;

	if (!paths)
		return -ENOMEM;
	f->list.paths = paths;
	probes = reallocarray(f->probes, n + 1, sizeof(*probes));
	if (!probes)
		return -ENOMEM;
	f->probes = probes;
	probes[n] = *probe;
	paths[n] = realpath(path, NULL);
	return paths[n] ? (f->list.count++, 0) : -errno;
}

/* The same device twice, of different age: one was replaced by the other. The newer one stays. 1: that
 * is settled. */
static int supersede(struct finder *f, unsigned i, const char *path, const struct probe *probe)
{
	char *newer;

	if (memcmp(f->probes[i].uuid, probe->uuid, sizeof(probe->uuid)) ||
	    f->probes[i].generation == probe->generation)
		return 0;
	if (f->probes[i].generation > probe->generation)
		return 1;
	newer = realpath(path, NULL);
	if (!newer)
		return -errno;
	free(f->list.paths[i]);
	f->list.paths[i] = newer;
	f->probes[i] = *probe;
	return 1;
}

/* Takes a device of the file system unless it is there already. */
static int take(struct finder *f, const char *path, const struct probe *probe, struct reason *why)
{
	int settled;

	for (unsigned i = 0; i < f->list.count; i++) {
		if (same_storage(&f->probes[i].st, &probe->st))
			return 0;
		if (f->probes[i].devid != probe->devid ||
		    memcmp(f->probes[i].fsid, probe->fsid, sizeof(probe->fsid)))
			continue;
		settled = supersede(f, i, path, probe);
		if (settled)
			return MIN(settled, 0);
		if (probe->maybe)
			return 0; /* one is as good as the other, if any is needed */
		reason_set(why, "%.100s and %.100s are both device %llu of it", f->list.paths[i],
			   path, (unsigned long long)probe->devid);
		return -EINVAL;
	}
	return append(f, path, probe);
}

static int take_if_ours(struct finder *f, const char *path, struct reason *why)
{
	struct probe probe = {0};

	if (!probe_path(path, 0, &probe))
		return 0;
	probe.maybe = memcmp(probe.fsid, f->fsid, sizeof(f->fsid)) != 0;
	if (probe.maybe && !(probe.seed && f->seeds_too))
		return 0;
	return take(f, path, &probe, why);
}

/* ---- where to look ---- */

/* Named ones must be ours; what is wrong with them is said when they are opened. */
static int take_named(struct finder *f, const struct options *o, struct reason *why)
{
	int err = 0;

	for (unsigned i = 0; !err && i < o->device_count; i++) {
		struct probe probe = {.devid = UINT64_MAX - i};

		if (!probe_path(o->devices[i], 0, &probe) && stat(o->devices[i], &probe.st)) {
			reason_set(why, "device %.150s: %s", o->devices[i], strerror(errno));
			return -errno;
		}
		err = take(f, o->devices[i], &probe, why);
	}
	return err;
}

static int scan_folder(struct finder *f, const char *folder, struct reason *why)
{
	DIR *dir = opendir(folder);
	struct dirent *d;
	int err = 0;

	if (!dir) {
		err = -errno;
		reason_set(why, "scan=%.150s: %s", folder, strerror(-err));
		return err;
	}
	while (!err && (d = readdir(dir))) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", folder, d->d_name);
		err = take_if_ours(f, path, why);
	}
	closedir(dir);
	return err;
}

static int scan_folders(struct finder *f, const struct options *o, struct reason *why)
{
	int err = 0;

	for (unsigned i = 0; !err && i < o->scan_count; i++)
		err = scan_folder(f, o->scan_dirs[i], why);
	return err;
}

static int scan_block_devices(struct finder *f, struct reason *why)
{
	glob_t g = {0};
	int err = 0;

	if (glob("/sys/class/block/*", 0, NULL, &g))
		return 0;
	for (size_t i = 0; !err && i < g.gl_pathc; i++) {
		char path[300];

		snprintf(path, sizeof(path), "/dev/%s", strrchr(g.gl_pathv[i], '/') + 1);
		err = take_if_ours(f, path, why);
	}
	globfree(&g);
	return err;
}

/* ---- the list ---- */

/* Folders, and @blocks: block devices. */
static int scan(struct finder *f, const struct options *o, bool blocks, struct reason *why)
{
	int err = scan_folders(f, o, why);

	return !err && blocks ? scan_block_devices(f, why) : err;
}

/* Again for seeds, if there are fewer devices than there should be. */
static int scan_twice(struct finder *f, const struct options *o, bool blocks, struct reason *why)
{
	int err = scan(f, o, blocks, why);

	if (err || !f->list.count || f->probes[0].seed ||
	    f->list.count >= f->probes[0].num_devices)
		return err;
	f->seeds_too = true;
	return scan(f, o, blocks, why);
}

static int find_by_uuid(struct finder *f, const struct options *o, const char *uuid,
			struct reason *why)
{
	int err;

	if (o->fs.offset_bytes) {
		reason_set(why, "option 'offset' wants the path of an image or device");
		return -EINVAL;
	}
	if (uuid_parse(uuid, f->fsid)) {
		reason_set(why, "not a UUID");
		return -EINVAL;
	}
	err = take_named(f, o, why);
	if (!err)
		err = scan_twice(f, o, true, why);
	if (!err && !f->list.count) {
		reason_set(why, "no device has this UUID");
		err = -ENODEV;
	}
	return err;
}

static int find_by_path(struct finder *f, const struct options *o, const char *source,
			struct reason *why)
{
	struct probe probe = {.devid = UINT64_MAX};
	bool known = probe_path(source, o->fs.offset_bytes, &probe);
	int err;

	if (!known && stat(source, &probe.st)) {
		err = -errno;
		reason_set(why, "%s", strerror(-err));
		return err;
	}
	memcpy(f->fsid, probe.fsid, sizeof(f->fsid));
	err = append(f, source, &probe);
	if (!err)
		err = take_named(f, o, why);
	if (err || !known)
		return err;
	return scan_twice(f, o,
			  S_ISBLK(probe.st.st_mode) && f->list.count < probe.num_devices, why);
}

static int note_seeds(struct finder *f)
{
	struct device_list *l = &f->list;

	l->seeds = calloc(l->count, sizeof(*l->seeds));
	l->maybe = calloc(l->count, sizeof(*l->maybe));
	if (!l->seeds || !l->maybe)
		return -ENOMEM;
	for (unsigned i = 0; i < l->count; i++) {
		l->seeds[i] = f->probes[i].seed;
		l->maybe[i] = f->probes[i].maybe;
	}
	return 0;
}

int device_list_find(const struct options *o, const char *source, struct device_list *ret,
		     struct reason *why)
{
	struct finder f = {0};
	bool by_uuid = !strncmp(source, UUID_PREFIX, strlen(UUID_PREFIX));
	int err = by_uuid ? find_by_uuid(&f, o, source + strlen(UUID_PREFIX), why) :
			    find_by_path(&f, o, source, why);

	if (!err)
		err = note_seeds(&f);
	free(f.probes);
	if (err)
		device_list_free(&f.list);
	else
		*ret = f.list;
	return err;
}

void device_list_drop(struct device_list *list, unsigned i)
{
	free(list->paths[i]);
	list->count--;
	for (; i < list->count; i++) {
		list->paths[i] = list->paths[i + 1];
		list->seeds[i] = list->seeds[i + 1];
		list->maybe[i] = list->maybe[i + 1];
	}
}

void device_list_free(struct device_list *list)
{
	for (unsigned i = 0; i < list->count; i++)
		free(list->paths[i]);
	free(list->paths);
	free(list->seeds);
	free(list->maybe);
	*list = (struct device_list){0};
}
