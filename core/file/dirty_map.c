/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirty_map.c - see dirty_map.h.
 *
 * Invariants: a window has at least one bit set (outside dirty_map_set); `bytes` is the sum of all
 * bits. Windows are found by a search tree; the one found last is remembered, as writes come in
 * sequence.
 */
#include "core/file/dirty_map.h"

#include "disk/base/buffer.h"

static int window_cmp(struct dirty_window *a, struct dirty_window *b)
{
	return a->off < b->off ? -1 : a->off > b->off;
}

/* RB_GENERATE_STATIC wants BSD's __unused, which is a member's name elsewhere. */
RB_GENERATE_INTERNAL(dirty_windows, dirty_window, link, window_cmp, __attribute__((unused)) static)

void dirty_map_init(struct dirty_map *map, u32 sectorsize)
{
	*map = (struct dirty_map){.sectorsize = sectorsize};
	RB_INIT(&map->windows);
}

static void window_free(struct dirty_map *map, struct dirty_window *w)
{
	RB_REMOVE(dirty_windows, &map->windows, w);
	if (map->last == w)
		map->last = NULL;
	map->window_count--;
	buffer_put(w->data);
	free(w);
}

void dirty_map_destroy(struct dirty_map *map)
{
	dirty_map_clear(map, 0, UINT64_MAX);
}

static struct dirty_window *window_find(struct dirty_map *map, u64 off)
{
	struct dirty_window want = {.off = ALIGN_DOWN(off, DIRTY_WINDOW)}, *w = map->last;

	if (w && w->off == want.off)
		return w;
	w = RB_FIND(dirty_windows, &map->windows, &want);
	if (w)
		map->last = w;
	return w;
}

/* The first window that ends behind @pos. */
static struct dirty_window *window_from(struct dirty_map *map, u64 pos)
{
	struct dirty_window want = {.off = ALIGN_DOWN(pos, DIRTY_WINDOW)};

	if (map->last && map->last->off == want.off)
		return map->last;
	return RB_NFIND(dirty_windows, &map->windows, &want);
}

static struct dirty_window *window_add(struct dirty_map *map, u64 off)
{
	struct dirty_window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->off = ALIGN_DOWN(off, DIRTY_WINDOW);
	w->data = buffer_get(DIRTY_WINDOW);
	if (!w->data) {
		free(w);
		return NULL;
	}
	RB_INSERT(dirty_windows, &map->windows, w);
	map->window_count++;
	map->last = w;
	return w;
}

/* The bits of the sectors of [start, end) that lie in @w. */
static u64 window_mask(const struct dirty_map *map, const struct dirty_window *w, u64 start,
		       u64 end)
{
	u64 from = MAX(start, w->off) - w->off;
	u64 to = MIN(end, w->off + DIRTY_WINDOW) - w->off;
	u64 first = from / map->sectorsize, count = DIV_ROUND_UP(to, map->sectorsize) - first;

	return (count == 64 ? ~0ULL : (1ULL << count) - 1) << first;
}

static u64 bits_bytes(const struct dirty_map *map, u64 bits)
{
	return (u64)__builtin_popcountll(bits) * map->sectorsize;
}

static void drop_empty(struct dirty_map *map, u64 start, u64 end)
{
	struct dirty_window *w = window_from(map, start), *next;

	for (; w && w->off < end; w = next) {
		next = RB_NEXT(dirty_windows, &map->windows, w);
		if (!w->bits)
			window_free(map, w);
	}
}

int dirty_map_set(struct dirty_map *map, u64 start, u64 end)
{
	for (u64 at = ALIGN_DOWN(start, DIRTY_WINDOW); at < end; at += DIRTY_WINDOW) {
		if (!window_find(map, at) && !window_add(map, at)) {
			drop_empty(map, start, end);
			return -ENOMEM;
		}
	}
	for (u64 at = ALIGN_DOWN(start, DIRTY_WINDOW); at < end; at += DIRTY_WINDOW) {
		struct dirty_window *w = window_find(map, at);
		u64 mask = window_mask(map, w, start, end);

		map->bytes += bits_bytes(map, mask & ~w->bits);
		w->bits |= mask;
	}
	return 0;
}

u64 dirty_map_clear(struct dirty_map *map, u64 start, u64 end)
{
	struct dirty_window *w = window_from(map, start), *next;
	u64 cleared = 0;

	for (; w && w->off < end; w = next) {
		u64 mask = window_mask(map, w, start, end);

		next = RB_NEXT(dirty_windows, &map->windows, w);
		cleared += bits_bytes(map, mask & w->bits);
		w->bits &= ~mask;
		if (!w->bits)
			window_free(map, w);
	}
	map->bytes -= cleared;
	return cleared;
}

u64 dirty_map_count(struct dirty_map *map, u64 start, u64 end)
{
	struct dirty_window *w;
	u64 sum = 0;

	if (!map->bytes)
		return 0;
	for (w = window_from(map, start); w && w->off < end;
	     w = RB_NEXT(dirty_windows, &map->windows, w))
		sum += bits_bytes(map, window_mask(map, w, start, end) & w->bits);
	return sum;
}

u8 *dirty_map_at(struct dirty_map *map, u64 pos, u64 *ret_len)
{
	struct dirty_window *w = window_find(map, pos);

	if (!w)
		return NULL;
	*ret_len = w->off + DIRTY_WINDOW - pos;
	return w->data + (pos - w->off);
}

/* End of the run of dirty sectors that begins at @pos, a dirty sector of @w. */
static u64 run_end(struct dirty_map *map, struct dirty_window *w, u64 pos, u64 limit)
{
	while (w && w->off <= pos && pos < limit) {
		u64 clear = ~w->bits & window_mask(map, w, pos, w->off + DIRTY_WINDOW);

		if (clear)
			return MIN(limit, w->off + (u64)__builtin_ctzll(clear) * map->sectorsize);
		pos = w->off + DIRTY_WINDOW;
		w = RB_NEXT(dirty_windows, &map->windows, w);
	}
	return MIN(pos, limit);
}

bool dirty_map_next(struct dirty_map *map, u64 pos, u64 limit, u64 *ret_start, u64 *ret_end)
{
	struct dirty_window *w;

	if (!map->bytes || pos >= limit)
		return false;
	for (w = window_from(map, pos); w && w->off < limit;
	     w = RB_NEXT(dirty_windows, &map->windows, w)) {
		u64 bits = w->bits & window_mask(map, w, pos, limit);

		if (!bits)
			continue;
		*ret_start = w->off + (u64)__builtin_ctzll(bits) * map->sectorsize;
		*ret_end = run_end(map, w, *ret_start, limit);
		return true;
	}
	return false;
}

u64 dirty_map_end(struct dirty_map *map)
{
	struct dirty_window *w = RB_MAX(dirty_windows, &map->windows);

	return w ? w->off + (u64)(64 - __builtin_clzll(w->bits)) * map->sectorsize : 0;
}

int dirty_map_iov(struct dirty_map *map, u64 start, u64 end, struct iovec *iov, int max)
{
	int n = 0;

	while (start < end && n < max) {
		u64 len;
		u8 *data = dirty_map_at(map, start, &len);

		len = MIN(len, end - start);
		iov[n++] = (struct iovec){.iov_base = data, .iov_len = len};
		start += len;
	}
	return n;
}
