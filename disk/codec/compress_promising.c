/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compress_promising.c - is compressing worth the time? From a sample: repeated content, few
 * different bytes, or uneven frequencies say yes. Thresholds as the kernel's, so that the same
 * data is compressed here and there.
 */
#include <math.h>

#include "disk/codec/compress.h"

#define SAMPLE_STEP 256
#define SAMPLE_BYTES 16
#define SAMPLE_MAX (COMPRESS_MAX / SAMPLE_STEP * SAMPLE_BYTES)
#define FEW_BYTES 64  /* so few different ones: text and the like */
#define CORE_LOW 64   /* so few make up 90 percent of the sample */
#define CORE_HIGH 200 /* so many: random */
#define ENTROPY_MAX 0.80

static u32 take_sample(const u8 *data, u32 len, u8 *sample)
{
	u32 n = 0;

	for (u32 at = 0; at < len && n < SAMPLE_MAX; at += SAMPLE_STEP) {
		u32 take = MIN((u32)SAMPLE_BYTES, len - at);

		memcpy(sample + n, data + at, take);
		n += take;
	}
	return n;
}

static bool repeats(const u8 *sample, u32 n)
{
	u32 half = n / 2;

	return half && !memcmp(sample, sample + half, half);
}

static int by_count_down(const void *a, const void *b)
{
	const u32 *x = a, *y = b;

	return (*x < *y) - (*x > *y);
}

/* How many of the most frequent bytes make up 90 percent. @count is sorted, most first. */
static u32 core_size(const u32 *count, u32 n)
{
	u32 sum = 0, i;

	for (i = 0; i < 256 && sum < n * 9 / 10; i++)
		sum += count[i];
	return i;
}

/* 0 all the same, 1 all different. */
static double entropy(const u32 *count, u32 n)
{
	double bits = 0;

	for (u32 i = 0; i < 256 && count[i]; i++)
		bits += count[i] * log2((double)n / count[i]);
	return bits / n / 8;
}

static u32 different(const u32 *count)
{
	u32 n = 0;

	while (n < 256 && count[n])
		n++;
	return n;
}

bool compress_promising(const void *data, u32 len)
{
	u8 sample[SAMPLE_MAX];
	u32 count[256] = {0}, n = take_sample(data, len, sample), core;

	if (repeats(sample, n))
		return true;
	for (u32 i = 0; i < n; i++)
		count[sample[i]]++;
	qsort(count, 256, sizeof(*count), by_count_down);
	if (different(count) < FEW_BYTES)
		return true;
	core = core_size(count, n);
	if (core <= CORE_LOW || core >= CORE_HIGH)
		return core <= CORE_LOW;
	return entropy(count, n) < ENTROPY_MAX;
}
