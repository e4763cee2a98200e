/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.c - see options.h. A table of what is understood, a list of the kernel's options that are
 * not there yet: those are refused by name and never ignored.
 */
#include "fuse/options.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/mount.h>

#include "disk/codec/compress.h"

#define DEFAULT_THREADS 8
#define MAX_THREADS 256
#define MIN_CACHE_BYTES MIB(4)

struct option {
	const char *name;
	/* NULL @value: given without one. -EINVAL: bad value. */
	int (*apply)(struct options *o, const struct option *opt, const char *value);
	bool wants_value;
	bool takes_value; /* but works without */
	unsigned long set, clear; /* for apply_flag */
};

/* ---- values ---- */

/* A decimal number, with a unit K, M, G, T if @units. */
static int parse_number(const char *s, bool units, u64 max, u64 *ret)
{
	static const char names[] = "KMGT";
	const char *unit;
	char *end;
	u64 n;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno)
		return -EINVAL;
	unit = units && *end ? strchr(names, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - names + 1);

		if (n > UINT64_MAX >> shift)
			return -EINVAL;
		n <<= shift;
		end++;
	}
	if (*end || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int apply_flag(struct options *o, const struct option *opt, const char *value)
{
	o->mount_flags = (o->mount_flags & ~opt->clear) | opt->set;
	o->fs.readonly = o->mount_flags & MS_RDONLY;
	return 0;
}

static int apply_nothing(struct options *o, const struct option *opt, const char *value)
{
	return 0;
}

static int apply_subvol(struct options *o, const struct option *opt, const char *value)
{
	char *copy = *value ? strdup(value) : NULL;

	if (!copy)
		return -EINVAL;
	free(o->subvol);
	o->fs.subvol = o->subvol = copy;
	return 0;
}

static int apply_subvolid(struct options *o, const struct option *opt, const char *value)
{
	u64 id;

	if (!strncmp(value, "0x", 2)) {
		char *end;

		errno = 0;
		id = strtoull(value, &end, 16);
		if (errno || *end || end == value + 2)
			return -EINVAL;
	} else if (parse_number(value, false, UINT64_MAX, &id)) {
		return -EINVAL;
	}
	o->fs.subvolid = id ? id : 5; /* as the kernel: 0 is the top level */
	return 0;
}

static int apply_nodatacow(struct options *o, const struct option *opt, const char *value)
{
	o->fs.nodatacow = o->fs.nodatasum = true;
	o->fs.compress = o->fs.compress_force = false;
	return 0;
}

static int apply_no_compress(struct options *o)
{
	o->fs.compress = o->fs.compress_force = false;
	o->fs.compress_type = COMPRESS_NONE;
	return 0;
}

static int apply_compress(struct options *o, const struct option *opt, const char *value)
{
	value = value ? value : "zlib";
	if (!strcmp(value, "no") || !strcmp(value, "none"))
		return apply_no_compress(o);
	if (compress_parse(value, &o->fs.compress_type, &o->fs.compress_level))
		return -EINVAL;
	o->fs.nodatacow = o->fs.nodatasum = false;
	o->fs.compress = true;
	o->fs.compress_force = !strcmp(opt->name, "compress-force");
	return 0;
}

static int apply_datacow(struct options *o, const struct option *opt, const char *value)
{
	o->fs.nodatacow = false;
	return 0;
}

static int apply_nodatasum(struct options *o, const struct option *opt, const char *value)
{
	o->fs.nodatasum = true;
	return 0;
}

static int apply_datasum(struct options *o, const struct option *opt, const char *value)
{
	o->fs.nodatacow = o->fs.nodatasum = false;
	return 0;
}

static int apply_commit(struct options *o, const struct option *opt, const char *value)
{
	u64 s;

	if (parse_number(value, false, UINT32_MAX / 1000, &s))
		return -EINVAL;
	o->fs.commit_s = (unsigned)s;
	return 0;
}

static int apply_notreelog(struct options *o, const struct option *opt, const char *value)
{
	o->fs.notreelog = true;
	return 0;
}

static int apply_treelog(struct options *o, const struct option *opt, const char *value)
{
	o->fs.notreelog = false;
	return 0;
}

static int apply_nologreplay(struct options *o, const struct option *opt, const char *value)
{
	o->fs.nologreplay = true;
	return 0;
}

/* The cache of old (v1) is never written; without a tree the extent tree is asked. */
static int apply_space_cache(struct options *o, const struct option *opt, const char *value)
{
	o->fs.space_cache_v2 = true;
	return strcmp(value, "v2") ? -EINVAL : 0;
}

static int apply_clear_cache(struct options *o, const struct option *opt, const char *value)
{
	o->fs.clear_cache = true;
	return 0;
}

static int apply_skip_balance(struct options *o, const struct option *opt, const char *value)
{
	o->skip_balance = true;
	return 0;
}

static int add_path(char ***list, unsigned *count, const char *value)
{
	char **grown = *value ? reallocarray(*list, *count + 1, sizeof(char *)) : NULL;

	if (!grown)
		return -EINVAL;
	*list = grown;
	grown[*count] = strdup(value);
	return grown[*count] ? (++*count, 0) : -ENOMEM;
}

static int apply_device(struct options *o, const struct option *opt, const char *value)
{
	return add_path(&o->devices, &o->device_count, value);
}

static int apply_scan(struct options *o, const struct option *opt, const char *value)
{
	return add_path(&o->scan_dirs, &o->scan_count, value);
}

static int apply_offset(struct options *o, const struct option *opt, const char *value)
{
	return parse_number(value, true, INT64_MAX, &o->fs.offset_bytes);
}

static int apply_degraded(struct options *o, const struct option *opt, const char *value)
{
	o->fs.degraded = true;
	return 0;
}

static const struct {
	const char *name;
	unsigned flags;
	bool nologreplay;
} rescues[] = {
	{"usebackuproot", RESCUE_BACKUP_ROOT},
	{"nologreplay", 0, true},
	{"ignorebadroots", RESCUE_BAD_ROOTS},
	{"ibadroots", RESCUE_BAD_ROOTS},
	{"ignoredatacsums", RESCUE_DATA_CSUMS},
	{"idatacsums", RESCUE_DATA_CSUMS},
	{"ignoremetacsums", RESCUE_NODE_CSUMS},
	{"imetacsums", RESCUE_NODE_CSUMS},
	{"ignoresuperflags", RESCUE_SUPER_FLAGS},
	{"isuperflags", RESCUE_SUPER_FLAGS},
	{"all", ~0u, true},
};

static int apply_rescue_word(struct options *o, const char *word, size_t len)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rescues); i++) {
		if (strlen(rescues[i].name) != len || strncmp(rescues[i].name, word, len))
			continue;
		o->fs.rescue |= rescues[i].flags;
		o->fs.nologreplay |= rescues[i].nologreplay;
		return 0;
	}
	return -EINVAL;
}

