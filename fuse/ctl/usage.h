/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage.h - verbs that report space. Each takes units (-b, -k, --si ...) and one path. */
#ifndef FUSE_CTL_USAGE_H
#define FUSE_CTL_USAGE_H

#include "fuse/ctl/ctl.h"

int usage_df(struct ctl *ctl, int argc, char **argv);
int usage_show(struct ctl *ctl, int argc, char **argv);
int usage_filesystem(struct ctl *ctl, int argc, char **argv);
int usage_device(struct ctl *ctl, int argc, char **argv);

#endif
