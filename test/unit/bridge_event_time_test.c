/*
 * bridge_event_time_test.c - timestamps: a table of texts, a comparison with the C library's calendar,
 * epochs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../bridge/event_time.h"
#include "bridge_tap.h"

#define REFUSED (-1)

typedef struct TextCase
{
	const char *text;
	int64_t us; /* or REFUSED */
} TextCase;

static const TextCase iso_cases[] = {
	{"1970-01-01T00:00:00Z", 0},
	{"1970-01-01T00:00", 0},
	{"2024-02-29T12:34:56Z", INT64_C(1709210096000000)},
	{"2024-02-29t12:34:56z", INT64_C(1709210096000000)},
	{"2024-02-29 12:34:56", INT64_C(1709210096000000)},
	{"2024-02-29T12:34:56.7Z", INT64_C(1709210096700000)},
	{"2024-02-29T12:34:56.789Z", INT64_C(1709210096789000)},
	{"2024-02-29T12:34:56.789012", INT64_C(1709210096789012)},
	{"2024-02-29T12:34:56.789012999Z", INT64_C(1709210096789012)},
	{"2024-02-29T12:34:56.00000000000000000000000000000009Z", INT64_C(1709210096000000)},
	{"2024-02-29T14:34:56+02:00", INT64_C(1709210096000000)},
	{"2024-02-29T14:34:56+0200", INT64_C(1709210096000000)},
	{"2024-02-29T14:34:56+02", INT64_C(1709210096000000)},
	{"2024-02-29T07:04:56.5-05:30", INT64_C(1709210096500000)},
	{"2024-02-29T12:34Z", INT64_C(1709210040000000)},
	{"2024-02-29T14:34+02:00", INT64_C(1709210040000000)},
	{"2016-12-31T23:59:60Z", INT64_C(1483228800000000)},
	{"1969-12-31T23:00:00-02:00", INT64_C(3600000000)},
	{"9999-12-31T23:59:59.999999Z", TK_MAX_TIME},
	{"9999-12-31T23:59:60Z", REFUSED},
	{"9999-12-31T23:59:59-00:01", REFUSED},
	{"1970-01-01T00:00:00+00:01", REFUSED},
	{"1969-12-31T23:59:59Z", REFUSED},
	{"0000-01-01T00:00:00Z", REFUSED},
	{"2023-02-29T12:34:56Z", REFUSED},
	{"2100-02-29T12:34:56Z", REFUSED},
	{"2000-02-29T00:00:00Z", INT64_C(951782400000000)},
	{"2024-13-01T00:00:00Z", REFUSED},
	{"2024-00-01T00:00:00Z", REFUSED},
	{"2024-04-31T00:00:00Z", REFUSED},
	{"2024-04-00T00:00:00Z", REFUSED},
	{"2024-04-01T24:00:00Z", REFUSED},
	{"2024-04-01T00:60:00Z", REFUSED},
	{"2024-04-01T00:00:61Z", REFUSED},
	{"2024-04-01T00:00:00.Z", REFUSED},
	{"2024-04-01T00:00:00.", REFUSED},
	{"2024-04-01T00:00:00,5Z", REFUSED},
	{"2024-04-01T00:00:0Z", REFUSED},
	{"2024-04-01T00:00:", REFUSED},
	{"2024-04-01T00:00:00+", REFUSED},
	{"2024-04-01T00:00:00+2", REFUSED},
	{"2024-04-01T00:00:00+24", REFUSED},
	{"2024-04-01T00:00:00+0260", REFUSED},
	{"2024-04-01T00:00:00+02-00", REFUSED},
	{"2024-04-01T00:00:00+02:0", REFUSED},
	{"2024-04-01T00:00:00+02:00:00", REFUSED},
	{"2024-04-01T00:00:00ZZ", REFUSED},
	{"2024-04-01T00:00:00Z ", REFUSED},
	{" 2024-04-01T00:00:00Z", REFUSED},
	{"2024-04-01T00:00:00 Z", REFUSED},
	{"2024/04/01T00:00:00Z", REFUSED},
	{"2024-04-01_00:00:00Z", REFUSED},
	{"2024-04-01", REFUSED},
	{"+024-04-01T00:00:00Z", REFUSED},
	{"20a4-04-01T00:00:00Z", REFUSED},
	{"", REFUSED},
};

static const TextCase either_cases[] = {
	{"2024-02-29T12:34:56Z", INT64_C(1709210096000000)},
	{"1709210096", INT64_C(1709210096000000)},
	{"1709210096.5", INT64_C(1709210096500000)},
	{"1709210096.123456", INT64_C(1709210096123456)},
	{"1709210096789", INT64_C(1709210096789000)},
	{"1709210096789012", INT64_C(1709210096789012)},
	{"0", 0},
	{"-1", REFUSED},
	{"+1", REFUSED},
	{"1e9", REFUSED},
	{"1.", REFUSED},
	{".5", REFUSED},
	{"1709210096 ", REFUSED},
	{"0x10", REFUSED},
	{"yesterday", REFUSED},
	{"999999999999999999", REFUSED},
	{"99999999999999999999999999", REFUSED},
	{"", REFUSED},
};

typedef bool (*Parse)(TkTimeCache *cache, const char *text, size_t len, int64_t *us);

