/*
 * bridge_script_test.c - one scripted stream under a clock of the test's own, and the exact list of what must
 * follow: which panes close when and with what, which late events are merged, which are dropped.
 *
 * Two partitions, minutes, out_of_orderness 60 s, allowed_lateness 120 s, idle_timeout 30 s.  Every step
 * leaves its trace in one text, which is compared with the expected one line by line.
 */
#include <stdlib.h>
#include <string.h>

#include "../../bridge/pane.h"
#include "bridge_alloc.h"
#include "bridge_tap.h"

#define M TK_US_PER_MINUTE
#define S TK_US_PER_SECOND

static const TkRule rule = {.event_type = "view", .item_type = "url"};
static const TkExtractConfig config = {.rules = &rule,
									   .n_rules = 1,
									   .time = {.pane_size = M,
												.out_of_orderness = M,
												.allowed_lateness = 2 * M,
												.idle_timeout = 30 * S,
												.max_future = 10 * M}};

static TkPaneSet *set;
static TkPartitionClock clocks[2];
static int64_t now;
static int64_t watermark = TK_NO_TIME;
static char trace[8192];

__attribute__((format(printf, 1, 2))) static void
say(const char *format, ...)
{
	size_t used = strlen(trace);
	va_list args;

	va_start(args, format);
	vsnprintf(trace + used, sizeof(trace) - used, format, args);
	va_end(args);
}

/* A time as minutes and seconds. */
#define TIME(t) (int) ((t) / M), (int) ((t) / S % 60)

static void
event(int partition, int minutes, int seconds, const char *item)
{
	int64_t time = minutes * M + seconds * S;
	const TkYield yield = {&rule, 0, {item, strlen(item)}, 1, 0};
	const TkEvent e = {.outcome = TK_COUNTED,
					   .has_time = true,
					   .time = time,
					   .tenant = {"", 0},
					   .n_yields = 1,
					   .yields = &yield};
	TkLateness lateness;

	if (tk_time_is_future(&config.time, time, now))
	{
		say("%d:%02d %s is of the future\n", minutes, seconds, item);
		return;
	}
	lateness = tk_clock_judge(&clocks[partition], &config.time, time);
	tk_clock_observe(&clocks[partition], &config.time, time, now);
	if (lateness != TK_IN_TIME)
		say("%d:%02d %s is %s\n", minutes, seconds, item, lateness == TK_LATE ? "late" : "too late");
	if (lateness != TK_TOO_LATE && tk_pane_add(set, &e) != TK_OK)
		abort();
}

static int
by_start(const void *a, const void *b)
{
	const TkPane *x = *(TkPane *const *) a;
	const TkPane *y = *(TkPane *const *) b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->incarnation < y->incarnation ? -1 : 1;
}

/* What a flush would write: each pane with its number, whether it is sealed, and its counts. */
static void
flush(void)
{
	int64_t said = tk_watermark_of(clocks, 2, &config.time, now);
	TkPane *panes[16];
	size_t cursor = 0;
	int n = 0;

	watermark = said > watermark ? said : watermark; /* as the worker keeps it */
	tk_pane_seal(set, watermark);
	if (watermark == TK_NO_TIME)
		say("at %d:%02d no watermark\n", TIME(now));
	else
		say("at %d:%02d watermark %d:%02d\n", TIME(now), TIME(watermark));
	for (TkFamily *f = tk_pane_next_new_family(set); f != NULL; f = tk_pane_next_new_family(set))
		f->interned = true;
	while ((panes[n] = tk_pane_next_dirty(set, &cursor)) != NULL)
		n++;
	qsort(panes, (size_t) n, sizeof(TkPane *), by_start);
	for (int i = 0; i < n; i++)
	{
		uint64_t a, b, upper;

		tk_sketch_estimate(panes[i]->sketch, "a", 1, &a, &upper);
		tk_sketch_estimate(panes[i]->sketch, "b", 1, &b, &upper);
		say("  pane %d:%02d #%d %s a=%d b=%d\n", TIME(panes[i]->start),
			(int) (panes[i]->incarnation & 0xFFFFFFFF), panes[i]->sealed ? "closes" : "is open", (int) a,
			(int) b);
	}
	tk_pane_flushed(set);
}

