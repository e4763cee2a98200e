/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * workspace.c - memory that codecs work in, kept between calls: making it costs more than a small
 * compression. As many exist as threads compressed at once; the list's lock is a leaf.
 */
#include "disk/base/lock.h"
#include "disk/codec/codec_internal.h"

static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static struct workspace *idle;

struct workspace *workspace_get(void)
{
	struct workspace *ws;

	pthread_mutex_lock(&idle_lock);
	ws = idle;
	if (ws)
		idle = ws->next;
	pthread_mutex_unlock(&idle_lock);
	return ws ? ws : calloc(1, sizeof(*ws));
}

void workspace_put(struct workspace *ws)
{
	pthread_mutex_lock(&idle_lock);
	ws->next = idle;
	idle = ws;
	pthread_mutex_unlock(&idle_lock);
}

void workspace_drain(void)
{
	struct workspace *ws;

	while ((ws = idle)) {
		idle = ws->next;
		for (int i = 0; i < WS_SLOTS; i++)
			if (ws->slot[i])
				ws->destroy[i](ws->slot[i]);
		free(ws);
	}
}
