/*
 * watermark.c - the clocks of partitions, and what they say together (the rules are in watermark.h).
 *
 * Sums saturate: intervals come from a configuration, and one that means "never" must not wrap around.
 */
#include "watermark.h"

static int64_t
add_saturated(int64_t a, int64_t b)
{
	int64_t sum;

	if (!__builtin_add_overflow(a, b, &sum))
		return sum;
	return b < 0 ? INT64_MIN : INT64_MAX;
}

static int64_t
subtract_saturated(int64_t a, int64_t b)
{
	int64_t difference;

	if (!__builtin_sub_overflow(a, b, &difference))
		return difference;
	return b < 0 ? INT64_MAX : INT64_MIN;
}

static int64_t
lower_of(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void
tk_clock_init(TkPartitionClock *clock)
{
	tk_clock_restore(clock, TK_NO_TIME, TK_NO_TIME);
}

void
tk_clock_restore(TkPartitionClock *clock, int64_t max_event_time, int64_t watermark)
{
	clock->max_event_time = max_event_time;
	clock->watermark = watermark;
	clock->at_end_since = TK_NO_TIME;
	clock->idle = false;
}

bool
tk_time_is_future(const TkTimeRules *rules, int64_t event_time, int64_t now)
{
	return event_time > add_saturated(now, rules->max_future);
}

TkLateness
tk_clock_judge(const TkPartitionClock *clock, const TkTimeRules *rules, int64_t event_time)
{
	int64_t pane_end = tk_pane_start(event_time, rules->pane_size) + rules->pane_size;

	if (clock->watermark == TK_NO_TIME || pane_end > clock->watermark)
		return TK_IN_TIME;
	if (add_saturated(pane_end, rules->allowed_lateness) > clock->watermark)
		return TK_LATE;
	return TK_TOO_LATE;
}

void
tk_clock_observe(TkPartitionClock *clock, const TkTimeRules *rules, int64_t event_time, int64_t now)
{
	int64_t time = lower_of(event_time, now);
	int64_t watermark;

	tk_clock_touch(clock);
	if (time <= clock->max_event_time)
		return;
	clock->max_event_time = time;
	watermark = subtract_saturated(time, rules->out_of_orderness);
	if (watermark > clock->watermark)
		clock->watermark = watermark;
}

/* The log's end has moved by this message: the wait for idleness begins anew, even if it was the last one. */
void
tk_clock_touch(TkPartitionClock *clock)
{
	clock->at_end_since = TK_NO_TIME;
	clock->idle = false;
}

void
tk_clock_set_at_end(TkPartitionClock *clock, const TkTimeRules *rules, bool at_end, int64_t now)
{
	if (!at_end)
	{
		tk_clock_touch(clock);
		return;
	}
	/* A wall clock that was set back must not keep the partition from becoming idle until it has caught up.
	 */
	if (clock->at_end_since == TK_NO_TIME || clock->at_end_since > now)
		clock->at_end_since = now;
	if (subtract_saturated(now, clock->at_end_since) >= rules->idle_timeout)
		clock->idle = true;
}

/*
 * The watermark of a quiet source: event time is taken to go on from the highest event at the pace of the
 * wall clock, beginning when the last partition was seen at its log's end; never beyond the wall clock
 * itself.
 */
static int64_t
watermark_when_all_idle(const TkPartitionClock *clocks, int n, const TkTimeRules *rules, int64_t now)
{
	int64_t highest = TK_NO_TIME;
	int64_t since = TK_NO_TIME;
	int64_t passed;

	for (int i = 0; i < n; i++)
	{
		if (clocks[i].max_event_time > highest)
			highest = clocks[i].max_event_time;
		if (clocks[i].at_end_since > since)
			since = clocks[i].at_end_since;
	}
	if (highest == TK_NO_TIME)
		return TK_NO_TIME;
	passed = since < now ? subtract_saturated(now, since) : 0;
	return subtract_saturated(lower_of(add_saturated(highest, passed), now), rules->out_of_orderness);
}

int64_t
tk_watermark_of(const TkPartitionClock *clocks, int n, const TkTimeRules *rules, int64_t now)
{
	int64_t lowest = INT64_MAX;
	bool all_idle = true;

	if (n == 0)
		return TK_NO_TIME;
	for (int i = 0; i < n; i++)
	{
		if (clocks[i].idle)
			continue;
		all_idle = false;
		lowest = lower_of(lowest, clocks[i].watermark);
	}
	return all_idle ? watermark_when_all_idle(clocks, n, rules, now) : lowest;
}
