/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qgroup_show.c - the table of groups, read from the quota tree of the last commit, which it asks for
 * first. A subvolume's path is not looked up: its number stands in the group's.
 */
#include "fuse/ctl/qgroup_show.h"

#include <errno.h>
#include <getopt.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "disk/base/types.h"
#include "fuse/ctl/ctl.h"
#include "fuse/ctl/size.h"

struct row {
	u64 id;
	u64 rfer, excl;
	u64 limits, max_rfer, max_excl;
};

struct relation {
	u64 child, parent;
};

struct table {
	struct row *rows;
	struct relation *relations;
	size_t row_count, relation_count;
	u64 flags;
	bool parents, children, max_rfer, max_excl, only_here;
	u64 here;
	struct size_unit unit;
};

/* Items come by key, INFO before LIMIT, each ascending by group. */
static struct row *row_of(struct table *t, u64 id)
{
	for (size_t i = 0; i < t->row_count; i++)
		if (t->rows[i].id == id)
			return &t->rows[i];
	return NULL;
}

static void *grown(void *list, size_t count, size_t size)
{
	void *more = count & (count - 1) ? list : reallocarray(list, count ? count * 2 : 1, size);

	if (!more) {
		ctl_error("not enough memory");
		exit(1);
	}
	return more;
}

static void take_info(struct table *t, u64 id, const void *data)
{
	const struct btrfs_qgroup_info_item *item = data;

	t->rows = grown(t->rows, t->row_count, sizeof(*t->rows));
	t->rows[t->row_count++] = (struct row){
		.id = id, .rfer = get_le64(&item->rfer), .excl = get_le64(&item->excl)};
}

static void take_limit(struct table *t, u64 id, const void *data)
{
	const struct btrfs_qgroup_limit_item *item = data;
	struct row *row = row_of(t, id);

	if (!row)
		return;
	row->limits = get_le64(&item->flags);
	row->max_rfer = get_le64(&item->max_rfer);
	row->max_excl = get_le64(&item->max_excl);
}

static void take_relation(struct table *t, u64 child, u64 parent)
{
	if (child > parent) /* each stands there in both directions */
		return;
	t->relations = grown(t->relations, t->relation_count, sizeof(*t->relations));
	t->relations[t->relation_count++] = (struct relation){child, parent};
}

static void take_item(struct table *t, const struct btrfs_ioctl_search_header *head, const void *data)
{
	switch (head->type) {
	case BTRFS_QGROUP_STATUS_KEY:
		t->flags = get_le64((const u8 *)data +
				    offsetof(struct btrfs_qgroup_status_item, flags));
		break;
	case BTRFS_QGROUP_INFO_KEY:
		take_info(t, head->offset, data);
		break;
	case BTRFS_QGROUP_LIMIT_KEY:
		take_limit(t, head->offset, data);
		break;
	case BTRFS_QGROUP_RELATION_KEY:
		take_relation(t, head->objectid, head->offset);
		break;
	}
}

static void go_beyond(struct btrfs_ioctl_search_key *key,
		      const struct btrfs_ioctl_search_header *last)
{
	key->min_objectid = last->objectid;
	key->min_type = last->type;
	key->min_offset = last->offset + 1;
	if (key->min_offset)
		return;
	key->min_type = last->type + 1;
	if (key->min_type > UINT8_MAX) {
		key->min_type = 0;
		key->min_objectid++;
	}
}

static int read_page(int fd, struct btrfs_ioctl_search_args *args, struct table *t)
{
	struct btrfs_ioctl_search_header head = {0};
	size_t at = 0;

	args->key.nr_items = 4096;
	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, args) < 0)
		return errno;
	for (u32 i = 0; i < args->key.nr_items; i++) {
		memcpy(&head, args->buf + at, sizeof(head));
		take_item(t, &head, args->buf + at + sizeof(head));
		at += sizeof(head) + head.len;
	}
	go_beyond(&args->key, &head);
	return 0;
}

static int read_table(int fd, struct table *t)
{
	struct btrfs_ioctl_search_args args = {
		.key = {.tree_id = BTRFS_QUOTA_TREE_OBJECTID, .max_objectid = UINT64_MAX,
			.max_type = UINT8_MAX, .max_offset = UINT64_MAX, .max_transid = UINT64_MAX}};
	int err = ioctl(fd, BTRFS_IOC_SYNC) < 0 ? errno : 0;

	do
		err = err ? err : read_page(fd, &args, t);
	while (!err && args.key.nr_items);
	return err;
}

/* ---- printing ---- */