/* As the kernel: words between colons. */
static int apply_rescue(struct options *o, const struct option *opt, const char *value)
{
	int err = 0;

	for (;; value++) {
		size_t len = strcspn(value, ":");

		err = apply_rescue_word(o, value, len);
		value += len;
		if (err || !*value)
			return err;
	}
}

static int apply_usebackuproot(struct options *o, const struct option *opt, const char *value)
{
	o->fs.rescue |= RESCUE_BACKUP_ROOT;
	return 0;
}

static int apply_allow_other(struct options *o, const struct option *opt, const char *value)
{
	o->allow_other = true;
	return 0;
}

static int apply_cache_size(struct options *o, const struct option *opt, const char *value)
{
	return parse_number(value, true, UINT64_MAX, &o->fs.cache_bytes) ||
			       o->fs.cache_bytes < MIN_CACHE_BYTES
		       ? -EINVAL
		       : 0;
}

static int apply_threads(struct options *o, const struct option *opt, const char *value)
{
	u64 n;

	/* One request may wait for another (a page of our own mount as a buffer). */
	if (parse_number(value, false, MAX_THREADS, &n) || n < 2)
		return -EINVAL;
	o->threads = (unsigned)n;
	return 0;
}

/* ---- tables ---- */

#define ATIME_FLAGS (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

