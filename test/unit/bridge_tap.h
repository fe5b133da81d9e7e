/*
 * bridge_tap.h - the few lines of TAP that the unit tests of bridge/ need.
 *
 * tap_ok prints one line a check; tap_done prints the plan and gives the exit status.  Tests that check the
 * same thing many thousand times call tap_ok once, with the sum: tap_check counts
 * in tap_wrong what is wrong, and tells of the first.
 */
#ifndef BRIDGE_TAP_H
#define BRIDGE_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_run;
static int tap_failed;
static int tap_wrong;

__attribute__((format(printf, 2, 3))) static inline bool
tap_ok(bool passed, const char *format, ...)
{
	char name[256];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	for (char *c = name; *c != '\0'; c++)
	{
		if (*c == '#' || (unsigned char) *c < ' ')
			*c = '_'; /* would mean something to a reader of TAP */
	}
	tap_run++;
	tap_failed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", tap_run, name);
	return passed;
}

static inline void
tap_check(bool passed, const char *what)
{
	if (!passed && tap_wrong++ < 10)
		printf("# wrong: %s\n", what);
}

static inline int
tap_done(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed > 0;
}

/* A small deterministic generator: the same seed gives the same test everywhere. */
static inline unsigned long long
tap_random(unsigned long long *state)
{
	unsigned long long x = *state += 0x9E3779B97F4A7C15ULL;

	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
	return x ^ (x >> 31);
}

/* A number from 0 to n - 1. */
static inline int
tap_below(unsigned long long *state, int n)
{
	return (int) (tap_random(state) % (unsigned long long) n);
}

#endif
