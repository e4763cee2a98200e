/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pace.c - see pace.h. */
#include "relocation/pace.h"

#include "core/trans/transaction.h"

#define MS 1000000ull
#define LONG_NS (20 * MS)  /* whoever waited this long waited too long */
#define SHORT_NS (10 * MS)
#define LEAST 32u

void pace_init(struct pace *pace)
{
	*pace = (struct pace){ PACE_REFS_MAX, PACE_NODES_MAX };
}

struct pace_section pace_enter(struct fs *fs)
{
	return (struct pace_section){ fs, trans_join_waits(fs) };
}

void pace_leave(const struct pace_section *section, u64 held_ns, u32 *limit, u32 max)
{
	bool waited = trans_join_waits(section->fs) != section->waits;

	if (waited && held_ns > LONG_NS)
		*limit = MAX(*limit / 2, LEAST);
	else if (!waited || held_ns < SHORT_NS)
		*limit = MIN(*limit + *limit / 2, max);
}

bool pace_shrink(u32 *limit, size_t batch)
{
	if (batch <= 1)
		return false;
	*limit = (u32)MIN((size_t)*limit, batch) / 2;
	return true;
}
