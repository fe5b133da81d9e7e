/*
 * event_time.c - reads the timestamps of events.
 *
 * ISO 8601 is read by hand: the text has fixed columns up to the minute, and a cache of the last minute saves
 * the calendar for nearly every event.  Nothing here depends on a locale, a time zone or a C library's
 * opinion of dates.
 *
 *   column  0123456789012345
 *           YYYY-MM-DDTHH:MM   then [:SS[.fraction]] [zone]
 */
#include <string.h>

#include "event_time.h"

#define MINUTE_COLUMNS 16
#define SECONDS_PER_DAY 86400

/* The two digits at `text` as a number, or -1. */
static inline int
two_digits(const char *text)
{
	unsigned int tens = (unsigned char) text[0] - (unsigned int) '0';
	unsigned int ones = (unsigned char) text[1] - (unsigned int) '0';

	return (tens > 9 || ones > 9) ? -1 : (int) (tens * 10 + ones);
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar; years are counted from March. */
static int64_t
days_from_date(int year, int month, int day)
{
	int y = month > 2 ? year : year - 1;
	int m = month > 2 ? month - 3 : month + 9;
	int era_days = y * 365 + y / 4 - y / 100 + y / 400;

	return era_days + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static bool
date_exists(int year, int month, int day)
{
	static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (year < 1 || month < 1 || month > 12 || day < 1)
		return false;
	return day <= days[month - 1] + (month == 2 && leap);
}

/* Reads the fixed columns up to the minute. */
static bool
parse_minute(const char *text, int64_t *us)
{
	int century = two_digits(text);
	int year = two_digits(text + 2);
	int month = two_digits(text + 5);
	int day = two_digits(text + 8);
	int hour = two_digits(text + 11);
	int minute = two_digits(text + 14);

	if (century < 0 || year < 0 || text[4] != '-' || text[7] != '-' || text[13] != ':')
		return false;
	if (text[10] != 'T' && text[10] != 't' && text[10] != ' ')
		return false;
	year += century * 100;
	if (!date_exists(year, month, day) || hour < 0 || hour > 23 || minute < 0 || minute > 59)
		return false;
	*us = (days_from_date(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60) * TK_US_PER_SECOND;
	return true;
}

static inline bool
parse_minute_cached(TkTimeCache *cache, const char *text, int64_t *us)
{
	if (!cache->valid || memcmp(cache->text, text, MINUTE_COLUMNS) != 0)
	{
		int64_t minute;

		if (!parse_minute(text, &minute))
			return false;
		memcpy(cache->text, text, MINUTE_COLUMNS);
		cache->us = minute;
		cache->valid = true;
	}
	*us = cache->us;
	return true;
}

/* Reads the digits after the point; those beyond microseconds are cut.  At least one is required. */
static bool
parse_fraction(const char **text, const char *end, int64_t *us)
{
	const char *begin = *text;
	int64_t fraction = 0;
	int64_t unit = TK_US_PER_SECOND;

	for (; *text < end; (*text)++)
	{
		unsigned int digit = (unsigned char) **text - (unsigned int) '0';

		if (digit > 9)
			break;
		unit /= 10;
		fraction += (int64_t) digit * unit;
	}
	*us += fraction;
	return *text > begin;
}

/* Reads [:SS[.fraction]], which may be left out. */
static bool
parse_seconds(const char **text, const char *end, int64_t *us)
{
	int second;

	if (*text == end || **text != ':')
		return true;
	if (end - *text < 3)
		return false;
	second = two_digits(*text + 1);
	if (second < 0 || second > 60)
		return false;
	*us += second * TK_US_PER_SECOND;
	*text += 3;
	if (*text == end || **text != '.')
		return true;
	(*text)++;
	return parse_fraction(text, end, us);
}

/* Reads Z, +HH, +HHMM, +HH:MM or nothing (UTC), which must be all that is left. */
static bool
parse_zone(const char *text, const char *end, int64_t *us)
{
	ptrdiff_t len = end - text;
	int hours;
	int minutes = 0;
	int64_t offset;

	if (len == 0 || (len == 1 && (*text == 'Z' || *text == 'z')))
		return true;
	if ((*text != '+' && *text != '-') || (len != 3 && len != 5 && len != 6))
		return false;
	hours = two_digits(text + 1);
	if (len > 3)
		minutes = two_digits(end - 2);
	if (len == 6 && text[3] != ':')
		return false;
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	offset = (hours * 60 + minutes) * TK_US_PER_MINUTE;
	*us += *text == '+' ? -offset : offset;
	return true;
}

static inline bool
time_in_range(int64_t us)
{
	return us >= 0 && us <= TK_MAX_TIME;
}

bool
tk_time_parse_iso(TkTimeCache *cache, const char *text, size_t len, int64_t *us)
{
	const char *end = text + len;
	int64_t result;

	if (len < MINUTE_COLUMNS || !parse_minute_cached(cache, text, &result))
		return false;
	text += MINUTE_COLUMNS;
	if (!parse_seconds(&text, end, &result) || !parse_zone(text, end, &result) || !time_in_range(result))
		return false;
	*us = result;
	return true;
}

/* Microseconds in one unit of an epoch number of this size. */
static int64_t
epoch_unit(double number)
{
	if (number < 1e11)
		return TK_US_PER_SECOND;
	return number < 1e14 ? 1000 : 1;
}

/*
 * The fraction is rounded, not cut: a double such as 1700000000.123456 lies a little beside the decimal
 * number that was meant.  Whole part and fraction are scaled apart, so that nothing is lost above 2^52 us.
 */
bool
tk_time_from_epoch(double number, int64_t *us)
{
	int64_t unit = epoch_unit(number);
	int64_t whole;
	int64_t result;

	if (!(number >= 0 && number <= (double) TK_MAX_TIME)) /* a NaN fails, too */
		return false;
	whole = (int64_t) number;
	result = whole * unit + (int64_t) ((number - (double) whole) * (double) unit + 0.5);
	if (!time_in_range(result))
		return false;
	*us = result;
	return true;
}

/*
 * Reads a plain decimal number, digits with an optional fraction.  18 digits hold every time there is; a
 * double holds the result well below a microsecond's error in s and ms, and exactly in us until the year
 * 2255.
 */
static bool
parse_decimal(const char *text, size_t len, double *number)
{
	const char *end = text + len;
	const char *begin = text;
	int64_t whole = 0;
	double scale = 1;
	double fraction = 0;

	for (; text < end && *text >= '0' && *text <= '9'; text++)
	{
		if (text - begin == 18)
			return false;
		whole = whole * 10 + (*text - '0');
	}
	if (text == begin)
		return false;
	if (text < end && *text == '.')
	{
		begin = ++text;
		for (; text < end && *text >= '0' && *text <= '9'; text++)
		{
			scale /= 10;
			fraction += (*text - '0') * scale;
		}
		if (text == begin)
			return false;
	}
	*number = (double) whole + fraction;
	return text == end;
}

bool
tk_time_parse(TkTimeCache *cache, const char *text, size_t len, int64_t *us)
{
	double number;

	if (len > 4 && text[4] == '-')
		return tk_time_parse_iso(cache, text, len, us);
	return parse_decimal(text, len, &number) && tk_time_from_epoch(number, us);
}
