/*
 * publish_sweep.h - a slow look at whether Redis still holds what was written: it evicts keys when its memory
 * is full, and people delete them.
 *
 * publish_sweep_pick takes keys in rotation, each once an interval, within a budget; the caller sends the
 * probes; publish_sweep_settle makes the groups of those that are not as they were written stale, so that the
 * next plan writes them again.  Windows that an earlier process has written are not known key by key; they
 * become stale as well, a few at a time, and are known from then on.  Keys that the memory has no room for
 * (MEMORY_MAX_KEYS) are not looked at.
 */
#ifndef TK_PUBLISH_SWEEP_H
#define TK_PUBLISH_SWEEP_H

#include "postgres.h"

#include "publish_memory.h"
#include "redis_client.h"

typedef struct PublishSweep
{
	/* set by the caller; all else is allocated in the current memory context */
	PublishMemory *memory;
	int64 now;
	int64 interval; /* us */

	/* by publish_sweep_pick */
	RedisWrite *probes;
	KeyNote **notes; /* of each probe */
	size_t n;

	/* by publish_sweep_settle */
	int64 n_lost; /* keys that were not as they were written */
} PublishSweep;

extern void publish_sweep_pick(PublishSweep *sweep);
extern void publish_sweep_settle(PublishSweep *sweep);

#endif
