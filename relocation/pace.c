/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pace.c - see pace.h. */
#include "relocation/pace.h"

#include <time.h>

#include "core/trans/transaction.h"

#define MS 1000000ull
#define LONG_NS (20 * MS)  /* whoever waited this long waited too long */
#define SHORT_NS (10 * MS)
#define LEAST 32u

void pace_init(struct pace *pace)
{
	*pace = (struct pace){ PACE_REFS_MAX, PACE_NODES_MAX };
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 * MS + (u64)t.tv_nsec;
}

struct pace_section pace_enter(struct fs *fs)
{
	return (struct pace_section){ fs, now_ns(), trans_join_waits(fs) };
}

void pace_leave(const struct pace_section *section, u32 *limit, u32 max)
{
	u64 took = now_ns() - section->began_ns;
	bool waited = trans_join_waits(section->fs) != section->waits;

	if (waited && took > LONG_NS)
		*limit = MAX(*limit / 2, LEAST);
	else if (!waited || took < SHORT_NS)
		*limit = MIN(*limit + *limit / 2, max);
}

bool pace_shrink(u32 *limit, size_t batch)
{
	if (batch <= 1)
		return false;
	*limit = (u32)MIN((size_t)*limit, batch) / 2;
	return true;
}
