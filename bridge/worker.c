/*
 * worker.c - the process that reads some partitions of one source.
 *
 * A session: load the configuration, connect, ask for the partitions and the range of their logs, claim them
 * (from then on nobody else can move their offsets), read from the stored offsets, and flush once an
 *interval. All that a session knows is in one memory context; when it ends, for whatever reason, what was not
 *flushed is forgotten and read again.  A session ends when
 *	 - a flush finds itself fenced (the configuration changed, another worker took over): a new one begins;
 *	 - Kafka or memory fails: a new one begins, after a pause that grows;
 *	 - the log does not hold the stored offset: a new one begins once somebody has decided (worker_offset.c);
 *	 - the source is gone, paused, or has fewer workers now: the process exits 0;
 *	 - the process is asked to stop: it flushes and exits 0.
 * A flush that fails for any other reason is tried again, with the session's memory and offsets held; nothing
 * is read meanwhile.
 *
 * Locking: none but the rows of a flush (store.c) and the process's own lock (host_lock).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "../src/compat.h"
#include "fail_point.h"
#include "sketch_memory.h"
#include "store_tenants.h"
#include "worker.h"

#define READ_BATCH 2048
#define LOG_LEVEL_ERROR 3 /* of syslog */
#define LOG_BURST 10
#define LOG_INTERVAL (60 * TK_US_PER_SECOND)
#define HELD_WAIT_MS 200

/* ---------------------------------------------------------------- what people see */

void
worker_note_state(Worker *worker, const char *state, const HostError *error)
{
	StoreState note = {worker->args.id, worker->args.number, state,
					   worker->config ? worker->config->version : 0, error};

	(void) host_try(store_note_state, &note, NULL);
}

static int
log_level(int syslog_level)
{
	return syslog_level <= 3 ? WARNING : syslog_level <= 5 ? LOG : DEBUG1;
}

/* A broker that is away is the same news every few seconds: LOG_BURST lines, then one each LOG_INTERVAL. */
static bool
may_log(Worker *worker)
{
	int64 now = host_now();

	worker->log_until = Max(worker->log_until, now - LOG_BURST * LOG_INTERVAL);
	if (worker->log_until > now - LOG_INTERVAL)
		return false;
	worker->log_until += LOG_INTERVAL;
	return true;
}

/* Passes on what librdkafka's threads had to say, and keeps the last error of theirs. */
void
worker_report_logs(Worker *worker)
{
	char line[512];
	int level;

	for (int i = 0; i < 100 && consumer_next_log(worker->consumer, &level, line, sizeof(line)); i++)
	{
		if (level <= LOG_LEVEL_ERROR && strstr(line, "brokers are down") == NULL)
			strlcpy(worker->last_log, line, sizeof(worker->last_log));
		ereport(may_log(worker) ? log_level(level) : DEBUG1, errcode(ERRCODE_CONNECTION_FAILURE),
				errmsg_internal("topk Kafka: %s", line));
	}
}

Verdict
worker_fail_consumer(Worker *worker, const ConsumerError *error)
{
	int sqlstate =
		error->fault == CONSUMER_CONFIG ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_CONNECTION_FAILURE;

	worker->last_log[0] = '\0';
	if (worker->consumer != NULL)
		worker_report_logs(worker);
	if (error->fault == CONSUMER_UNREACHABLE && worker->last_log[0] != '\0')
		host_error(&worker->error, sqlstate, "%s (%s)", error->message, worker->last_log);
	else
		host_error(&worker->error, sqlstate, "%s", error->message);
	return TRY_LATER;
}

/* ---------------------------------------------------------------- the beginning of a session */

static void
load_config(void *arg)
{
	Worker *worker = arg;

	worker->config = NULL;
	if (!host_extension_exists())
		return;
	worker->config = config_load(worker->args.id, worker->context);
	store_forget_idle(worker->args.id, worker->args.number);
}

static Verdict
load(Worker *worker)
{
	if (!host_try(load_config, worker, &worker->error))
		return TRY_LATER;
	if (worker->config == NULL || !worker->config->runs || worker->args.number >= worker->config->workers)
		return EXIT;
	worker->session.config = worker->config;
	worker->session.worker = worker->args.number;
	return GO_ON;
}

/* Which partitions are ours, and what the brokers hold of them. */
static Verdict
find_partitions(Worker *worker)
{
	StoreSession *session = &worker->session;
	ConsumerError error;

	if (!consumer_partition_count(worker->consumer, METADATA_TIMEOUT_MS, &worker->topic_partitions, &error))
		return worker_fail_consumer(worker, &error);
	session->partitions =
		MemoryContextAllocZero(worker->context, sizeof(StorePartition) * worker->topic_partitions);
	for (int p = worker->args.number; p < worker->topic_partitions; p += worker->config->workers)
	{
		StorePartition *partition = &session->partitions[session->n_partitions++];

		partition->partition = p;
		if (!consumer_log_range(worker->consumer, p, METADATA_TIMEOUT_MS, &partition->low,
								&partition->log_end, &error))
			return worker_fail_consumer(worker, &error);
		host_check_interrupts();
	}
	return GO_ON;
}