static void
at_end(int partition, bool answered)
{
	tk_clock_set_at_end(&clocks[partition], &config.time, answered, now);
}

static void
run_script(void)
{
	now = 100 * M;
	event(0, 99, 50, "a");
	event(0, 99, 55, "b");
	flush(); /* the other partition has said nothing yet, and holds the watermark */
	event(1, 98, 10, "a");
	flush(); /* 98:10 less a minute */
	now = 101 * M;
	event(1, 100, 59, "a");
	event(0, 115, 0, "a");  /* beyond max_future */
	event(0, 101, 30, "b"); /* ahead of the clock, which it cannot push */
	flush();                /* min(100:59, 101:00) less a minute: minute 98 closes */
	event(0, 98, 30,
		  "b"); /* minute 98 ended at 99:00, before its partition's 100:00: late, a new incarnation */
	event(1, 98, 30, "b"); /* its own partition's watermark is 99:59: late as well, merged into the same */
	flush();
	now = 103 * M;
	event(0, 103, 0, "a");
	event(0, 99, 59,
		  "b"); /* ended at 100:00; 102:00 is the watermark: at the edge of two minutes, too late */
	event(0, 100, 0, "b"); /* ended at 101:00: late */
	event(1, 99, 59, "b"); /* the same minute, in time by its own partition's log: 99:59 */
	flush();
	now = 104 * M; /* quiet: one partition is at its end, of the other nobody answers */
	at_end(0, true);
	at_end(1, false);
	now += 31 * S;
	at_end(0, true);
	at_end(1, false);
	flush(); /* an unreachable partition is not idle */
	at_end(1, true);
	now += 31 * S;
	at_end(0, true);
	at_end(1, true);
	flush(); /* both idle: from the highest time 103:00 on at the pace of the clock */
	now += 90 * S;
	flush();               /* the last minute closes */
	event(1, 105, 0, "b"); /* life again: the watermark does not go back below what was closed */
	flush();
}

/* clang-format off */
static const char expected[] =
	"at 100:00 no watermark\n"
	"  pane 99:00 #0 is open a=1 b=1\n"
	"at 100:00 watermark 97:10\n"
	"  pane 98:00 #1 is open a=1 b=0\n"
	"115:00 a is of the future\n"
	"at 101:00 watermark 99:59\n"
	"  pane 98:00 #1 closes a=1 b=0\n"
	"  pane 100:00 #2 is open a=1 b=0\n"
	"  pane 101:00 #3 is open a=0 b=1\n"
	"98:30 b is late\n"
	"98:30 b is late\n"
	"at 101:00 watermark 99:59\n"
	"  pane 98:00 #4 closes a=0 b=2\n"
	"99:59 b is too late\n"
	"100:00 b is late\n"
	"at 103:00 watermark 99:59\n"
	"  pane 99:00 #0 is open a=1 b=2\n"
	"  pane 100:00 #2 is open a=1 b=1\n"
	"  pane 103:00 #5 is open a=1 b=0\n"
	"at 104:31 watermark 99:59\n"
	"at 105:02 watermark 102:31\n"
	"  pane 99:00 #0 closes a=1 b=2\n"
	"  pane 100:00 #2 closes a=1 b=1\n"
	"  pane 101:00 #3 closes a=0 b=1\n"
	"at 106:32 watermark 104:01\n"
	"  pane 103:00 #5 closes a=1 b=0\n"
	"at 106:32 watermark 104:01\n"
	"  pane 105:00 #6 is open a=0 b=1\n";
/* clang-format on */

/* The first line that differs, for people. */
static void
show_difference(const char *got, const char *want)
{
	while (*got != '\0' && *got == *want)
		got++, want++;
	printf("# from here on it is:\n# %.200s\n# instead of:\n# %.200s\n", got, want);
}

int
main(void)
{

	set = tk_pane_set_create(&allocator, &config, 10, 30, 1);
	tk_clock_init(&clocks[0]);
	tk_clock_init(&clocks[1]);
	run_script();
	tk_pane_set_free(set);
	if (!tap_ok(strcmp(trace, expected) == 0, "closings, late merges and drops are those that must follow"))
		show_difference(trace, expected);
	return tap_done();
}