static const struct option option_table[] = {
	{"rw", apply_flag, .clear = MS_RDONLY},
	{"ro", apply_flag, .set = MS_RDONLY},
	{"suid", apply_flag, .clear = MS_NOSUID},
	{"nosuid", apply_flag, .set = MS_NOSUID},
	{"dev", apply_flag, .clear = MS_NODEV},
	{"nodev", apply_flag, .set = MS_NODEV},
	{"exec", apply_flag, .clear = MS_NOEXEC},
	{"noexec", apply_flag, .set = MS_NOEXEC},
	{"noatime", apply_flag, .set = MS_NOATIME, .clear = ATIME_FLAGS},
	{"relatime", apply_flag, .set = MS_RELATIME, .clear = ATIME_FLAGS},
	{"nodiratime", apply_flag, .set = MS_NODIRATIME},
	{"diratime", apply_flag, .clear = MS_NODIRATIME},
	{"defaults", apply_nothing},
	{"auto", apply_nothing},
	{"noauto", apply_nothing},
	{"nofail", apply_nothing},
	{"user", apply_nothing, .takes_value = true}, /* mount(8) adds who it was */
	{"users", apply_nothing},
	{"nouser", apply_nothing},
	{"group", apply_nothing},
	{"owner", apply_nothing},
	{"remount", apply_nothing}, /* mount_helper.c */
	{"_netdev", apply_nothing},
	{"default_permissions", apply_nothing}, /* always on */
	{"acl", apply_nothing},			/* always on */
	{"allow_other", apply_allow_other},
	{"subvol", apply_subvol, true},
	{"subvolid", apply_subvolid, true},
	{"nodatacow", apply_nodatacow},
	{"datacow", apply_datacow},
	{"nodatasum", apply_nodatasum},
	{"datasum", apply_datasum},
	{"compress", apply_compress, .takes_value = true},
	{"compress-force", apply_compress, .takes_value = true},
	{"commit", apply_commit, true},
	{"nologreplay", apply_nologreplay},
	{"notreelog", apply_notreelog},
	{"treelog", apply_treelog},
	{"norecovery", apply_nologreplay},
	{"rescue", apply_rescue, true},
	{"usebackuproot", apply_usebackuproot},
	{"space_cache", apply_space_cache, true},
	{"clear_cache", apply_clear_cache},
	{"skip_balance", apply_skip_balance},
	{"device", apply_device, true},
	{"scan", apply_scan, true},
	{"degraded", apply_degraded},
	{"offset", apply_offset, true},
	{"cache_size", apply_cache_size, true},
	{"threads", apply_threads, true},
};

/* The kernel's (Linux 6.18), mount(8)'s and FUSE's that we may grow. */
static const char *const known_names[] = {
	"noacl",	"autodefrag",	 "noautodefrag", "barrier",	"nobarrier",
	"check_int",	"discard",	 "nodiscard",	 "enospc_debug", "noenospc_debug",
	"fatal_errors", "flushoncommit", "noflushoncommit", "fragment", "inode_cache",
	"max_inline",	 "metadata_ratio", "nospace_cache", "ssd",	"nossd",
	"ssd_spread",	"nossd_spread",	 "thread_pool",
	"user_subvol_rm_allowed", "ref_verify", "ref_tracker", "strictatime",
	"lazytime",	"sync",		 "dirsync",	 "mand",	"iversion",
	"bind",		 "loop",	 "sizelimit",
	"allow_root",
	"auto_unmount",	"fsname",	 "subtype",	 "max_read",	"context",
	"fscontext",	"defcontext",	 "rootcontext",	 "nosymfollow",	"silent",
};

static const struct option *option_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(option_table); i++)
		if (!strcmp(option_table[i].name, name))
			return &option_table[i];
	return NULL;
}

static bool name_known(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(known_names); i++)
		if (!strcmp(known_names[i], name))
			return true;
	return false;
}

