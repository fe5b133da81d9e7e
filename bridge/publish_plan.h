/*
 * publish_plan.h - what one cycle of a publisher is to write, and what it means that it was written.
 *
 * publish_plan_read (inside a step) compares what the sink should hold with what the publisher's memory says
 * that it holds; the caller sends plan.writes; publish_plan_settle brings the outcomes into the memory.
 *
 * Items come and go, and the hash of one that is no longer among the first is removed.  So that a publisher
 * knows of the hashes that an earlier one has written, Redis keeps an index of them: a hash whose fields are
 * their names.
 *
 * Redis may evict keys, and people delete them.  What a sweep (publish_sweep.h) finds missing makes its group
 * stale, and so due.
 *
 * Within a budget, in this order: final windows that the sink lacks, newest first; the global lists and the
 * items; open windows that have changed, the longest waiting first; what has gone; expiries that have moved.
 */
#ifndef TK_PUBLISH_PLAN_H
#define TK_PUBLISH_PLAN_H

#include "publish_memory.h"
#include "publish_store.h"
#include "redis_client.h"

typedef enum DueKind
{
	DUE_CONTENTS, /* the group is read, and what differs is written */
	DUE_EXPIRY,   /* its keys are to expire at another time */
	DUE_REMOVAL,  /* its keys are to go */
	DUE_INDEX     /* the index, written with the items */
} DueKind;

typedef struct DueGroup
{
	DueKind kind;
	GroupNote *group;
	const PublishWindow *window; /* NULL if the group is none, or has gone */
	uint32 reading;
	bool complete; /* nothing was left out, and so far nothing failed */
} DueGroup;

typedef struct PublishPlan
{
	/* set by the caller */
	PublishMemory *memory;
	MemoryContext context; /* of all that the plan points to */
	int32 sink_id;
	int64 now; /* us since 1970 */
	bool with_open;
	bool wide_wanted; /* global lists and items have changed ... */
	bool wide_due;    /* ... and may be read now */
	MirrorText index; /* name of the list of item keys */

	/* by publish_plan_read */
	int64 sequence; /* 0: none was drawn, nothing is to be done */
	List *due;      /* of DueGroup */
	RedisWrite *writes;
	DueGroup **owners; /* of each write */
	size_t n_writes;
	size_t room;
	size_t bytes;
	bool more; /* the budget did not reach */

	/* by publish_plan_settle */
	const PublishWindow **finals; /* that the sink now holds */
	int n_finals;
	bool wide_done;      /* global lists and items are as they should be */
	int n_waiting;       /* windows whose changes were left for the next time ... */
	int64 waiting_since; /* ... and the time when the oldest was noticed; 0: none */
	int64 n_lost;        /* keys that Redis turned out not to hold */
} PublishPlan;

extern void publish_plan_read(PublishPlan *plan);

/* The number of keys that Redis has taken. */
extern int64 publish_plan_count_written(const PublishPlan *plan);

extern void publish_plan_settle(PublishPlan *plan);

/* Instead, where the connection was lost: each write may have been done, or be on its way. */
extern void publish_plan_doubt(PublishPlan *plan);

#endif
