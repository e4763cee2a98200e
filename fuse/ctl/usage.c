/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage.c - btrfusectl filesystem df, show, usage and device usage: the reports of btrfs-progs 6.2. */
#include "fuse/ctl/usage.h"

#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/ctl/size.h"
#include "fuse/ctl/space.h"

#define UNALLOCATED_WORTH (16ULL << 20) /* less than that is no room for a chunk */

/* Units and the one path. False after printing what was wrong. */
static bool parse(const char *command, int argc, char **argv, struct size_unit *unit,
		  const char **path)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++)
		if (!size_option(argv[i], unit)) {
			fprintf(stderr, "btrfusectl %s: invalid option '%s'\n", command, argv[i]);
			return false;
		}
	if (!ctl_one_argument(command, argc, i))
		return false;
	*path = argv[i];
	return true;
}

int usage_df(struct ctl *ctl, int argc, char **argv)
{
	struct size_unit unit = {0};
	char total[SIZE_TEXT], used[SIZE_TEXT];
	struct space_report *r;
	const char *path;

	if (!parse("filesystem df", argc, argv, &unit, &path))
		return 1;
	r = space_ask(path);
	if (!r)
		return 1;
	for (unsigned i = 0; i < r->kind_count; i++)
		printf("%s, %s: total=%s, used=%s\n", space_type_name(r->kinds[i].flags),
		       space_profile_name(r->kinds[i].flags),
		       size_text(&unit, r->kinds[i].total, total),
		       size_text(&unit, r->kinds[i].used, used));
	printf("GlobalReserve, single: total=%s, used=%s\n", size_text(&unit, r->reserve, total),
	       size_text(&unit, r->reserve_used, used));
	free(r);
	return 0;
}

static void print_uuid(const __u8 *u)
{
	for (int i = 0; i < 16; i++)
		printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
}

int usage_show(struct ctl *ctl, int argc, char **argv)
{
	struct size_unit unit = {0};
	char size[SIZE_TEXT], used[SIZE_TEXT];
	struct space_report *r;
	uint64_t sum = 0;
	const char *path;

	if (!parse("filesystem show", argc, argv, &unit, &path))
		return 1;
	r = space_ask(path);
	if (!r)
		return 1;
	for (unsigned i = 0; i < r->kind_count; i++)
		sum += r->kinds[i].used;
	if (r->label[0])
		printf("Label: '%s'  uuid: ", r->label);
	else
		printf("Label: none  uuid: ");
	print_uuid(r->fs.fsid);
	printf("\n\tTotal devices %llu FS bytes used %s\n", (unsigned long long)r->fs.num_devices,
	       size_text(&unit, sum, used));
	for (unsigned d = 0; d < r->device_count; d++)
		printf("\tdevid %4llu size %s used %s path %s\n",
		       (unsigned long long)r->devices[d].id,
		       size_text(&unit, r->devices[d].size, size),
		       size_text(&unit, r->devices[d].used, used), r->devices[d].path);
	putchar('\n');
	free(r);
	return 0;
}

/* Raw and logical bytes of one type. */
struct sums {
	double raw, total, raw_used;
};

static struct sums sum_of(const struct space_report *r, uint64_t type)
{
	struct sums s = {0};

	for (unsigned i = 0; i < r->kind_count; i++) {
		const struct space_kind *k = &r->kinds[i];

		if (!(k->flags & type))
			continue;
		s.raw += (double)k->raw;
		s.total += (double)k->total;
		s.raw_used += (double)k->used * k->ratio;
	}
	return s;
}

/* Numbers that are not fitted with a unit need more room. */
static int width_of(const struct size_unit *unit)
{
	return unit->raw || unit->step ? 18 : 10;
}

static void line(const struct size_unit *unit, const char *name, const char *tabs, uint64_t bytes)
{
	char text[SIZE_TEXT];

	printf("    %s:%s%*s\n", name, tabs, width_of(unit), size_text(unit, bytes, text));
}

struct overall {
	uint64_t size, allocated, unallocated, used, estimated, at_least;
	double data_ratio, metadata_ratio, worst_ratio;
	bool several; /* profiles for one type */
};

static struct overall overall_of(const struct space_report *r)
{
	struct sums data = sum_of(r, BTRFS_BLOCK_GROUP_DATA);
	struct sums metadata = sum_of(r, BTRFS_BLOCK_GROUP_METADATA);
	struct sums all = sum_of(r, UINT64_MAX);
	struct overall o = {.allocated = (uint64_t)all.raw, .used = (uint64_t)all.raw_used,
			    .worst_ratio = 1};

	for (unsigned d = 0; d < r->device_count; d++)
		o.size += r->devices[d].size;
	o.unallocated = o.size - o.allocated;
	o.data_ratio = data.total ? data.raw / data.total : 1;
	o.metadata_ratio = metadata.total ? metadata.raw / metadata.total : 1;
	for (unsigned i = 0; i < r->kind_count; i++) {
		if (r->kinds[i].ratio > o.worst_ratio)
			o.worst_ratio = r->kinds[i].ratio;
		for (unsigned j = 0; j < i; j++)
			o.several |= !strcmp(space_type_name(r->kinds[i].flags),
					     space_type_name(r->kinds[j].flags));
	}
	o.estimated = o.at_least = (uint64_t)((data.raw - data.raw_used) / o.data_ratio);
	if (o.unallocated >= UNALLOCATED_WORTH) {
		o.estimated += (uint64_t)((double)o.unallocated / o.data_ratio);
		o.at_least += (uint64_t)((double)o.unallocated / o.worst_ratio);
	}
	return o;
}