/* A seek came meanwhile, or a replay holds the source for a moment: no failure. */
static Verdict
claim_refused(const Worker *worker)
{
	if (worker->error.sqlstate == STORE_HELD)
		host_wait(HELD_WAIT_MS);
	return worker->error.sqlstate == STORE_HELD || worker->error.sqlstate == STORE_FENCED ? AGAIN : TRY_LATER;
}

static Verdict
claim(Worker *worker)
{
	StoreSession *session = &worker->session;
	TkAllocator allocator = sketch_memory(worker->context);

	if (!host_try(store_claim, session, &worker->error))
		return claim_refused(worker);
	FAIL_POINT("claim_after_commit");
	worker_note_claim(worker);
	for (int i = 0; i < session->n_partitions; i++)
		tk_pane_offsets_init(&session->partitions[i].pane_offsets, &allocator);
	if (worker_create_panes(session, worker->config, worker->topic_partitions, worker->context))
	{
		if (!host_try(store_load_limits, session, &worker->error) ||
			!host_try(store_load_meters, session, &worker->error))
			return TRY_LATER;
		worker->intake = intake_create(session, worker->context);
	}
	if (worker->intake != NULL)
		return worker_check_offsets(worker);
	host_error(&worker->error, ERRCODE_OUT_OF_MEMORY, "out of memory for a session");
	return TRY_LATER;
}

