/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replace_item.h - the item of a device replace, (0, DEV_REPLACE, 0) in the device tree. */
#ifndef CORE_REPLACE_ITEM_H
#define CORE_REPLACE_ITEM_H

#include "disk/base/types.h"

struct fs;

/* At a mount that may write: a replace that was interrupted stays suspended, and since what we write
 * goes to its source alone, whoever takes it up copies from the beginning. Its target is not touched.
 * Not joined. */
_must_check_ int replace_item_rest(struct fs *fs);

#endif
