/*
 * store.h - the edge to PostgreSQL of a worker: claims, list ids, flushes.
 *
 * Every function is a step (host.h): it runs in a transaction of its own and takes one of the structs below.
 * A step that finds that the partitions, a pane's row or the configuration are no longer this worker's fails
 * with STORE_FENCED; the worker then throws its memory away and claims anew, from the stored offsets.
 */
#ifndef TK_STORE_H
#define TK_STORE_H

#include "postgres.h"

#include "config.h"
#include "host.h"
#include "pane.h"
#include "pane_offset.h"
#include "watermark.h"

#define STORE_FENCED MAKE_SQLSTATE('T', 'K', '0', '0', '1')
#define STORE_HELD MAKE_SQLSTATE('T', 'K', '0', '0', '2') /* by a replay: topk.check_held */

/* Counts of one partition since the last flush. */
typedef struct StoreCounts
{
	int64 events;
	int64 counted;
	int64 late;
	int64 too_late;
	int64 dead_letters;
	int64 no_rule;
	int64 no_item;
	int64 filtered;
	int64 tombstones;
	int64 over_quota;
	int64 tenant_disabled;
} StoreCounts;

/* Counts of one rule since the last flush. */
typedef struct StoreRuleCounts
{
	int64 counted;
	int64 items;
	int64 filtered;
	int64 no_item;
} StoreRuleCounts;

/* A call of topk.seek whose offset only Kafka can tell. */
typedef struct StoreSeek
{
	int64 id;       /* 0: none */
	bool has_time;  /* to a Kafka timestamp */
	bool to_latest; /* else to an end of the log: which */
	int64 time;     /* us */
	int64 offset;   /* what Kafka said */
} StoreSeek;

typedef struct StorePartition
{
	int32 partition;
	int64 low; /* the log's range when it was claimed */
	int64 log_end;
	int64 epoch;
	int64 stored_offset; /* what the table holds: the flush expects it */
	int64 next_offset;
	TkPartitionClock clock;
	StoreCounts counts;
	bool changed;               /* since the last flush */
	int64 last_message_time;    /* Kafka's, of the message before next_offset; TK_NO_TIME: unknown */
	TkPaneOffsets pane_offsets; /* since the last flush */
	StoreSeek seek;             /* to be done with the claim */
} StorePartition;

/* A message that is kept as it came: a dead letter, or an event that is too late. */
typedef struct StoreLetter
{
	int32 partition;
	int64 offset;
	TkReason reason; /* TK_REASON_NONE: too late, and the next four are set */
	int64 event_time;
	int64 watermark; /* of its partition, just before it */
	text *tenant;
	const char *event_type;
	bytea *key;           /* NULL: none */
	bytea *payload;       /* as much of it as is kept; NULL: none */
	size_t payload_bytes; /* as received */
	int64 kafka_time;     /* us; -1: none */
	struct StoreLetter *next;
} StoreLetter;

/* A dead letter of the table that somebody wants to be read again. */
typedef struct StoreRetry
{
	int64 dead_letter_id;
	int32 partition;
	const char *payload;
	size_t payload_len;
	int64 kafka_time; /* us; -1: none */
	TkReason reason;  /* why it is dead again; TK_REASON_NONE: it is not */
	struct StoreRetry *next;
} StoreRetry;

/* One worker's session: what the steps share.  Belongs to the worker. */
typedef struct StoreSession
{
	const SourceConfig *config;
	int worker;
	int32 run; /* the upper half of its incarnation numbers */
	int n_partitions;
	StorePartition *partitions;   /* ascending */
	StoreRuleCounts *rule_counts; /* one of each rule of the configuration */
	TkPaneSet *panes;
	int64 sealed_until;   /* by the worker's watermark; TK_NO_TIME: nothing yet */
	StoreLetter *letters; /* as they came */
	StoreRetry *retries;  /* read again since the last flush */
	int64 flushes;        /* committed; also the version that a flush gives to the rows it writes */
	double last_flush_ms;
} StoreSession;