static Verdict
assign(Worker *worker)
{
	StoreSession *session = &worker->session;
	int n = session->n_partitions;
	int32 *partitions = MemoryContextAlloc(worker->context, sizeof(int32) * Max(n, 1));
	int64 *offsets = MemoryContextAlloc(worker->context, sizeof(int64) * Max(n, 1));
	ConsumerError error;

	for (int i = 0; i < n; i++)
	{
		partitions[i] = session->partitions[i].partition;
		offsets[i] = worker_first_offset(&session->partitions[i]);
	}
	if (n > 0 && !consumer_assign(worker->consumer, partitions, offsets, n, &error))
		return worker_fail_consumer(worker, &error);
	worker->events = TOPK_CREATE_WAIT_EVENT_SET(worker->context, 3);
	AddWaitEventToSet(worker->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(worker->events, WL_SOCKET_READABLE, consumer_fd(worker->consumer), NULL, NULL);
	return GO_ON;
}

static Verdict
open_session(Worker *worker)
{
	ConsumerError error;
	Verdict verdict = load(worker);

	if (verdict != GO_ON)
		return verdict;
	worker->consumer = consumer_open(worker->config->properties, worker->config->n_properties,
									 worker->config->topic, host_setting("topk.prefetch_memory"), &error);
	if (worker->consumer == NULL)
		return worker_fail_consumer(worker, &error);
	verdict = find_partitions(worker);
	if (verdict == GO_ON)
		verdict = worker_resolve_seeks(worker);
	if (verdict == GO_ON)
		verdict = claim(worker);
	if (verdict == GO_ON)
		verdict = assign(worker);
	return verdict;
}

/* librdkafka's threads should be gone; if they are not, the process must soon be. */
static void
close_consumer(Worker *worker)
{
	if (consumer_close(worker->consumer))
		return;
	worker->lingering = true;
	host_abandon_threads();
}

static void
close_session(Worker *worker)
{
	if (worker->events != NULL)
		FreeWaitEventSet(worker->events);
	if (worker->consumer != NULL)
	{
		worker_report_logs(worker);
		close_consumer(worker);
	}
	if (worker->intake != NULL)
		tk_extractor_free(worker->intake->extractor); /* its parser does not live in the context */
	MemoryContextReset(worker->context);
	worker->config = NULL;
	worker->consumer = NULL;
	worker->intake = NULL;
	worker->events = NULL;
	memset(&worker->session, 0, sizeof(StoreSession));
}

/* ---------------------------------------------------------------- reading */

static Verdict
take_fault(Worker *worker, const ConsumerEvent *event)
{
	if (event->fault == CONSUMER_UNREACHABLE)
	{
		ereport(DEBUG1, errmsg_internal("topk Kafka: %s", event->message));
		return GO_ON; /* librdkafka reconnects by itself */
	}
	host_error(&worker->error, ERRCODE_CONNECTION_FAILURE, "partition %d, offset " INT64_FORMAT ": %s",
			   event->partition, event->offset, event->message);
	return TRY_LATER;
}

/* Takes one batch in.  *n is how many there were. */
static Verdict
read_batch(Worker *worker, int64 now, int *n)
{
	const ConsumerEvent *events;

	*n = consumer_read(worker->consumer, READ_BATCH, &events);
	for (int i = 0; i < *n; i++)
	{
		if (events[i].kind == CONSUMER_FAULT)
		{
			Verdict verdict = take_fault(worker, &events[i]);

			if (verdict != GO_ON)
				return verdict;
		}
		else if (!intake_take(worker->intake, &events[i], now))
		{
			if (worker->intake->lost_log >= 0)
				return worker_log_lost(worker);
			worker->error = worker->intake->error;
			return TRY_LATER;
		}
	}
	return GO_ON;
}

/* Sleeps until there is something to read, or it is time to flush. */
static void
wait_for_work(Worker *worker, int64 now)
{
	WaitEvent event;
	long ms = (long) ((worker->next_flush - now) / 1000) + 1;
	/* a second at most, for host_check_interrupts */
	int n = WaitEventSetWait(worker->events, Min(Max(ms, 1), 1000), &event, 1, PG_WAIT_EXTENSION);

	if (n > 0 && (event.events & WL_SOCKET_READABLE))
		consumer_clear_fd(worker->consumer);
	if (n > 0 && (event.events & WL_LATCH_SET))
		ResetLatch(MyLatch);
}

/* The topic may get more partitions, or be deleted, which librdkafka tells only to those who ask. */
static Verdict
check_topic(Worker *worker, int64 now)
{
	ConsumerError error;
	int count;

	if (now < worker->next_partitions_check)
		return GO_ON;
	worker->next_partitions_check = now + host_setting("topk.partition_scan_interval") * TK_US_PER_SECOND;
	if (!consumer_partition_count(worker->consumer, LOG_END_TIMEOUT_MS, &count, &error))
		return error.fault == CONSUMER_NO_TOPIC ? worker_fail_consumer(worker, &error) : GO_ON;
	if (count == worker->topic_partitions)
		return GO_ON;
	return worker_flush(worker) == EXIT ? EXIT : AGAIN;
}

static Verdict
run_session(Worker *worker)
{
	int64 now = host_now();
	int n;

	worker->watermark = TK_NO_TIME;
	worker->last_flush = 0;
	worker->catching_up = false;
	worker->next_flush = now;
	worker->next_news = now;
	worker->recent_events = 0;
	worker->recent_letters = 0;
	worker->next_log_end_check = now + worker->config->extract.time.idle_timeout / 3;
	worker->next_partitions_check = now + host_setting("topk.partition_scan_interval") * TK_US_PER_SECOND;
	for (;;)
	{
		Verdict verdict;

		host_check_interrupts();
		if (host_should_stop())
		{
			(void) worker_flush(worker);
			return EXIT;
		}
		now = host_now();
		verdict = read_batch(worker, now, &n);
		if (verdict == GO_ON)
			verdict = worker_flush_if_due(worker, now, n == 0);
		if (verdict == GO_ON)
			verdict = check_topic(worker, now);
		if (verdict != GO_ON)
			return verdict;
		if (n == 0)
			wait_for_work(worker, now);
	}
}

/* ---------------------------------------------------------------- the process */

/* librdkafka's threads must be gone before the process is. */
static void
close_at_exit(int code, Datum arg)
{
	Worker *worker = (Worker *) DatumGetPointer(arg);

	if (worker->consumer != NULL)
		close_consumer(worker);
	worker->consumer = NULL;
}

static void
pause_after_failure(Worker *worker, int failures)
{
	ereport(failures == 1 ? WARNING : DEBUG1, errcode(worker->error.sqlstate),
			errmsg("topk worker will try again: %s", worker->error.message));
	worker_note_state(worker, "retrying", &worker->error);
	host_wait(host_backoff(failures, 10000));
}

void
topk_worker_main(Datum arg)
{
	Worker *worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));
	int failures = 0;
	Verdict verdict = AGAIN;

	worker->args = host_start("topk worker");
	worker->context = AllocSetContextCreate(TopMemoryContext, "topk worker session", ALLOCSET_DEFAULT_SIZES);
	before_shmem_exit(close_at_exit, PointerGetDatum(worker));
	if (!host_lock('w', worker->args.id, worker->args.number))
		proc_exit(0);
	worker_note_state(worker, "starting", NULL);
	while (verdict != EXIT && !host_should_stop())
	{
		verdict = open_session(worker);
		if (verdict == GO_ON)
		{
			failures = 0;
			verdict = run_session(worker);
		}
		close_session(worker);
		if (verdict == TRY_LATER && !host_should_stop())
			pause_after_failure(worker, ++failures);
		if (worker->lingering)
			proc_exit(1); /* the manager starts another */
		if (verdict == STUCK)
			worker_wait_until_changed(worker);
		host_check_interrupts();
	}
	worker_note_state(worker, "stopped", NULL);
	proc_exit(0);
}
