/*
 * worker.h - what the files of the worker process share.
 */
#ifndef TK_WORKER_H
#define TK_WORKER_H

#include "postgres.h"

#include "storage/latch.h"

#include "consumer.h"
#include "host.h"
#include "intake.h"
#include "store.h"

/* How long a question to a broker may hold up reading. */
#define LOG_END_TIMEOUT_MS 500
#define METADATA_TIMEOUT_MS 5000

typedef enum Verdict
{
	GO_ON,
	EXIT,      /* not wanted any more */
	AGAIN,     /* fenced: at once */
	TRY_LATER, /* after a pause */
	STUCK      /* until a seek, or another configuration */
} Verdict;

typedef struct Worker
{
	HostArgs args;
	MemoryContext context; /* of the session */
	SourceConfig *config;
	Consumer *consumer;
	StoreSession session;
	Intake *intake;
	WaitEventSet *events;
	int topic_partitions;
	int64 next_flush;
	int64 last_flush;
	int64 next_log_end_check;
	int64 next_partitions_check;
	int64 watermark;      /* of this worker; never goes back within a session */
	StoreVersion claimed; /* what the session began with */
	int64 next_look;      /* whether that has changed, while there is nothing to flush */
	HostError error;      /* why the last session ended */
} Worker;

/* worker.c */
extern void worker_note_state(Worker *worker, const char *state, const HostError *error);
extern void worker_report_logs(Worker *worker);
extern Verdict worker_fail_consumer(Worker *worker, const ConsumerError *error);

/* worker_offset.c */

/* Asks Kafka for the offsets of the seeks that wait. */
extern Verdict worker_resolve_seeks(Worker *worker);

/* After the claim: what it gave, for worker_wait_until_changed; and whether the log holds the offsets. */
extern void worker_note_claim(Worker *worker);
extern Verdict worker_check_offsets(Worker *worker);

/* The offset to read from; the intake drops what it knows. */
extern int64 worker_first_offset(const StorePartition *partition);

/* The intake has found another log than was read. */
extern Verdict worker_log_lost(Worker *worker);

/* While there is nothing to flush, which would tell: AGAIN after a seek or another configuration. */
extern Verdict worker_look_for_change(Worker *worker, int64 now);

/* The session is closed and stuck. */
extern void worker_wait_until_changed(Worker *worker);

/* worker_flush.c */

/* Gives ids to all families and lists that have none; a replay does so too. */
extern bool worker_intern(StoreSession *session, MemoryContext context, HostError *error);

/* Flushes, again and again if need be.  GO_ON once it has committed. */
extern Verdict worker_flush(Worker *worker);

/* Seals, looks at the ends of the logs, and flushes, if it is time for that and there is something to say. */
extern Verdict worker_flush_if_due(Worker *worker, int64 now);

#endif