/* Inside a step: what was idle is so no longer, until a broker has confirmed it again. */
extern void store_forget_idle(int32 source_id, int worker);

/* arg: StoreSession.  Fills in the seeks that wait for its partitions. */
extern void store_load_seeks(void *arg);

/* arg: StoreSession.  Does its seeks, then takes its partitions, filling in epoch, offsets and clocks, and
 * draws the run number.
 */
extern void store_claim(void *arg);

/* One family and the ids that the store has for it; the worker takes them over after the commit. */
typedef struct StoreFamily
{
	StoreSession *session;
	TkFamily *family;
	int64 all_id;
	int64 *across_ids; /* [n_dimensions]; 0: shared with `all` */
} StoreFamily;

/* arg: StoreFamily. */
extern void store_intern_family(void *arg);

/* The first n new lists of values, and their ids. */
typedef struct StoreLists
{
	StoreSession *session;
	TkList *first; /* along next_new */
	int n;
	int64 *ids;
} StoreLists;

/* arg: StoreLists. */
extern void store_intern_lists(void *arg);

/* What a worker has to hear of between flushes. */
typedef struct StoreNews
{
	const StoreSession *session;
	bool changed; /* the configuration, or an epoch: after a seek, or for a replay */
	bool letters_queued;
} StoreNews;

/* arg: StoreNews.  Also learns whom to wake after a flush (publish_wake.h). */
extern void store_read_news(void *arg);

/* The oldest queued letters of the session's partitions, in a context that outlives the step. */
typedef struct StoreRetries
{
	const StoreSession *session;
	MemoryContext context;
	StoreRetry *first;
	int n;
} StoreRetries;

/* arg: StoreRetries. */
extern void store_read_retries(void *arg);

/* Pauses a source until somebody resumes it; `reason` is what people see. */
typedef struct StorePause
{
	int32 source_id;
	const char *reason;
} StorePause;

/* arg: StorePause. */
extern void store_pause(void *arg);

/* arg: StoreSession.  Writes all that changed.  The worker marks it flushed after the commit. */
extern void store_flush(void *arg);

/* store_pane.c: the part of a flush that writes changed panes. */
extern void store_flush_panes(const StoreSession *session);

/* store_letter.c: the parts of a flush that write session->letters, and settle session->retries. */
extern void store_flush_letters(const StoreSession *session);
extern void store_flush_retries(const StoreSession *session);

/* A partition whose log is not the one that was read. */
typedef struct StoreLostLog
{
	int32 source_id;
	int32 partition;
} StoreLostLog;

/* arg: StoreLostLog. */
extern void store_forget_log(void *arg);

/* Differs when the configuration does, or the epoch of one of the worker's partitions: after a seek. */
typedef struct StoreVersion
{
	int32 source_id;
	int worker;
	int topic_partitions; /* look at those below this */
	int64 config_version; /* 0: there is no such source */
	int64 epochs;
} StoreVersion;

/* arg: StoreVersion. */
extern void store_look_for_change(void *arg);

/* What people see of a worker. */
typedef struct StoreState
{
	int32 source_id;
	int worker;
	const char *state;
	int64 config_version;   /* 0: unknown */
	const HostError *error; /* NULL: none */
} StoreState;

/* arg: StoreState. */
extern void store_note_state(void *arg);

/* store_offset.c: inside steps, for the store's other files */
extern void store_limit_step(const StoreSession *session); /* to the flush_timeout */
extern void store_fenced(const char *what) pg_attribute_noreturn();
extern Datum store_partition_array(const StoreSession *session);
extern int64 store_time_or_none(uint64 row, int column);
extern Datum store_time_datum(int64 us, char *null);
extern void store_do_seeks(const StoreSession *session);
extern Oid store_sketch_type(void);
extern Datum store_sketch_datum(const TkPane *pane, const TkRow *row);
extern void store_flush_pane_offsets(const StoreSession *session, const StorePartition *partition);

#endif
