/*
 * worker_flush.c - what a worker does once an interval: seal, look at the ends of the logs, flush.
 *
 * New tenants and values are let in or not, and new families and lists get their ids first, in transactions
 * of their own, so that a flush never waits for another worker's.  Then store_flush writes everything in one.
 * What is in memory changes only after a commit.
 */
#include "postgres.h"

#include "portability/instr_time.h"

#include "fail_point.h"
#include "publish_wake.h"
#include "worker.h"

#define LOG_END_INTERVAL                                                                                     \
	(5 * TK_US_PER_SECOND) /* between checks that a silent partition is really at its end */
#define HEARTBEAT (10 * TK_US_PER_SECOND)
#define MAX_LETTER_BYTES (32 * 1024 * 1024) /* flush early rather than hold more letters */
#define LISTS_PER_STEP 1000

/* Far behind its log, where nothing is fresh, a worker flushes less often: panes are written once rather than
 * often. */
#define BACKLOG_INTERVALS 4
#define MAX_BACKLOG_INTERVAL (10 * TK_US_PER_SECOND)
#define MIN_BACKLOG 1000 /* messages: what is in flight is none */

/* Gives ids to new families, each in a transaction of its own, so that a flush never waits for another's. */
static bool
intern_families(StoreSession *session, MemoryContext context, HostError *error)
{
	TkFamily *family;

	while ((family = tk_pane_next_new_family(session->panes)) != NULL)
	{
		StoreFamily intern = {.session = session, .family = family};

		intern.across_ids = MemoryContextAllocZero(context, sizeof(int64) * Max(family->n_dimensions, 1));
		if (!host_try(store_intern_family, &intern, error))
			return false;
		FAIL_POINT("intern_after_commit");
		family->all->list_id = intern.all_id;
		for (int i = 0; i < family->n_dimensions; i++)
		{
			if (intern.across_ids[i] == 0)
				continue;
			if (tk_family_unshare(session->panes, family, i) != TK_OK)
			{
				host_error(error, WORKER_SPOILT, "out of memory for a list");
				return false;
			}
			family->across[i]->list_id = intern.across_ids[i];
		}
		family->interned = true;
		pfree(intern.across_ids);
	}
	return true;
}

static bool
intern_lists(StoreSession *session, HostError *error)
{
	TkList *list;

	while ((list = tk_pane_next_new_list(session->panes)) != NULL)
	{
		int64 ids[LISTS_PER_STEP];
		StoreLists lists = {.session = session, .first = list, .ids = ids};

		for (TkList *next = list; next != NULL && lists.n < LISTS_PER_STEP; next = next->next_new)
			lists.n++;
		if (!host_try(store_intern_lists, &lists, error))
			return false;
		FAIL_POINT("intern_after_commit");
		for (int i = 0; i < lists.n; i++)
		{
			TkList *next = list->next_new;

			list->list_id = ids[i];
			list = next;
		}
	}
	return true;
}

bool
worker_intern(StoreSession *session, MemoryContext context, HostError *error)
{
	return worker_admit_tenants(session, error) && intern_families(session, context, error) &&
		   worker_admit_values(session, error) && intern_lists(session, error);
}

static void
commit_to_kafka(Worker *worker)
{
	StoreSession *session = &worker->session;
	int32 partitions[64];
	int64 offsets[64];
	int n = 0;

	for (int i = 0; i < session->n_partitions; i++)
	{
		StorePartition *p = &session->partitions[i];

		if (p->next_offset != p->stored_offset)
		{
			partitions[n] = p->partition;
			offsets[n++] = p->next_offset;
		}
		if (n == lengthof(partitions) || (n > 0 && i == session->n_partitions - 1))
		{
			consumer_commit(worker->consumer, partitions, offsets, n);
			n = 0;
		}
	}
}

/* What the share of dead letters is judged by. */
static void
note_recent(Worker *worker)
{
	for (int i = 0; i < worker->session.n_partitions; i++)
		worker->recent_events += worker->session.partitions[i].counts.events;
	worker->recent_letters += worker->intake->letters_kept;
	worker->intake->letters_kept = 0;
}

