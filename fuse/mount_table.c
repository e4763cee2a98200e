/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mount_table.c - see mount_table.h. The kernel writes blanks, backslashes and newlines of paths
 * as \ooo. Everything is on the caller's stack or heap; no state, no locks.
 */
#include "fuse/mount_table.h"

#include <stdio.h>
#include <sys/sysmacros.h>

#define TYPE_PLAIN "fuse.btrfuse"
#define TYPE_BLOCK "fuseblk.btrfuse"

static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++, out++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*out = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*out = *s;
		}
	}
	*out = 0;
}

static bool copy_field(char *dst, size_t size, const char *src)
{
	if (!src || strlen(src) >= size)
		return false;
	memcpy(dst, src, strlen(src) + 1);
	unescape(dst);
	return true;
}

/* "36 35 98:0 /root /target opts [tags...] - type source superopts" */
static bool parse_line(char *line, struct mount_entry *e)
{
	char *save = NULL, *words[6];
	unsigned major, minor;

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		words[i] = strtok_r(i ? NULL : line, " \n", &save);
		if (!words[i])
			return false;
	}
	for (char *w = strtok_r(NULL, " \n", &save); !w || strcmp(w, "-");
	     w = strtok_r(NULL, " \n", &save))
		if (!w)
			return false;
	if (sscanf(words[2], "%u:%u", &major, &minor) != 2)
		return false;
	e->dev = makedev(major, minor);
	return copy_field(e->target, sizeof(e->target), words[4]) &&
	       copy_field(e->fstype, sizeof(e->fstype), strtok_r(NULL, " \n", &save)) &&
	       copy_field(e->source, sizeof(e->source), strtok_r(NULL, " \n", &save));
}

bool mount_entry_is_fuseblk(const struct mount_entry *e)
{
	return !strcmp(e->fstype, TYPE_BLOCK);
}

bool mount_entry_is_btrfuse(const struct mount_entry *e)
{
	return !strcmp(e->fstype, TYPE_PLAIN) || mount_entry_is_fuseblk(e);
}

static void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

int mount_table_each(int (*visit)(void *ctx, const struct mount_entry *e), void *ctx)
{
	_cleanup_(cleanup_file) FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ struct mount_entry *e = malloc(sizeof(*e));
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int ret = 0;

	if (!f || !e)
		return f ? -ENOMEM : -errno;
	while (!ret && getline(&line, &size, f) > 0)
		if (parse_line(line, e))
			ret = visit(ctx, e);
	return ret;
}

struct find {
	const char *target;
	struct mount_entry *ret;
	bool found;
};

static int find_visit(void *ctx, const struct mount_entry *e)
{
	struct find *f = ctx;

	if (!strcmp(e->target, f->target)) {
		*f->ret = *e; /* a later one lies on top */
		f->found = true;
	}
	return 0;
}

int mount_table_find(const char *target, struct mount_entry *ret)
{
	struct find f = {.target = target, .ret = ret};
	int err = mount_table_each(find_visit, &f);

	if (err)
		return err;
	return f.found ? 0 : -ENOENT;
}
