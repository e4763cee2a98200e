/* SPDX-License-Identifier: GPL-2.0-or-later */
/* size.c - see size.h. */
#include "fuse/ctl/size.h"

#include <stdio.h>
#include <string.h>

const char *size_text(const struct size_unit *unit, uint64_t bytes, char buf[SIZE_TEXT])
{
	static const char *const names[2][6] = {{"B", "KiB", "MiB", "GiB", "TiB", "PiB"},
						{"B", "kB", "MB", "GB", "TB", "PB"}};
	const unsigned base = unit->decimal ? 1000 : 1024;
	double value = (double)bytes;
	unsigned step = 0;

	if (unit->raw) {
		snprintf(buf, SIZE_TEXT, "%llu", (unsigned long long)bytes);
		return buf;
	}
	while (unit->step ? step < unit->step : (value >= base && step < 5)) {
		value /= base;
		step++;
	}
	snprintf(buf, SIZE_TEXT, "%.2f%s", value, names[unit->decimal][step]);
	return buf;
}

bool size_option(const char *word, struct size_unit *unit)
{
	static const struct {
		const char *brief, *full;
		unsigned step;
	} steps[] = {{"-k", "--kbytes", 1}, {"-m", "--mbytes", 2}, {"-g", "--gbytes", 3},
		     {"-t", "--tbytes", 4}};

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!strcmp(word, steps[i].brief) || !strcmp(word, steps[i].full)) {
			unit->step = steps[i].step;
			return true;
		}
	if (!strcmp(word, "-b") || !strcmp(word, "--raw"))
		unit->raw = true;
	else if (!strcmp(word, "-H") || !strcmp(word, "--si"))
		unit->decimal = true;
	else if (strcmp(word, "-h") && strcmp(word, "--human-readable") && strcmp(word, "--iec"))
		return false;
	return true;
}
