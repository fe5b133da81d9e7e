/*-------------------------------------------------------------------------
 *
 * gen_main.c
 *		The loop: for each event its event time, its partition, its turn.
 *
 * SIGINT and SIGTERM end the stream as its end would: what was sent is flushed
 * and the summary printed.
 *
 *-------------------------------------------------------------------------
 */
#include "gen.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How far apart two events can be due before waiting is worth a system call. */
#define SHORTEST_WAIT 0.001
#define LONGEST_WAIT 0.1

static volatile sig_atomic_t stop_requested;

static void
on_signal(int signal)
{
	(void) signal;
	stop_requested = 1;
}

static double
now_seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec * 1e-9;
}

/* ---- event time ---- */

/* The event time of event i, before disorder and lateness. */
static int64_t
base_time(const GenOptions *o, uint64_t i)
{
	if (o->span > 0)
		return o->start_ms + (int64_t) (o->span * 1000 * (double) i / (double) o->events);
	if (o->start_now)
		return (int64_t) (now_seconds(CLOCK_REALTIME) * 1000);
	return o->start_ms + (int64_t) (1000 * (double) i / o->rate);
}

static int64_t
uniform_ms(Gen *g, double from, double to)
{
	return (int64_t) (from * 1000) + gen_random_below(&g->random, (uint32_t) ((to - from) * 1000) + 1);
}

static int64_t
event_time(Gen *g, uint64_t i)
{
	const GenOptions *o = g->options;
	int64_t time_ms = base_time(o, i);

	if (o->disorder > 0)
		time_ms -= uniform_ms(g, 0, o->disorder);
	if (gen_random_share(&g->random, o->late))
	{
		time_ms -= uniform_ms(g, o->late_by[0], o->late_by[1]);
		g->counts.late++;
	}
	return time_ms;
}

static int
draw_partition(Gen *g)
{
	const double *share = g->options->partition_share;
	double draw = (double) (gen_random(&g->random) >> 11) * 0x1p-53;
	int partition = 0;

	while (partition < g->options->partitions - 1 && draw >= share[partition])
		partition++;
	return partition;
}

/* ---- what people see ---- */

static void
show_progress(const Gen *g, double elapsed, double rate)
{
	fprintf(stderr, "topk_gen: %.0f s, %" PRIu64 " events, %.0f a second\n", elapsed, g->counts.events, rate);
}

/* One line that a test can take apart: name=value pairs, and the reasons of the malformed ones. */
static void
show_summary(const Gen *g, double elapsed)
{
	const GenCounts *c = &g->counts;

	fprintf(stderr,
			"topk_gen: done: events=%" PRIu64 " seconds=%.1f rate=%.0f late=%" PRIu64 " no_rule=%" PRIu64
			" no_item=%" PRIu64 " malformed=%" PRIu64,
			c->events, elapsed, (double) c->events / (elapsed > 0 ? elapsed : 1), c->late, c->no_rule,
			c->no_item, c->malformed);
	for (int kind = 0; gen_malformed_name(kind) != NULL; kind++)
		if (c->kind[kind] > 0)
			fprintf(stderr, " %s/%s=%" PRIu64, gen_malformed_reason(kind), gen_malformed_name(kind),
					c->kind[kind]);
	fputc('\n', stderr);
}

/* ---- the loop ---- */

typedef struct Pace
{
	double started;
	double shown;    /* when progress was last shown */
	uint64_t events; /* how many there were then */
	double interval; /* between two lines of progress */
} Pace;

static void
keep_posted(Pace *pace, const Gen *g, double now)
{
	if (g->options->quiet || now - pace->shown < pace->interval)
		return;
	show_progress(g, now - pace->started, (double) (g->counts.events - pace->events) / (now - pace->shown));
	pace->shown = now;
	pace->events = g->counts.events;
}

/* Wait for event i's turn; false when the stream is to end before it. */
static bool
await_turn(const Gen *g, GenOutput *out, Pace *pace, uint64_t i)
{
	const GenOptions *o = g->options;
	double due = o->rate > 0 ? (double) i / o->rate : 0;

	if (o->rate == 0 && (i & 1023) != 0)
		return !stop_requested;
	for (;;)
	{
		double now = now_seconds(CLOCK_MONOTONIC);
		double early = due - (now - pace->started);

		keep_posted(pace, g, now);
		if (stop_requested || (o->seconds > 0 && now - pace->started >= o->seconds))
			return false;
		if (early < SHORTEST_WAIT)
			return true;
		if (!gen_output_wait(out, early < LONGEST_WAIT ? early : LONGEST_WAIT))
			return false;
	}
}

static bool
run(Gen *g, GenOutput *out)
{
	char text[GEN_MAX_EVENT];
	double now = now_seconds(CLOCK_MONOTONIC);
	Pace pace = {now, now, 0, isatty(STDERR_FILENO) ? 1 : 5};
	bool ok = true;

	for (uint64_t i = 0; ok && i < g->options->events && await_turn(g, out, &pace, i); i++)
	{
		int64_t time_ms = event_time(g, i);
		int partition = draw_partition(g);
		size_t len = gen_event(g, time_ms, text);

		ok = gen_output_send(out, partition, text, len);
	}
	ok = gen_output_close(out) && ok;
	if (ok)
		show_summary(g, now_seconds(CLOCK_MONOTONIC) - pace.started);
	return ok;
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	static GenOptions options;
	static Gen gen;

	gen_options_parse(&options, argc, argv);
	if (options.start_now)
		options.start_ms = (int64_t) ((now_seconds(CLOCK_REALTIME) - options.span) * 1000);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	gen_init(&gen, &options);
	return run(&gen, gen_output_open(&options)) ? 0 : 1;
}
