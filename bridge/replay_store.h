/*
 * replay_store.h - the edge to PostgreSQL of a replay: its job, what to read, what it stages, the swap.
 *
 * Every function is a step (host.h) on the ReplayStore below.  One that finds the job finished or gone fails
 * with REPLAY_OVER.
 */
#ifndef TK_REPLAY_STORE_H
#define TK_REPLAY_STORE_H

#include "postgres.h"

#include "store.h"

#define REPLAY_OVER MAKE_SQLSTATE('T', 'K', '0', '0', '3')

/* When an offset was read first. */
typedef struct ReplayReading
{
	int64 offset;
	int64 at; /* us */
} ReplayReading;

/* What a replay has to read of one partition: nothing if begin is end. */
typedef struct ReplayRange
{
	int32 partition;
	int64 begin;
	int64 end;
	TkPartitionClock clock; /* at begin */
	int n_readings;
	int reading;             /* the reader's place among them */
	ReplayReading *readings; /* ascending; the first is at or before begin */
} ReplayRange;

/* A dead letter of the source.  One that the replay counts goes with the swap, or it could count again. */
typedef struct ReplayLetter
{
	int32 partition;
	int64 offset;
	bool counted;
} ReplayLetter;

typedef enum ReplaySwap
{
	SWAP_DONE,
	SWAP_OVER,    /* cancelled */
	SWAP_BEHIND,  /* there is more to read */
	SWAP_CHANGED, /* begin anew */
} ReplaySwap;

/* One attempt.  Belongs to the replay; everything lives in `context`. */
typedef struct ReplayStore
{
	MemoryContext context;
	int32 replay_id;
	int64 from; /* us */
	int64 until;
	SourceConfig *config;
	char *obstacle; /* why it cannot be; NULL: it can */
	int n_ranges;
	ReplayRange *ranges; /* all partitions of the source, ascending */
	int n_letters;
	ReplayLetter *letters; /* ascending, as of the beginning */
	StoreSession session;
	const char *state;
	int64 offsets_read;
	int64 reached; /* us: merge staged panes before this; TK_NO_TIME: none, INT64_MAX: all */
	int64 staged;  /* rows, by the last step */
	int64 merged;  /* likewise */
	int hold_seconds;
	ReplaySwap swap;
} ReplayStore;

/* Begins an attempt: stretch, configuration, obstacle, dead letters, run number. */
extern void replay_begin(void *arg);

/* Another run number, for another set of panes. */
extern void replay_draw_run(void *arg);

/* Fills in the ranges, as of now. */
extern void replay_load_ranges(void *arg);

/* A message was counted: marks the dead letter that it was, if it was one. */
extern void replay_note_counted(ReplayStore *store, int32 partition, int64 offset);

/* Writes the sealed panes and the progress.  The caller forgets them after the commit. */
extern void replay_stage(void *arg);

/* The stored windows' leaves that the staged panes will need. */
extern void replay_make_leaves(void *arg);

/* Moves staged panes into the staged windows; call again while `merged` is REPLAY_MERGE_ROWS. */
#define REPLAY_MERGE_ROWS 20000
extern void replay_merge(void *arg);

/* Stops the workers for hold_seconds at most; lets them go. */
extern void replay_hold(void *arg);
extern void replay_release(void *arg);

/* Sets `swap`. */
extern void replay_swap(void *arg);

/* What people see; failed: for good. */
typedef struct ReplayNote
{
	int32 replay_id;
	bool failed;
	const HostError *error;
} ReplayNote;

/* arg: ReplayNote. */
extern void replay_note_error(void *arg);

#endif
