/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph_internal.h - between graph.c (closure) and rewrite.c (writing it anew). */
#ifndef RELOCATION_GRAPH_INTERNAL_H
#define RELOCATION_GRAPH_INTERNAL_H

#include "relocation/graph.h"

struct graph_node *graph_find(struct graph *g, u64 logical);

#endif
