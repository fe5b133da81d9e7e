/*
 * watermark.h - how far event time has come, for one partition and for one worker.
 *
 * Pure; the caller passes the wall clock in.  All times in us (event_time.h).
 *
 * A partition's watermark is min(highest event time, wall clock) less out_of_orderness, and never goes back.
 * It depends on that partition's log (and on the clock only for events of the future), so that restarts,
 * replays and recounts agree on what is late.
 *
 * A partition is idle only when its worker is connected and its position has equalled the end of the log for
 * idle_timeout.  A worker's watermark is the lowest of its partitions that are not idle; when all are idle it
 * goes on at the pace of the wall clock, from the highest event time seen.  A partition that is unread,
 * unreachable or backlogged holds it.
 */
#ifndef TK_WATERMARK_H
#define TK_WATERMARK_H

#include "event_time.h"

typedef enum TkLateness
{
	TK_IN_TIME,
	TK_LATE,
	TK_TOO_LATE
} TkLateness;

typedef struct TkTimeRules
{
	int64_t pane_size;
	int64_t out_of_orderness;
	int64_t allowed_lateness;
	int64_t idle_timeout;
	int64_t max_future;
} TkTimeRules;

/* All of it is kept by the store with the offsets, except at_end_since and idle, which begin anew. */
typedef struct TkPartitionClock
{
	int64_t
		max_event_time;   /* highest event time, clamped to the wall clock at reading; TK_NO_TIME at first */
	int64_t watermark;    /* TK_NO_TIME at first */
	int64_t at_end_since; /* wall clock since which the position has equalled the log's end; TK_NO_TIME: not
							 at the end */
	bool idle;
} TkPartitionClock;

void tk_clock_init(TkPartitionClock *clock);

/* Restores what the store kept. */
void tk_clock_restore(TkPartitionClock *clock, int64_t max_event_time, int64_t watermark);

/* True if an event's time lies further ahead of the wall clock than max_future: a dead letter. */
bool tk_time_is_future(const TkTimeRules *rules, int64_t event_time, int64_t now);

/* Judges an event by the watermark just before it.  Call before tk_clock_observe. */
TkLateness tk_clock_judge(const TkPartitionClock *clock, const TkTimeRules *rules, int64_t event_time);

/* Takes an event's time in.  Also ends idleness. */
void tk_clock_observe(TkPartitionClock *clock, const TkTimeRules *rules, int64_t event_time, int64_t now);

/* A message was read that carries no time (a dead letter, a tombstone): ends idleness, moves nothing else. */
void tk_clock_touch(TkPartitionClock *clock);

/* Tells whether the position equals the log's end just now (and the worker is connected); updates idle. */
void tk_clock_set_at_end(TkPartitionClock *clock, const TkTimeRules *rules, bool at_end, int64_t now);

/*
 * The watermark over n partitions.  No partitions: TK_NO_TIME.  All idle: goes on from the highest
 * max_event_time at the pace of the wall clock since the last of them came to its log's end, less
 * out_of_orderness; TK_NO_TIME while none has seen an event.  A partition that is not idle and has seen
 * nothing holds it at TK_NO_TIME.  The caller keeps the result from going back (idleness can end).
 */
int64_t tk_watermark_of(const TkPartitionClock *clocks, int n, const TkTimeRules *rules, int64_t now);

#endif
