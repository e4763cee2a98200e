/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report.h - how btrfusectl umount hears whether the last commit succeeded.
 *
 * An ioctl of our own hands the daemon the write end of a pipe (a descriptor number of the
 * caller). When the image is complete the daemon writes one byte: 0, or the errno of the commit, and
 * closes the pipe by its end. End of file without a byte: it died.
 */
#ifndef FUSE_REPORT_H
#define FUSE_REPORT_H

#include <linux/ioctl.h>

#define BTRFUSE_IOC_REPORT _IOW(0xF5, 1, int)

#endif
