/*
 * publisher.c - the process that mirrors the results of one sink into its Redis.
 *
 * A cycle: look at the marker (network), read what should be there (one step), write what differs (network),
 * note what was written (one step), look at some of what was written long ago (network).  No transaction is
 * open while it waits for Redis, and no error of Redis or the database ends it: it says so once, and tries
 * again with growing pauses.
 *
 * A cycle begins when a flush or a close has committed (publish_wake.h), else once a second.  However often
 * it is woken, the process rests as long as it has worked.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "fail_point.h"
#include "publish_sweep.h"
#include "publisher.h"

#define POLL_MS 1000                     /* without a wake: Redis or the configuration may have changed */
#define GAP_MS 200                       /* at least between the beginnings of cycles */
#define OPEN_US INT64CONST(1000000)      /* between looks at open windows while there is a backlog */
#define WIDE_US INT64CONST(900000)       /* at least between readings of the global lists and the items ... */
#define WIDE_SHARE 10                    /* ... which take no more than this part of the time ... */
#define WIDE_MAX_US INT64CONST(10000000) /* ... but are not put off for longer */
#define MAX_PAUSE_MS 2000                /* a Redis that is back is to be right within seconds */
#define PIPELINE_WRITES 64               /* between looks at interrupts */

/* ---- one cycle ---- */

typedef struct Reading
{
	Publisher *publisher;
	PublishPlan plan;
} Reading;

/* Step. */
static void
read_plan(void *arg)
{
	Reading *reading = arg;
	Publisher *publisher = reading->publisher;
	PublishSink sink;

	publisher->gone = !publish_store_read_sink(publisher->sink_id, &sink, publisher->cycle_context);
	if (publisher->gone)
		return;
	publisher->redis_lost = sink.version != publisher->sink.version;
	publisher->reconnect = publisher->redis_lost || sink.address != publisher->sink.address;
	if (!publisher->reconnect)
		publish_plan_read(&reading->plan);
}

/* Sends the plan in pieces.  What is not sent when the process has to stop stays undone. */
static bool
send_plan(Publisher *publisher, PublishPlan *plan)
{
	for (size_t i = 0; i < plan->n_writes && !host_should_stop(); i += PIPELINE_WRITES)
	{
		size_t n = Min(PIPELINE_WRITES, plan->n_writes - i);

		if (!redis_client_write(publisher->client, &publisher->fence, publisher->now, plan->writes + i, n))
			return publisher_fail_connection(publisher);
		if (redis_client_error(publisher->client)[0] != '\0' && publisher->error.sqlstate == 0)
			publisher_fail_redis(publisher, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
								 redis_client_error(publisher->client));
		host_check_interrupts();
	}
	return true;
}

/* The global lists and the items are read the less often, the longer it takes. */
static int64
next_wide_of(const Publisher *publisher)
{
	int64 now = host_now();
	int64 distance = Min((now - publisher->now) * WIDE_SHARE, WIDE_MAX_US);

	return Max(publisher->now + WIDE_US, now + distance);
}

/*
 * Writes what is planned, and the marker after it.  Without the marker nothing counts as written: a Redis
 * that comes back with an older copy would have the marker that we know, but not the keys.
 */
static bool
write_plan(Publisher *publisher, PublishPlan *plan)
{
	int64 n_written = 0;
	bool sent;

	publisher->fence.sequence = plan->sequence;
	FAIL_POINT("publish_before_write");
	sent = send_plan(publisher, plan);
	if (sent)
	{
		FAIL_POINT("publish_after_write");
		n_written = publish_plan_count_written(plan);
	}
	if (!sent || (n_written > 0 && !publisher_write_marker(publisher, publisher->marker.keys + n_written)))
	{
		publish_plan_doubt(plan);
		return false;
	}
	FAIL_POINT("publish_after_marker");
	publish_plan_settle(plan);
	publisher->n_lost += plan->n_lost;
	publisher->published |= n_written > 0;
	publisher->progressed = n_written > 0;
	publisher->more = plan->more;
	publisher->wide_wanted = plan->wide_wanted && !plan->wide_done;
	if (plan->wide_done)
		publisher->next_wide = next_wide_of(publisher);
	if (publisher->error.sqlstate != 0 && n_written == 0)
		publisher_disconnect(publisher); /* perhaps this server no longer is the one to write to */
	return true;
}

