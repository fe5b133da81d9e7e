/*
 * bridge_watermark_test.c - partition clocks and the watermark over them, by hand-made situations.  Random
 * streams are in bridge_pane_test.c.
 */
#include "../../bridge/watermark.h"
#include "bridge_tap.h"

#define S TK_US_PER_SECOND
#define M TK_US_PER_MINUTE

/* An arbitrary Tuesday, at the start of a minute. */
#define T0 INT64_C(1709640000000000)

static const TkTimeRules rules = {
	.pane_size = M,
	.out_of_orderness = M,
	.allowed_lateness = 60 * M,
	.idle_timeout = 30 * S,
	.max_future = 10 * M,
};

static void
check_one_clock(void)
{
	TkPartitionClock clock;
	int64_t now = T0 + 60 * M;

	tk_clock_init(&clock);
	tap_ok(clock.watermark == TK_NO_TIME && !clock.idle, "a new clock knows nothing");
	tap_ok(tk_clock_judge(&clock, &rules, 0) == TK_IN_TIME, "before the first event nothing is late");
	tk_clock_observe(&clock, &rules, T0, now);
	tap_ok(clock.watermark == T0 - M, "the watermark is the highest event time less out_of_orderness");
	tk_clock_observe(&clock, &rules, T0 - 5 * M, now);
	tap_ok(clock.watermark == T0 - M && clock.max_event_time == T0, "an older event moves nothing");
	tk_clock_observe(&clock, &rules, now + 5 * M, now);
	tap_ok(clock.watermark == now - M && clock.max_event_time == now, "an event of the future counts as now");
	tk_clock_observe(&clock, &rules, now - 5 * M, now - 10 * M);
	tap_ok(clock.watermark == now - M, "a wall clock set back moves nothing back");
	tk_clock_restore(&clock, T0, T0 + M);
	tk_clock_observe(&clock, &rules, T0 + S, now);
	tap_ok(clock.watermark == T0 + M && clock.max_event_time == T0 + S,
		   "with a longer out_of_orderness a restored watermark stays");
}

static void
check_lateness(void)
{
	TkPartitionClock clock;

	tk_clock_restore(&clock, T0 + M, T0);
	tap_ok(tk_clock_judge(&clock, &rules, T0) == TK_IN_TIME, "a pane that begins at the watermark is open");
	tap_ok(tk_clock_judge(&clock, &rules, T0 - 1) == TK_LATE, "a pane that ends at the watermark is late");
	tap_ok(tk_clock_judge(&clock, &rules, T0 - 60 * M) == TK_LATE, "late to the last minute");
	tap_ok(tk_clock_judge(&clock, &rules, T0 - 60 * M - 1) == TK_TOO_LATE,
		   "too late when pane end + allowed_lateness is at the watermark");
	clock.watermark = T0 - 1;
	tap_ok(tk_clock_judge(&clock, &rules, T0 - 1) == TK_IN_TIME, "a pane is open to its last microsecond");
	clock.watermark = T0 + M - 1;
	tap_ok(tk_clock_judge(&clock, &rules, T0) == TK_IN_TIME, "the pane counts, not the event's own time");
}

static void
check_extreme_rules(void)
{
	TkTimeRules never = rules;
	TkPartitionClock clock;

	never.allowed_lateness = INT64_MAX;
	never.out_of_orderness = INT64_MAX;
	never.max_future = INT64_MAX;
	never.idle_timeout = INT64_MAX;
	tk_clock_restore(&clock, T0, T0);
	tap_ok(tk_clock_judge(&clock, &never, 0) == TK_LATE, "endless lateness: late, never too late");
	tap_ok(!tk_time_is_future(&never, TK_MAX_TIME, T0), "endless max_future");
	tk_clock_set_at_end(&clock, &never, true, T0);
	tk_clock_set_at_end(&clock, &never, true, TK_MAX_TIME);
	tap_ok(!clock.idle, "endless idle_timeout");
	tk_clock_init(&clock);
	tk_clock_observe(&clock, &never, 0, T0);
	tap_ok(clock.watermark < 0 && tk_clock_judge(&clock, &never, 0) == TK_IN_TIME,
		   "endless out_of_orderness");
	tap_ok(tk_time_is_future(&rules, T0 + 10 * M + 1, T0) && !tk_time_is_future(&rules, T0 + 10 * M, T0),
		   "max_future itself is not yet the future");
}

