/*
 * replay.h - what the files of the replay process share.
 */
#ifndef TK_REPLAY_H
#define TK_REPLAY_H

#include "postgres.h"

#include "replay_store.h"
#include "worker.h"

#define IDLE_WAIT_MS 200

typedef struct Replay
{
	HostArgs args;
	ReplayStore store;
	Consumer *consumer;
	Intake *intake;
	int64 staged; /* rows that are not merged yet */
	int64 next_stage;
	bool held;
	int64 held_until;
	bool lingering; /* threads of a closed consumer go on: this process must end */
	HostError error;
} Replay;

/* replay.c */

/* What will not go away: the replay fails. */
extern Verdict replay_give_up(Replay *replay, const char *message);

/* Stages what the clocks have passed, each second or when memory is short. */
extern Verdict replay_stage_if_due(Replay *replay);

/* replay_read.c */

/* Reads the ranges to their ends, or until the hold is over, with a consumer of its own. */
extern Verdict replay_read_pass(Replay *replay);

/* Offsets that are left to read. */
extern int64 replay_unread(const Replay *replay);

extern void replay_close_consumer(Replay *replay);

#endif
