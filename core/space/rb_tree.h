/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rb_tree.h - libbsd's red-black trees, static, clean under our warnings with gcc and clang. */
#ifndef CORE_SPACE_RB_TREE_H
#define CORE_SPACE_RB_TREE_H

#include <bsd/sys/tree.h>

#define RB_TREE(name, type, field, cmp)                                                            \
	RB_PROTOTYPE_INTERNAL(name, type, field, cmp, __attribute__((unused)) static)              \
	RB_GENERATE_INTERNAL(name, type, field, cmp, __attribute__((unused)) static)

#endif