/* The transaction has committed. */
static void
flushed(Worker *worker)
{
	StoreSession *session = &worker->session;

	FAIL_POINT("flush_after_commit");
	publish_wake();
	commit_to_kafka(worker);
	FAIL_POINT("flush_after_kafka_commit");
	note_recent(worker);
	for (int i = 0; i < session->n_partitions; i++)
	{
		session->partitions[i].stored_offset = session->partitions[i].next_offset;
		session->partitions[i].changed = false;
		memset(&session->partitions[i].counts, 0, sizeof(StoreCounts));
		tk_pane_offsets_clear(&session->partitions[i].pane_offsets);
	}
	memset(session->rule_counts, 0, sizeof(StoreRuleCounts) * session->config->extract.n_rules);
	tk_pane_flushed(session->panes);
	tk_tenant_flushed(session->panes);
	intake_flushed(worker->intake);
	session->flushes++;
	worker->last_flush = host_now();
}

static bool
try_flush(Worker *worker, HostError *error)
{
	instr_time start;
	instr_time took;

	INSTR_TIME_SET_CURRENT(start);
	if (!worker_intern(&worker->session, worker->context, error) ||
		!host_try(store_flush, &worker->session, error))
		return false;
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, start);
	worker->session.last_flush_ms = INSTR_TIME_GET_MILLISEC(took);
	flushed(worker);
	return true;
}

/* Says so once, and once more when it is given up for now; the table has the last error.  Then waits. */
static void
note_flush_failure(Worker *worker, int failures, const HostError *error)
{
	int most = worker->config->max_flush_failures;
	bool failed = failures >= most;

	if (failures == 1)
		ereport(WARNING, errcode(error->sqlstate),
				errmsg("topk could not flush, and will try again: %s", error->message));
	if (failures == most && most > 1)
		ereport(WARNING, errcode(error->sqlstate),
				errmsg("topk could not flush %d times in a row, and will try again each " INT64_FORMAT
					   " s: %s",
					   most, worker->config->retry_interval / TK_US_PER_SECOND, error->message));
	worker_note_state(worker, failed ? "failed" : "retrying", error);
	host_wait(failed ? (long) (worker->config->retry_interval / 1000) : host_backoff(failures, 10000));
}

/* Flushes, again and again if need be.  GO_ON once it has committed. */
Verdict
worker_flush(Worker *worker)
{
	int failures = 0;
	HostError error;

	while (!try_flush(worker, &error))
	{
		if (error.sqlstate == STORE_FENCED || error.sqlstate == WORKER_SPOILT)
		{
			ereport(LOG, errmsg("topk worker starts anew: %s", error.message));
			return AGAIN;
		}
		if (host_should_stop())
			return EXIT;
		note_flush_failure(worker, ++failures, &error);
	}
	if (failures > 0)
		ereport(LOG, errmsg("topk flushes again, after %d failures", failures));
	return worker_check_letters(worker);
}

static bool
any_partition_changed(const Worker *worker)
{
	for (int i = 0; i < worker->session.n_partitions; i++)
		if (worker->session.partitions[i].changed)
			return true;
	return false;
}

static TkPartitionClock *
copy_clocks(const Worker *worker)
{
	int n = worker->session.n_partitions;
	TkPartitionClock *clocks = palloc(sizeof(TkPartitionClock) * Max(n, 1));

	for (int i = 0; i < n; i++)
		clocks[i] = worker->session.partitions[i].clock;
	return clocks;
}

/* Seals what the worker's watermark has passed; everything, if memory is short. */
static int
seal(Worker *worker, bool everything, int64 now)
{
	TkPartitionClock *clocks = copy_clocks(worker);
	int64 watermark =
		tk_watermark_of(clocks, worker->session.n_partitions, &worker->config->extract.time, now);

	pfree(clocks);
	worker->watermark = Max(worker->watermark, watermark);
	worker->session.sealed_until = worker->watermark;
	if (everything)
		return tk_pane_seal_all(worker->session.panes);
	return worker->watermark == TK_NO_TIME ? 0 : tk_pane_seal(worker->session.panes, worker->watermark);
}

/*
 * Looks again whether silent partitions are at the end of their logs: only a broker that answers can say so.
 * False: a log has become shorter than what was read of it.
 */
