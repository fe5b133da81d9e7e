/*
 * worker_offset.c - a worker's stored offsets against what Kafka holds: seeks, and what is out of range.
 *
 * Nothing is jumped over by itself.  A stored offset that the log does not hold, or a log that is not the one
 * that was read, leaves the worker stuck: it says `failed`, reads nothing, and looks once a second whether
 * somebody has decided (topk.seek, another configuration), both of which raise epochs or the version; and now
 * and then whether the cause has gone by itself.
 */
#include "postgres.h"

#include "worker.h"

#define STUCK_LOOK_MS 1000
#define STUCK_RETRY (30 * TK_US_PER_SECOND)

/* ---------------------------------------------------------------- seeks */

static bool
ask_for_offset(Worker *worker, StorePartition *partition, ConsumerError *error)
{
	StoreSeek *seek = &partition->seek;

	if (!seek->has_time)
		seek->offset = seek->to_latest ? partition->log_end : partition->low;
	else if (!consumer_offset_at(worker->consumer, partition->partition, seek->time, METADATA_TIMEOUT_MS,
								 &seek->offset, error))
		return false;
	else if (seek->offset < 0)
		seek->offset = partition->log_end; /* no message is that late */
	return true;
}

/* Before the claim, since no transaction may wait for Kafka. */
Verdict
worker_resolve_seeks(Worker *worker)
{
	StoreSession *session = &worker->session;
	ConsumerError error;

	if (!host_try(store_load_seeks, session, &worker->error))
		return TRY_LATER;
	for (int i = 0; i < session->n_partitions; i++)
		if (session->partitions[i].seek.id != 0 && !ask_for_offset(worker, &session->partitions[i], &error))
			return worker_fail_consumer(worker, &error);
	return GO_ON;
}

/* ---------------------------------------------------------------- out of range */

static Verdict
get_stuck(Worker *worker, int32 partition)
{
	size_t len = strlen(worker->error.message);

	snprintf(worker->error.message + len, sizeof(worker->error.message) - len,
			 "; topk.seek('%s', %d, to_position => 'earliest') reads on from what it holds",
			 worker->config->name, partition);
	return STUCK;
}

static void
forget_log(Worker *worker, int32 partition)
{
	StoreLostLog lost = {worker->args.id, partition};

	(void) host_try(store_forget_log, &lost, NULL);
}

Verdict
worker_check_offsets(Worker *worker)
{
	for (int i = 0; i < worker->session.n_partitions; i++)
	{
		const StorePartition *p = &worker->session.partitions[i];

		if (p->next_offset >= p->low && p->next_offset <= p->log_end)
			continue;
		host_error(&worker->error, ERRCODE_DATA_EXCEPTION,
				   "partition %d: stored offset " INT64_FORMAT " is not in the log, which holds " INT64_FORMAT
				   " to " INT64_FORMAT " (%s)",
				   p->partition, p->next_offset, p->low, p->log_end,
				   p->next_offset < p->low ? "was it cut by retention?" : "was the topic created again?");
		if (p->next_offset > p->log_end)
			forget_log(worker, p->partition);
		return get_stuck(worker, p->partition);
	}
	return GO_ON;
}

Verdict
worker_log_lost(Worker *worker)
{
	int32 partition = worker->intake->lost_log;

	worker->error = worker->intake->error;
	forget_log(worker, partition);
	return get_stuck(worker, partition);
}

/* Reading begins at the last message that was read, if it is there, to see that it still is that one. */
int64
worker_first_offset(const StorePartition *partition)
{
	return partition->last_message_time != TK_NO_TIME && partition->next_offset > partition->low
			   ? partition->next_offset - 1
			   : partition->next_offset;
}

/* ---------------------------------------------------------------- stuck */

void
worker_note_claim(Worker *worker)
{
	worker->claimed = (StoreVersion){.source_id = worker->args.id,
									 .worker = worker->args.number,
									 .topic_partitions = worker->topic_partitions,
									 .config_version = worker->config->version};
	for (int i = 0; i < worker->session.n_partitions; i++)
		worker->claimed.epochs += worker->session.partitions[i].epoch;
}

static bool
has_changed(const Worker *worker)
{
	StoreVersion now = worker->claimed;

	if (!host_try(store_look_for_change, &now, NULL))
		return false; /* the server has other troubles */
	return now.config_version != worker->claimed.config_version || now.epochs != worker->claimed.epochs;
}

void
worker_wait_until_changed(Worker *worker)
{
	int64 retry = host_now() + STUCK_RETRY;

	ereport(WARNING, errcode(worker->error.sqlstate),
			errmsg("topk worker cannot go on: %s", worker->error.message));
	worker_note_state(worker, "failed", &worker->error);
	while (!host_should_stop() && host_now() < retry && !has_changed(worker))
		host_wait(STUCK_LOOK_MS);
}
