/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - the -o list: which options there are, what they mean, which are refused. */
#ifndef FUSE_OPTIONS_H
#define FUSE_OPTIONS_H

#include "core/fs.h"
#include "disk/base/reason.h"

struct options {
	struct fs_options fs;   /* source and devices not filled in */
	unsigned long mount_flags; /* MS_* for the kernel */
	bool allow_other;
	bool skip_balance;      /* a paused balance stays paused */
	unsigned threads;
	char *subvol;           /* owns fs.subvol */
	char **devices;         /* device=, in order */
	unsigned device_count;
	char **scan_dirs;       /* scan= */
	unsigned scan_count;
};

void options_init(struct options *o);
void options_free(struct options *o);

/* Adds a comma-separated list; later ones win. -EINVAL with @why naming the option that is unknown,
 * not supported, or has a bad value. */
_must_check_ int options_parse(struct options *o, const char *list, struct reason *why);

/* The list of a remount: *@flags (MS_*) become what it asks for. Everything else can only stay as it
 * is: -EINVAL with @why for an option that would change. */
_must_check_ int options_check_remount(const struct options *o, const char *list,
				       unsigned long *flags, struct reason *why);

/* MS_* that the words of the list say; others are passed over. */
unsigned long options_mount_flags(const char *list);

#endif