static bool
check_log_ends(Worker *worker, int64 now)
{
	const TkTimeRules *rules = &worker->config->extract.time;

	if (now < worker->next_log_end_check)
		return true;
	worker->next_log_end_check = now + Min(LOG_END_INTERVAL, Max(rules->idle_timeout / 3, TK_US_PER_SECOND));
	for (int i = 0; i < worker->session.n_partitions; i++)
	{
		StorePartition *p = &worker->session.partitions[i];
		bool was_idle = p->clock.idle;
		ConsumerError error;
		int64 low;
		int64 high;
		bool reached;

		if (p->next_offset != p->stored_offset)
			continue; /* it is being read: an end will be told */
		reached = consumer_log_range(worker->consumer, p->partition, LOG_END_TIMEOUT_MS, &low, &high, &error);
		if (reached && high < p->next_offset)
			return false;
		tk_clock_set_at_end(&p->clock, rules, reached && high <= p->next_offset, now);
		if (reached && high != p->log_end)
		{
			p->log_end = high;
			p->changed = true;
		}
		p->changed |= p->clock.idle != was_idle;
		host_check_interrupts();
	}
	return true;
}

static bool
short_of_memory(const Worker *worker)
{
	return tk_pane_set_bytes(worker->session.panes) / 1024 > (size_t) host_setting("topk.pane_memory");
}

/* The best end of the log that is known without asking. */
static void
note_log_ends(Worker *worker)
{
	for (int i = 0; i < worker->session.n_partitions; i++)
	{
		StorePartition *p = &worker->session.partitions[i];

		p->log_end = Max(p->log_end, consumer_known_end(worker->consumer, p->partition));
	}
}

/* Messages since the last flush, and up to the best known ends. */
static int64
messages_read(const Worker *worker)
{
	int64 n = 0;

	for (int i = 0; i < worker->session.n_partitions; i++)
		n += worker->session.partitions[i].next_offset - worker->session.partitions[i].stored_offset;
	return n;
}

static int64
messages_left(const Worker *worker)
{
	int64 n = 0;

	for (int i = 0; i < worker->session.n_partitions; i++)
	{
		const StorePartition *p = &worker->session.partitions[i];

		n += Max(p->log_end - p->next_offset, 0);
	}
	return n;
}

/* Whether a flush whose time has come can wait: what is left takes long to read, if not as long as an
 * interval. */
static bool
may_wait(Worker *worker, int64 now)
{
	int64 interval = worker->config->flush_interval;
	int64 longest = Max(interval, Min(BACKLOG_INTERVALS * interval, MAX_BACKLOG_INTERVAL));
	double intervals = Max((double) (now - worker->last_flush) / (double) interval, 1);
	bool far =
		(double) messages_left(worker) > Max((double) messages_read(worker) / intervals / 4, MIN_BACKLOG);

	worker->catching_up |= far;
	return far && now + interval <= worker->last_flush + longest;
}

/* The end of a backlog is not left waiting for the next interval: that is when it becomes fresh. */
static bool
has_caught_up(Worker *worker)
{
	if (!worker->catching_up)
		return false;
	note_log_ends(worker);
	if (messages_left(worker) > 0)
		return false;
	worker->catching_up = false;
	return true;
}

/* A flush, if it is time for one and there is something to say. */
Verdict
worker_flush_if_due(Worker *worker, int64 now, bool drained)
{
	bool squeezed = short_of_memory(worker);
	bool early =
		squeezed || worker->intake->letter_bytes >= MAX_LETTER_BYTES || (drained && has_caught_up(worker));
	int sealed;
	Verdict verdict;

	if (now < worker->next_flush && !early)
		return GO_ON;
	worker->next_flush = now + worker->config->flush_interval;
	worker_report_logs(worker);
	verdict = worker_take_news(worker, now);
	if (verdict != GO_ON)
		return verdict;
	if (!check_log_ends(worker, now))
		return worker_flush(worker) == EXIT ? EXIT : AGAIN; /* the next session will see how it is */
	note_log_ends(worker);
	if (may_wait(worker, now) && !early)
		return GO_ON;
	sealed = seal(worker, squeezed, now);
	if (sealed == 0 && !any_partition_changed(worker) && now - worker->last_flush < HEARTBEAT)
		return GO_ON;
	verdict = worker_flush(worker);
	if (verdict == GO_ON && squeezed && short_of_memory(worker))
		return AGAIN; /* the lists alone fill it: only a new session forgets them */
	return verdict;
}
