/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qgroup_show.h - btrfusectl qgroup show. */
#ifndef FUSE_CTL_QGROUP_SHOW_H
#define FUSE_CTL_QGROUP_SHOW_H

struct ctl;

/* The command; the exit code. */
int qgroup_show(struct ctl *ctl, int argc, char **argv);

#endif
