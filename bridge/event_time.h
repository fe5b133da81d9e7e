/*
 * event_time.h - timestamps of events, and the arithmetic of panes and watermarks.
 *
 * Pure: no PostgreSQL, Kafka or Redis header, no clock of its own.  Every time is an int64 of microseconds
 * since 1970-01-01 00:00:00 UTC ("us"), whatever the host's epoch.
 */
#ifndef TK_EVENT_TIME_H
#define TK_EVENT_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TK_US_PER_SECOND INT64_C(1000000)
#define TK_US_PER_MINUTE (60 * TK_US_PER_SECOND)

/* "before all time": the watermark of a partition that has shown no event */
#define TK_NO_TIME INT64_MIN

/*
 * Accepted range: years 1970 to 9999.  Anything else cannot be an event's time.
 */
#define TK_MAX_TIME INT64_C(253402300799999999)

/*
 * Remembers the last minute that was parsed, since neighbouring events nearly always share it.  Zero it
 * before the first use.
 */
typedef struct TkTimeCache
{
	char text[16]; /* "YYYY-MM-DDTHH:MM" */
	int64_t us;    /* that minute */
	bool valid;
} TkTimeCache;

/*
 * ISO 8601: YYYY-MM-DD(T or t or space)HH:MM[:SS[.fraction]][Z|z|+HH[:]MM|-HH[:]MM|+HH].  No zone means UTC.
 * Digits of the fraction beyond microseconds are cut.  A second of 60 is the next minute's first.
 * Returns false, leaving *us alone, for anything else.
 */
bool tk_time_parse_iso(TkTimeCache *cache, const char *text, size_t len, int64_t *us);

/*
 * A number since the epoch, its unit told by its size: below 1e11 seconds, below 1e14 milliseconds, else
 * microseconds.  A fraction is rounded to microseconds.  Negative numbers and times beyond TK_MAX_TIME are
 * refused.
 */
bool tk_time_from_epoch(double number, int64_t *us);

/* Either of the above, for text that may hold the one or the other. */
bool tk_time_parse(TkTimeCache *cache, const char *text, size_t len, int64_t *us);

/* The start of the pane of `size` us that contains `us` (floor, aligned to the epoch). */
static inline int64_t
tk_pane_start(int64_t us, int64_t size)
{
	int64_t rest = us % size;

	return us - (rest < 0 ? rest + size : rest);
}

#endif