static void print_overall(const struct space_report *r, const struct size_unit *unit)
{
	struct overall o = overall_of(r);
	int width = width_of(unit);
	char a[SIZE_TEXT], b[SIZE_TEXT];

	printf("Overall:\n");
	line(unit, "Device size", "\t\t", o.size);
	line(unit, "Device allocated", "\t\t", o.allocated);
	line(unit, "Device unallocated", "\t\t", o.unallocated);
	line(unit, "Device missing", "\t\t", 0);
	line(unit, "Device slack", "\t\t", 0);
	line(unit, "Used", "\t\t\t", o.used);
	printf("    Free (estimated):\t\t%*s\t(min: %s)\n", width, size_text(unit, o.estimated, a),
	       size_text(unit, o.at_least, b));
	line(unit, "Free (statfs, df)", "\t\t", r->statfs_free);
	printf("    Data ratio:\t\t\t%*.2f\n", width, o.data_ratio);
	printf("    Metadata ratio:\t\t%*.2f\n", width, o.metadata_ratio);
	printf("    Global reserve:\t\t%*s\t(used: %s)\n", width, size_text(unit, r->reserve, a),
	       size_text(unit, r->reserve_used, b));
	printf("    Multiple profiles:\t\t%*s\n", width, o.several ? "yes" : "no");
}

static const uint64_t report_order[] = {BTRFS_BLOCK_GROUP_DATA, BTRFS_BLOCK_GROUP_METADATA,
					BTRFS_BLOCK_GROUP_SYSTEM};

/* Kinds in the order of the reports, each once. */
static unsigned sorted(const struct space_report *r, const struct space_kind **ret)
{
	unsigned n = 0;

	for (unsigned t = 0; t < 3; t++)
		for (unsigned i = 0; i < r->kind_count; i++) {
			bool listed = false;

			for (unsigned j = 0; j < n; j++)
				listed |= ret[j] == &r->kinds[i];
			if (!listed && (r->kinds[i].flags & report_order[t]))
				ret[n++] = &r->kinds[i];
		}
	return n;
}

static void print_kind(const struct space_report *r, const struct space_kind *k,
		       const struct size_unit *unit)
{
	char a[SIZE_TEXT], b[SIZE_TEXT];

	printf("\n%s,%s: Size:%s, Used:%s (%.2f%%)\n", space_type_name(k->flags),
	       space_profile_name(k->flags), size_text(unit, k->total, a),
	       size_text(unit, k->used, b),
	       k->total ? 100.0 * (double)k->used / (double)k->total : 0.0);
	for (unsigned d = 0; d < r->device_count; d++)
		if (k->on_device[d])
			printf("   %s\t%10s\n", r->devices[d].path,
			       size_text(unit, k->on_device[d], a));
}

static uint64_t unallocated_on(const struct space_report *r, unsigned device)
{
	uint64_t left = r->devices[device].size;

	for (unsigned i = 0; i < r->kind_count; i++)
		left -= r->kinds[i].on_device[device];
	return left;
}

int usage_filesystem(struct ctl *ctl, int argc, char **argv)
{
	const struct space_kind *kinds[SPACE_KINDS_MAX];
	struct size_unit unit = {0};
	struct space_report *r;
	char a[SIZE_TEXT];
	const char *path;
	unsigned n;

	if (!parse("filesystem usage", argc, argv, &unit, &path))
		return 1;
	r = space_ask(path);
	if (!r)
		return 1;
	print_overall(r, &unit);
	n = sorted(r, kinds);
	for (unsigned i = 0; i < n; i++)
		print_kind(r, kinds[i], &unit);
	printf("\nUnallocated:\n");
	for (unsigned d = 0; d < r->device_count; d++)
		printf("   %s\t%10s\n", r->devices[d].path,
		       size_text(&unit, unallocated_on(r, d), a));
	free(r);
	return 0;
}

static void print_device(const struct space_report *r, unsigned d, const struct size_unit *unit)
{
	const struct space_kind *kinds[SPACE_KINDS_MAX];
	unsigned n = sorted(r, kinds);
	char a[SIZE_TEXT], name[64];

	printf("%s, ID: %llu\n", r->devices[d].path, (unsigned long long)r->devices[d].id);
	printf("   Device size:        %12s\n", size_text(unit, r->devices[d].size, a));
	printf("   Device slack:       %12s\n", size_text(unit, 0, a));
	for (unsigned i = 0; i < n; i++) {
		if (!kinds[i]->on_device[d])
			continue;
		snprintf(name, sizeof(name), "%s,%s:", space_type_name(kinds[i]->flags),
			 space_profile_name(kinds[i]->flags));
		printf("   %-20s%12s\n", name, size_text(unit, kinds[i]->on_device[d], a));
	}
	printf("   Unallocated:        %12s\n\n", size_text(unit, unallocated_on(r, d), a));
}

int usage_device(struct ctl *ctl, int argc, char **argv)
{
	struct size_unit unit = {0};
	struct space_report *r;
	const char *path;

	if (!parse("device usage", argc, argv, &unit, &path))
		return 1;
	r = space_ask(path);
	if (!r)
		return 1;
	for (unsigned d = 0; d < r->device_count; d++)
		print_device(r, d, &unit);
	free(r);
	return 0;
}