static void id_text(u64 id, char buf[SIZE_TEXT])
{
	snprintf(buf, SIZE_TEXT, "%llu/%llu", (unsigned long long)(id >> 48),
		 (unsigned long long)(id & ((1ull << 48) - 1)));
}

static void print_related(const struct table *t, u64 id, bool parents)
{
	int width = parents ? 8 : 13;
	bool any = false;
	char text[SIZE_TEXT];

	putchar(' ');
	for (size_t i = 0; i < t->relation_count; i++) {
		const struct relation *r = &t->relations[i];

		if ((parents ? r->child : r->parent) != id)
			continue;
		id_text(parents ? r->parent : r->child, text);
		width -= printf("%s%s", any ? "," : "", text);
		any = true;
	}
	if (!any)
		width -= printf("-");
	printf("%*s", width > 0 ? width : 0, "");
}

static const char *limit_text(const struct table *t, const struct row *row, u64 flag, u64 max,
			      char buf[SIZE_TEXT])
{
	return row->limits & flag ? size_text(&t->unit, max, buf) : "none";
}

static void print_row(const struct table *t, const struct row *row)
{
	char a[SIZE_TEXT], b[SIZE_TEXT], id[SIZE_TEXT];

	id_text(row->id, id);
	printf("%-10s %12s %12s", id, size_text(&t->unit, row->rfer, a),
	       size_text(&t->unit, row->excl, b));
	if (t->max_rfer)
		printf(" %15s",
		       limit_text(t, row, BTRFS_QGROUP_LIMIT_MAX_RFER, row->max_rfer, a));
	if (t->max_excl)
		printf(" %14s",
		       limit_text(t, row, BTRFS_QGROUP_LIMIT_MAX_EXCL, row->max_excl, a));
	if (t->parents)
		print_related(t, row->id, true);
	if (t->children)
		print_related(t, row->id, false);
	putchar('\n');
}

static void print_table(const struct table *t)
{
	printf("Qgroupid    Referenced    Exclusive%s%s%s%s\n", t->max_rfer ? "  Max referenced" : "",
	       t->max_excl ? "  Max exclusive" : "", t->parents ? " Parent  " : "",
	       t->children ? " Child        " : "");
	printf("--------    ----------    ---------%s%s%s%s\n", t->max_rfer ? "  --------------" : "",
	       t->max_excl ? "  -------------" : "", t->parents ? " ------  " : "",
	       t->children ? " -----        " : "");
	for (size_t i = 0; i < t->row_count; i++)
		if (!t->only_here || t->rows[i].id == t->here)
			print_row(t, &t->rows[i]);
}

static int find_here(int fd, struct table *t)
{
	struct btrfs_ioctl_ino_lookup_args args = {.objectid = BTRFS_FIRST_FREE_OBJECTID};

	if (t->only_here && ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) < 0)
		return errno;
	t->here = args.treeid;
	return 0;
}

static int show(struct table *t, const char *path)
{
	int err, fd = ctl_open_dir(path);

	if (fd < 0)
		return 1;
	err = find_here(fd, t);
	err = err ? err : read_table(fd, t);
	close(fd);
	if (err) {
		ctl_error("can't list qgroups: %s", err == ENOENT ? "quotas not enabled" : strerror(err));
		return 1;
	}
	if (t->flags & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT)
		fprintf(stderr, "WARNING: qgroup data inconsistent, rescan recommended\n");
	else if (t->flags & BTRFS_QGROUP_STATUS_FLAG_RESCAN)
		fprintf(stderr, "WARNING: rescan is running, qgroup data may be incorrect\n");
	print_table(t);
	return 0;
}

/* The units are taken out before getopt sees the rest. */
static int take_units(struct table *t, int argc, char **argv)
{
	int kept = 1;

	for (int i = 1; i < argc; i++)
		if (!size_option(argv[i], &t->unit))
			argv[kept++] = argv[i];
	argv[kept] = NULL;
	return kept;
}

int qgroup_show(struct ctl *ctl, int argc, char **argv)
{
	struct table t = {0};
	int c, r = 1;

	argc = take_units(&t, argc, argv);
	opterr = 0;
	while ((c = getopt(argc, argv, "pcref")) != -1) {
		t.parents |= c == 'p';
		t.children |= c == 'c';
		t.max_rfer |= c == 'r';
		t.max_excl |= c == 'e';
		t.only_here |= c == 'f';
		if (c == '?')
			return ctl_bad_option("qgroup show", argv, optopt);
	}
	if (ctl_one_argument("qgroup show", argc, optind))
		r = show(&t, argv[optind]);
	free(t.rows);
	free(t.relations);
	return r;
}
