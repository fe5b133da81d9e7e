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
#define METADATA_TIMEOUT_MS 3000 /* less than DROP DATABASE waits */

/* What is in memory is no longer true: a session that meets this is thrown away. */
#define WORKER_SPOILT MAKE_SQLSTATE('T', 'K', '0', '0', '4')

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
	bool catching_up; /* it was well behind its log when a flush was due, and has not reached the end since */
	int64 next_log_end_check;
	int64 next_partitions_check;
	int64 next_news;
	int64 recent_events; /* since the session began; halved now and then, with recent_letters */
	int64 recent_letters;
	int64 watermark; /* of this worker; never goes back within a session */
	bool lingering;  /* threads of a closed consumer go on: this process must end */
	int64 log_until; /* log lines of librdkafka are paid for up to here (may_log) */
	char last_log[256];
	StoreVersion claimed; /* what the session began with */
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

/* The session is closed and stuck. */
extern void worker_wait_until_changed(Worker *worker);

/* worker_admit.c: for replays too */

/* Makes the session's panes in `context`, with the limits of its tenants; store_load_limits comes next. */
extern bool worker_create_panes(StoreSession *session, SourceConfig *config, int topic_partitions,
								MemoryContext context);

/* Settle what is new, before and after new families have their ids. */
extern bool worker_admit_tenants(StoreSession *session, HostError *error);
extern bool worker_admit_values(StoreSession *session, HostError *error);

/* worker_letters.c */

/* Once a second: has the configuration changed, has somebody sought, are dead letters to be read again? Reads
 * some of these. */
extern Verdict worker_take_news(Worker *worker, int64 now);

/* After a flush: AGAIN if there are so many dead letters among recent messages that the source was paused. */
extern Verdict worker_check_letters(Worker *worker);

/* worker_flush.c */

/* Lets new tenants and values in or not, and gives ids to new families and lists; a replay does so too. */
extern bool worker_intern(StoreSession *session, MemoryContext context, HostError *error);

/* Flushes, again and again if need be.  GO_ON once it has committed. */
extern Verdict worker_flush(Worker *worker);

/* Seals, looks at the ends of the logs, and flushes, if it is time for that and there is something to say.
 * drained: nothing more is there to be read. */
extern Verdict worker_flush_if_due(Worker *worker, int64 now, bool drained);

#endif
