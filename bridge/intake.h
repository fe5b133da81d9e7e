/*
 * intake.h - from what the consumer read to panes, clocks, counts and letters, in memory.
 *
 * The hot path of a worker.  Nothing here touches the database or the network, and nothing raises an error: a
 * memory context that is out of memory makes it return false, and the session is thrown away.
 */
#ifndef TK_INTAKE_H
#define TK_INTAKE_H

#include "postgres.h"

#include "consumer.h"
#include "extract.h"
#include "store.h"

/* A letter (a dead letter, or a too late event) keeps this much of its payload and key. */
#define INTAKE_KEPT_BYTES (64 * 1024)

typedef struct Intake
{
	StoreSession *session;
	TkExtractor *extractor;
	MemoryContext letters;      /* of session->letters; reset after each flush */
	StoreLetter *last_letter;   /* of session->letters */
	size_t letter_bytes;        /* held there */
	int64 letters_kept;         /* since the session began */
	StorePartition **by_number; /* partition number -> ours, or NULL */
	int n_by_number;
	bool metered;    /* some tenant is listed, has a quota or is refused: each event is asked about */
	HostError error; /* why intake_take returned false */
	int64 from;      /* events of this time */
	int64 until;     /* to before this one are counted: a replay sets them */
	bool no_letters; /* none is kept: they are the workers', and not a replay's */
	int lost_log;    /* the partition whose log is another one than was read, or -1 */
} Intake;

/* Everything lives in `context`.  NULL: out of memory. */
extern Intake *intake_create(StoreSession *session, MemoryContext context);

/* Takes one message or partition end in.  Not for faults. */
extern bool intake_take(Intake *intake, const ConsumerEvent *event, int64 now);

/* Takes a dead letter in again.  Its own position in the log is long past: it is late at most, never too
 * late. */
extern bool intake_retake(Intake *intake, StoreRetry *retry, int64 now);

/* The flush has committed: forgets the letters. */
extern void intake_flushed(Intake *intake);

#endif