static bool
publish(Publisher *publisher)
{
	Reading reading = {
		publisher,
		{.memory = publisher->memory,
		 .context = publisher->cycle_context,
		 .sink_id = publisher->sink_id,
		 .now = publisher->now,
		 .index = {publisher->marker.index, strlen(publisher->marker.index)},
		 .with_open = publisher->failing || !publisher->more || publisher->now >= publisher->next_open,
		 .wide_wanted = publisher->wide_wanted,
		 .wide_due = publisher->now >= publisher->next_wide}};

	if (!host_try(read_plan, &reading, &publisher->error))
		return false;
	if (publisher->gone || publisher->reconnect)
		return true;
	if (reading.plan.with_open)
		publisher->next_open = publisher->now + OPEN_US;
	publisher->more = false;
	if (reading.plan.sequence != 0 && !write_plan(publisher, &reading.plan))
		return false;
	publisher_note_waiting(publisher, &reading.plan);
	return publisher_save_progress(publisher, &reading.plan) && publisher->error.sqlstate == 0;
}

/* Looks at keys whose turn it is; what is missing is written by the next plan. */
static bool
sweep(Publisher *publisher)
{
	PublishSweep sweep = {
		.memory = publisher->memory, .now = publisher->now, .interval = publisher->sink.sweep_interval};

	if (sweep.interval == 0 || publisher->more)
		return true;
	publish_sweep_pick(&sweep);
	for (size_t i = 0; i < sweep.n; i += PIPELINE_WRITES)
	{
		if (!redis_client_write(publisher->client, &publisher->fence, publisher->now, sweep.probes + i,
								Min(PIPELINE_WRITES, sweep.n - i)))
			return publisher_fail_connection(publisher);
		host_check_interrupts();
	}
	publish_sweep_settle(&sweep);
	publisher->n_lost += sweep.n_lost;
	if (sweep.n_lost > 0)
		ereport(LOG, errmsg("topk sink \"%s\": %lld keys were missing from Redis or not as they were written",
							publisher->name, (long long) sweep.n_lost));
	return true;
}

static bool
run_cycle(Publisher *publisher)
{
	publisher->now = host_now();
	publisher->error.sqlstate = 0;
	publisher->progressed = false;
	if (!publisher_connect(publisher))
		return false;
	if (publisher->gone)
		return true;
	if (!publish(publisher))
		return false;
	return publisher->gone || publisher->reconnect || sweep(publisher);
}

/* ---- the process ---- */

/* How long the process sleeps unless it is woken, and how long at least: *least. */
static long
pause_of(const Publisher *publisher, long *least)
{
	long worked = (long) ((host_now() - publisher->rested_at) / 1000);

	if (publisher->failures > 0)
		*least = host_backoff(publisher->failures, MAX_PAUSE_MS);
	else if (publisher->more || publisher->reconnect)
		*least = 0;
	else
	{
		*least = Min(Max(worked, GAP_MS - worked), POLL_MS);
		return POLL_MS;
	}
	return *least;
}

/* A wake that comes while the rest must still be slept through is not lost: the cycle follows. */
static void
rest(Publisher *publisher)
{
	long least;
	long most = pause_of(publisher, &least);
	instr_time began;
	instr_time slept;

	INSTR_TIME_SET_CURRENT(began);
	for (long ms = most; !host_should_stop(); ms = least - (long) INSTR_TIME_GET_MILLISEC(slept))
	{
		host_wait(ms);
		INSTR_TIME_SET_CURRENT(slept);
		INSTR_TIME_SUBTRACT(slept, began);
		if (INSTR_TIME_GET_MILLISEC(slept) >= least)
			break;
	}
	if (least > 0)
		publisher->rested_at = host_now();
}

static Publisher *
make_publisher(int32 sink_id)
{
	Publisher *publisher = MemoryContextAllocZero(TopMemoryContext, sizeof(Publisher));

	publisher->sink_id = sink_id;
	publisher->context = AllocSetContextCreate(TopMemoryContext, "topk publisher", ALLOCSET_DEFAULT_SIZES);
	publisher->cycle_context =
		AllocSetContextCreate(TopMemoryContext, "topk publisher cycle", ALLOCSET_DEFAULT_SIZES);
	publisher->memory = publish_memory_create(TopMemoryContext);
	publisher->wide_wanted = true;
	publisher->status_changed = true;
	publisher->rested_at = host_now();
	return publisher;
}

void
topk_publisher_main(Datum arg)
{
	HostArgs args = host_start("topk publisher");
	Publisher *publisher = make_publisher(args.id);

	if (!host_lock('p', args.id, 0))
		proc_exit(0);
	while (!host_should_stop() && !publisher->gone)
	{
		MemoryContextReset(publisher->cycle_context);
		MemoryContextSwitchTo(publisher->cycle_context);
		if (publisher->reconnect)
			publisher_disconnect(publisher);
		publisher->reconnect = false;
		if (run_cycle(publisher))
			publisher_note_success(publisher);
		else if (!host_should_stop())
			publisher_note_failure(publisher);
		if (!publisher->gone)
			rest(publisher);
	}
	publisher_disconnect(publisher);
	proc_exit(0);
}