/*
 * Each text is given in a block of exactly its length (for the sanitizer), to an empty cache and to one that
 * the cases before have filled.
 */
static void
check_texts(const char *name, Parse parse, const TextCase *cases, size_t n)
{
	TkTimeCache shared = {0};

	for (size_t i = 0; i < n; i++)
	{
		size_t len = strlen(cases[i].text);
		char *text = strndup(cases[i].text, len);
		char exact[64];
		TkTimeCache fresh = {0};
		int64_t a = REFUSED;
		int64_t b = REFUSED;
		bool same;

		memcpy(exact + sizeof(exact) - len, text, len);
		same = parse(&fresh, exact + sizeof(exact) - len, len, &a) == (cases[i].us != REFUSED);
		same = same && parse(&shared, text, len, &b) == (cases[i].us != REFUSED);
		tap_ok(same && a == cases[i].us && b == cases[i].us, "%s: \"%s\"", name, cases[i].text);
		free(text);
	}
}

static void
check_calendar(void)
{
	unsigned long long seed = 1;
	TkTimeCache cache = {0};
	int wrong = 0;

	for (int i = 0; i < 200000; i++)
	{
		time_t seconds = (time_t) (tap_random(&seed) % 253402300800ULL);
		int fraction = tap_below(&seed, 1000000);
		int64_t us = REFUSED;
		char text[80];
		char whole[64];
		struct tm tm;

		strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
		snprintf(text, sizeof(text), "%s.%06dZ", whole, fraction);
		if (!tk_time_parse_iso(&cache, text, strlen(text), &us) ||
			us != seconds * TK_US_PER_SECOND + fraction)
			wrong++;
	}
	tap_ok(wrong == 0, "200,000 random times agree with the C library's calendar (%d do not)", wrong);
}

static void
check_cut_texts(void)
{
	static const char text[] = "2024-02-29T12:34:56.789012+02:00";
	TkTimeCache cache = {0};
	int read = 0;

	for (size_t len = 0; len < sizeof(text); len++)
	{
		char *cut = strndup(text, len);
		int64_t us;

		read += tk_time_parse_iso(&cache, cut, len, &us);
		free(cut);
	}
	/* the minute, the second, six fractions, and two forms of the zone */
	tap_ok(read == 10, "of all prefixes of a timestamp 10 are timestamps (%d are)", read);
}

static int64_t
from_epoch(double number)
{
	int64_t us = REFUSED;

	return tk_time_from_epoch(number, &us) ? us : REFUSED;
}

static void
check_epochs(void)
{
	tap_ok(from_epoch(0) == 0, "epoch 0");
	tap_ok(from_epoch(1709210096) == INT64_C(1709210096000000), "seconds");
	tap_ok(from_epoch(1709210096.123456) == INT64_C(1709210096123456), "seconds with a fraction");
	tap_ok(from_epoch(1709210096789) == INT64_C(1709210096789000), "milliseconds");
	tap_ok(from_epoch(1709210096789.25) == INT64_C(1709210096789250), "milliseconds with a fraction");
	tap_ok(from_epoch(1709210096789012) == INT64_C(1709210096789012), "microseconds");
	tap_ok(from_epoch(4503599627370497.0) == INT64_C(4503599627370497), "microseconds above 2^52 stay exact");
	tap_ok(from_epoch(99999999999.0) == INT64_C(99999999999000000), "below 1e11: seconds");
	tap_ok(from_epoch(1e11) == INT64_C(100000000000000), "1e11: milliseconds");
	tap_ok(from_epoch(1e14) == INT64_C(100000000000000), "1e14: microseconds");
	tap_ok(from_epoch(253402300799999968.0) == INT64_C(253402300799999968),
		   "the last double of the year 9999");
	tap_ok(from_epoch(253402300800000000.0) == REFUSED, "the year 10000 is refused");
	tap_ok(from_epoch(-1) == REFUSED, "a negative number is refused");
	tap_ok(from_epoch(-1e-9) == REFUSED, "a hardly negative number is refused");
	tap_ok(from_epoch(1e300) == REFUSED && from_epoch(INFINITY) == REFUSED, "huge numbers are refused");
	tap_ok(from_epoch(NAN) == REFUSED, "NaN is refused");
}

static void
check_panes(void)
{
	int64_t minute = TK_US_PER_MINUTE;

	tap_ok(tk_pane_start(0, minute) == 0, "the epoch starts a pane");
	tap_ok(tk_pane_start(minute - 1, minute) == 0, "the last microsecond of a pane");
	tap_ok(tk_pane_start(minute, minute) == minute, "a pane's end starts the next");
	tap_ok(tk_pane_start(-1, minute) == -minute, "floor, not truncation, before the epoch");
	tap_ok(tk_pane_start(-minute, minute) == -minute, "a pane start before the epoch");
}

int
main(void)
{
	check_texts("iso", tk_time_parse_iso, iso_cases, sizeof(iso_cases) / sizeof(iso_cases[0]));
	check_texts("either", tk_time_parse, either_cases, sizeof(either_cases) / sizeof(either_cases[0]));
	check_calendar();
	check_cut_texts();
	check_epochs();
	check_panes();
	return tap_done();
}