static int parse_one(struct options *o, char *word, struct reason *why)
{
	char *value = strchr(word, '=');
	const struct option *opt;

	if (!*word || !strncmp(word, "x-", 2)) /* x-...: remarks for programs that read fstab */
		return 0;
	if (value)
		*value++ = 0;
	opt = option_find(word);
	if (!opt) {
		reason_set(why, name_known(word) ? "option '%s' is not supported yet"
						 : "unknown option '%s'", word);
		return -EINVAL;
	}
	if (opt->wants_value && !value) {
		reason_set(why, "option '%s' wants a value", word);
		return -EINVAL;
	}
	if ((value && !opt->wants_value && !opt->takes_value) || opt->apply(o, opt, value)) {
		reason_set(why, "option '%s': bad value '%s'", word, value ? value : "");
		return -EINVAL;
	}
	return 0;
}

int options_parse(struct options *o, const char *list, struct reason *why)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *word;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (word = strsep(&rest, ",")))
		err = parse_one(o, word, why);
	return err;
}

/* What only mount(8) and the kernel's table of mounts say of a FUSE mount. */
static bool is_of_fuse(const char *word)
{
	static const char *const prefixes[] = {"user_id=", "group_id=", "blksize=", "rootmode=",
					       "fd=", "max_read="};

	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(word, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

static bool same_string(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* Does the list of one word, or of none, say what @had does not have? */
static bool adds_path(char *const *list, unsigned count, char *const *had, unsigned had_count)
{
	bool known = !count;

	for (unsigned i = 0; !known && i < had_count; i++)
		known = !strcmp(list[0], had[i]);
	return !known;
}

/* Would @probe, which began as a copy of @o, be another file system? */
static bool changed(struct options *probe, const struct options *o)
{
	if (same_string(probe->fs.subvol, o->fs.subvol))
		probe->fs.subvol = o->fs.subvol;
	probe->fs.readonly = o->fs.readonly;
	return memcmp(&probe->fs, &o->fs, sizeof(o->fs)) || probe->threads != o->threads ||
	       probe->allow_other != o->allow_other || probe->skip_balance != o->skip_balance ||
	       adds_path(probe->devices, probe->device_count, o->devices, o->device_count) ||
	       adds_path(probe->scan_dirs, probe->scan_count, o->scan_dirs, o->scan_count);
}

static int check_remount_word(const struct options *o, char *word, unsigned long *flags,
			      struct reason *why)
{
	_cleanup_free_ char *kept = strdup(word);
	struct options probe;
	int err;

	if (is_of_fuse(word))
		return 0;
	memcpy(&probe, o, sizeof(probe)); /* padding and all */
	probe.subvol = NULL;
	probe.devices = probe.scan_dirs = NULL;
	probe.device_count = probe.scan_count = 0;
	probe.mount_flags = *flags;
	err = kept ? parse_one(&probe, word, why) : -ENOMEM;
	if (!err && changed(&probe, o)) {
		reason_set(why, "option '%s' cannot change while mounted", kept);
		err = -EINVAL;
	}
	*flags = probe.mount_flags;
	options_free(&probe);
	return err;
}

int options_check_remount(const struct options *o, const char *list, unsigned long *flags,
			  struct reason *why)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *word;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (word = strsep(&rest, ",")))
		err = check_remount_word(o, word, flags, why);
	return err;
}

unsigned long options_mount_flags(const char *list)
{
	_cleanup_free_ char *copy = strdup(list);
	struct options o = {0};
	char *rest = copy, *word;

	while (copy && (word = strsep(&rest, ","))) {
		const struct option *opt = option_find(word);

		if (opt && opt->apply == apply_flag && apply_flag(&o, opt, NULL))
			break;
	}
	return o.mount_flags;
}

void options_init(struct options *o)
{
	*o = (struct options){.threads = DEFAULT_THREADS};
}

static void free_paths(char ***list, unsigned *count)
{
	for (unsigned i = 0; i < *count; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
	*count = 0;
}

void options_free(struct options *o)
{
	free(o->subvol);
	o->subvol = NULL;
	free_paths(&o->devices, &o->device_count);
	free_paths(&o->scan_dirs, &o->scan_count);
}