static void
check_idleness(void)
{
	TkPartitionClock clock;

	tk_clock_init(&clock);
	tk_clock_set_at_end(&clock, &rules, true, T0);
	tap_ok(!clock.idle, "at the end, but not for long: not idle");
	tk_clock_set_at_end(&clock, &rules, true, T0 + 30 * S - 1);
	tap_ok(!clock.idle, "one microsecond short of idle_timeout");
	tk_clock_set_at_end(&clock, &rules, true, T0 + 30 * S);
	tap_ok(clock.idle, "idle after idle_timeout");
	tk_clock_set_at_end(&clock, &rules, false, T0 + 31 * S);
	tap_ok(!clock.idle && clock.at_end_since == TK_NO_TIME, "a backlog or a lost connection ends idleness");
	tk_clock_set_at_end(&clock, &rules, true, T0 + 32 * S);
	tk_clock_observe(&clock, &rules, T0, T0 + 60 * S);
	tk_clock_set_at_end(&clock, &rules, true, T0 + 63 * S);
	tap_ok(!clock.idle, "an event begins the wait anew");
	tk_clock_set_at_end(&clock, &rules, true, T0 + 93 * S);
	tap_ok(clock.idle, "and it ends idle_timeout later");
	tk_clock_touch(&clock);
	tap_ok(!clock.idle && clock.max_event_time == T0,
		   "a message without a time ends idleness, moves nothing");
	tk_clock_set_at_end(&clock, &rules, true, T0 + 100 * S);
	tk_clock_set_at_end(&clock, &rules, true, T0);
	tk_clock_set_at_end(&clock, &rules, true, T0 + 30 * S);
	tap_ok(clock.idle, "a wall clock set back does not delay idleness");
}

static void
check_watermark(void)
{
	TkPartitionClock clocks[3];
	int64_t now = T0 + 10 * M;

	tap_ok(tk_watermark_of(clocks, 0, &rules, now) == TK_NO_TIME, "no partitions: no watermark");
	for (int i = 0; i < 3; i++)
		tk_clock_init(&clocks[i]);
	tk_clock_observe(&clocks[0], &rules, T0, now);
	tk_clock_observe(&clocks[1], &rules, T0 + M, now);
	tap_ok(tk_watermark_of(clocks, 3, &rules, now) == TK_NO_TIME,
		   "a partition that has shown nothing holds it");
	tap_ok(tk_watermark_of(clocks, 2, &rules, now) == T0 - M, "else the lowest");
	clocks[2].idle = true;
	tap_ok(tk_watermark_of(clocks, 3, &rules, now) == T0 - M, "an idle one does not hold it");
	clocks[0].idle = true;
	tap_ok(tk_watermark_of(clocks, 3, &rules, now) == T0, "the lowest of those not idle");
}

static void
check_all_idle(void)
{
	TkPartitionClock clocks[2];
	int64_t now = T0 + 10 * M;

	for (int i = 0; i < 2; i++)
	{
		tk_clock_init(&clocks[i]);
		clocks[i].idle = true;
		clocks[i].at_end_since = now + i * S;
	}
	tap_ok(tk_watermark_of(clocks, 2, &rules, now + M) == TK_NO_TIME, "all idle, and no event ever");
	clocks[0].max_event_time = T0;
	clocks[0].watermark = T0 - M;
	tap_ok(tk_watermark_of(clocks, 2, &rules, now + S) == T0 - M,
		   "all idle: from the highest event time, when the last came to its end");
	tap_ok(tk_watermark_of(clocks, 2, &rules, now + 31 * S) == T0 - M + 30 * S,
		   "at the pace of the wall clock");
	tap_ok(tk_watermark_of(clocks, 2, &rules, now) == T0 - M,
		   "a wall clock set back counts as no time passed");
	clocks[1].max_event_time = now + S;
	tap_ok(tk_watermark_of(clocks, 2, &rules, now + M) == now, "and never beyond the wall clock");
	tap_ok(tk_watermark_of(clocks, 2, &rules, now - 5 * M) == now - 6 * M, "not even one set back");
}

int
main(void)
{
	check_one_clock();
	check_lateness();
	check_extreme_rules();
	check_idleness();
	check_watermark();
	check_all_idle();
	return tap_done();
}
