/*
 * publisher.c - the process that mirrors the results of one sink into its Redis.
 *
 * Each half second: look at the marker (network), read what should be there (one step), write what differs
 * (network), note what was written (one step), look at some of what was written long ago (network).  No
 * transaction is open while it waits for Redis, and no error of Redis or the database ends it: it says so
 * once, and tries again with growing pauses.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "fail_point.h"
#include "host.h"
#include "publish_config.h"
#include "publish_marker.h"
#include "publish_memory.h"
#include "publish_plan.h"
#include "publish_store.h"
#include "publish_sweep.h"
#include "redis_client.h"

#define CYCLE_MS 500
#define OPEN_US INT64CONST(1000000)  /* between looks at open windows */
#define WIDE_US INT64CONST(10000000) /* at most between readings of the global lists and the items ... */
#define WIDE_SHARE 10                /* ... which take no more than this part of the time */
#define STATUS_US INT64CONST(1000000)
#define REFRESH_US INT64CONST(5000000) /* between questions who serves what */
#define MAX_PAUSE_MS 2000              /* a Redis that is back is to be right within seconds */
#define PIPELINE_WRITES 64             /* between looks at interrupts */
#define ADDRESS_LEN 400

typedef struct Publisher
{
	int32 sink_id;
	MemoryContext context;       /* of the connected sink */
	MemoryContext cycle_context; /* reset each cycle */
	PublishMemory *memory;
	PublishSink sink;       /* as connected for */
	char name[NAMEDATALEN]; /* of the sink, for messages */
	RedisClient *client;
	const char *mode;
	char address[ADDRESS_LEN];
	RedisFence fence;
	PublishMarker marker;
	bool begun; /* has been connected before: the marker is initialized */

	bool gone;        /* sink or extension */
	bool reconnect;   /* the configuration has changed */
	bool redis_lost;  /* what Redis holds is not what we know of */
	bool resyncing;   /* all is being published, and there is something left */
	bool more;        /* there is more to do at once */
	bool wide_wanted; /* see PublishPlan */
	int64 now;
	int64 next_open;
	int64 next_wide;
	int64 next_refresh;

	bool failing;    /* said so */
	bool progressed; /* something was written in this cycle */
	int failures;    /* cycles in a row without progress */
	bool status_changed;
	bool published; /* since the status was saved */
	int64 n_lost;   /* keys, since the status was saved */
	int n_waiting;  /* see PublishStatus */
	int64 waiting_since;
	int64 resynced_at;
	int64 next_status;
	HostError error;     /* of the last cycle */
	char *saved_message; /* of the error that was saved */
} Publisher;

/* ---- errors ---- */

static bool
fail_redis(Publisher *publisher, int sqlstate, const char *message)
{
	host_error(&publisher->error, sqlstate, "Redis: %s", message);
	return false;
}

static void
disconnect(Publisher *publisher)
{
	redis_client_close(publisher->client);
	publisher->client = NULL;
}

/* The connection failed, or Redis answered what makes it useless. */
static bool
fail_connection(Publisher *publisher)
{
	fail_redis(publisher, ERRCODE_CONNECTION_FAILURE, redis_client_error(publisher->client));
	disconnect(publisher);
	return false;
}

/* ---- connecting ---- */

typedef struct Connecting
{
	Publisher *publisher;
	RedisClientConfig config;
} Connecting;

/* Step. */
static void
read_config(void *arg)
{
	Connecting *connecting = arg;
	Publisher *publisher = connecting->publisher;
	MemoryContext old = MemoryContextSwitchTo(publisher->context);

	publisher->gone = !publish_store_read_sink(publisher->sink_id, &publisher->sink, publisher->context);
	if (!publisher->gone)
	{
		strlcpy(publisher->name, publisher->sink.name, sizeof(publisher->name));
		publish_config_read(&publisher->sink, &connecting->config);
		publisher->mode = publish_config_mode(&connecting->config);
	}
	MemoryContextSwitchTo(old);
}

/* The first connection: learns what an earlier process has left. */
static bool
begin(Publisher *publisher)
{
	const PublishSink *sink = &publisher->sink;

	publish_marker_init(&publisher->marker, publisher->sink_id, sink->name, sink->keys_published);
	publish_marker_place(&publisher->marker, publisher->client);
	publish_marker_expect_all(&publisher->marker);
	if (!publish_marker_read_index(&publisher->marker, publisher->client, publisher->memory))
		return fail_connection(publisher);
	publisher->begun = true;
	return true;
}

static bool
connect_redis(Publisher *publisher)
{
	Connecting connecting = {.publisher = publisher};
	char error[REDIS_CLIENT_ERROR_LEN];

	MemoryContextReset(publisher->context);
	if (!host_try(read_config, &connecting, &publisher->error))
		return false;
	if (publisher->gone)
		return true;
	publisher->client = redis_client_open(&connecting.config, error);
	if (publisher->client == NULL)
		return fail_redis(publisher, ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, error);
	publisher->fence.incarnation = publisher->sink.incarnation;
	publisher->fence.timeline = GetWALInsertionTimeLine();
	redis_client_show(publisher->client, publisher->address, sizeof(publisher->address));
	publisher->next_refresh = publisher->now + REFRESH_US;
	publisher->status_changed = true;
	if (!publisher->begun)
		return begin(publisher);
	publish_marker_place(&publisher->marker, publisher->client);
	return true;
}

/* From time to time: does somebody else serve what we write? */
static bool
refresh(Publisher *publisher)
{
	if (publisher->now < publisher->next_refresh)
		return true;
	publisher->next_refresh = publisher->now + REFRESH_US;
	if (!redis_client_refresh(publisher->client))
		return fail_connection(publisher);
	redis_client_show(publisher->client, publisher->address, sizeof(publisher->address));
	return true;
}

/* ---- the marker ---- */

/* Lets the marker vouch for `keys` keys.  If a newer publisher holds it, this one goes no further. */
static bool
write_marker(Publisher *publisher, int64 keys)
{
	RedisOutcome outcome =
		publish_marker_write(&publisher->marker, publisher->client, &publisher->fence, publisher->now, keys);

	if (outcome == REDIS_NOT_SENT)
		return fail_connection(publisher);
	if (outcome != REDIS_DONE)
		return fail_redis(publisher, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						  redis_client_error(publisher->client));
	return true;
}

/* Step. */
static void
forget_published(void *arg)
{
	Publisher *publisher = arg;

	publish_store_forget_windows(publisher->sink_id);
	publisher->fence.sequence = publish_store_draw_sequence();
}

/*
 * Begins anew with an unknown Redis.  The marker is written once the database has forgotten, so that nobody
 * ever finds a marker that vouches for too much; and if a newer publisher holds it, this one goes no further.
 */
static bool
begin_anew(Publisher *publisher)
{
	if (!host_try(forget_published, publisher, &publisher->error))
		return false;
	publish_memory_distrust(publisher->memory);
	publisher->resyncing = true;
	publisher->wide_wanted = true;
	publisher->next_open = publisher->next_wide = 0;
	if (!write_marker(publisher, publisher->marker.keys))
	{
		disconnect(publisher); /* another server or incarnation may be configured by the next time */
		return false;
	}
	if (publisher->marker.keys > 0)
		ereport(LOG,
				errmsg("topk sink \"%s\": Redis does not hold what is to be published, publishing all of it",
					   publisher->name));
	publisher->redis_lost = false;
	return true;
}

/* Step. */
static void
draw_sequence(void *arg)
{
	Publisher *publisher = arg;

	publisher->fence.sequence = publish_store_draw_sequence();
}

/* A master that has come to a cluster we know gets a marker; the others' are of this process or an earlier
 * one. */
static bool
mark_new_masters(Publisher *publisher)
{
	if (!publish_marker_place(&publisher->marker, publisher->client))
		return true;
	return host_try(draw_sequence, publisher, &publisher->error) &&
		   write_marker(publisher, publisher->marker.keys);
}

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
			return fail_connection(publisher);
		if (redis_client_error(publisher->client)[0] != '\0' && publisher->error.sqlstate == 0)
			fail_redis(publisher, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
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

	return now + Min((now - publisher->now) * WIDE_SHARE, WIDE_US);
}

/*
 * Writes what is planned, and the marker after it.  Without the marker nothing counts as written: a Redis
 * that comes back with an older copy would have the marker that we know, but not the keys.
 */
static bool
write_plan(Publisher *publisher, PublishPlan *plan)
{
	int64 n_written;

	publisher->fence.sequence = plan->sequence;
	FAIL_POINT("publish_before_write");
	if (!send_plan(publisher, plan))
		return false;
	FAIL_POINT("publish_after_write");
	n_written = publish_plan_count_written(plan);
	if (n_written > 0 && !write_marker(publisher, publisher->marker.keys + n_written))
		return false;
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
		disconnect(publisher); /* perhaps this server no longer is the one to write to */
	return true;
}

typedef struct Saving
{
	Publisher *publisher;
	const PublishPlan *plan; /* NULL: the status alone */
} Saving;

/* Step. */
static void
save(void *arg)
{
	Saving *saving = arg;
	Publisher *publisher = saving->publisher;
	bool failing = publisher->error.sqlstate != 0;
	PublishStatus status = {.state = failing ? "retrying" : "running",
							.error = failing ? publisher->error.message : NULL,
							.keys_published =
								publisher->marker.keys, /* 0 at first; the table keeps the higher number */
							.published = publisher->published,
							.mode = publisher->mode,
							.address = publisher->address[0] != '\0' ? publisher->address : NULL,
							.n_waiting = publisher->n_waiting,
							.waiting_since = publisher->waiting_since,
							.resynced_at = publisher->resynced_at,
							.n_lost = publisher->n_lost};

	if (saving->plan != NULL && saving->plan->n_finals > 0)
		publish_store_save_windows(publisher->sink_id, saving->plan->finals, saving->plan->n_finals);
	publish_store_save_status(publisher->sink_id, &status);
	FAIL_POINT("publish_before_commit");
}

/* Notes what was written; nothing is written while nothing happens. */
static bool
save_progress(Publisher *publisher, const PublishPlan *plan)
{
	Saving saving = {publisher, plan};
	HostError error;
	bool due = publisher->status_changed ||
			   ((publisher->published || publisher->n_lost > 0) && publisher->now >= publisher->next_status);

	if (plan->n_finals == 0 && !due)
		return true;
	if (!host_try(save, &saving, &error))
	{
		publisher->error = error;
		return false;
	}
	FAIL_POINT("publish_after_commit");
	publisher->status_changed = false;
	publisher->published = false;
	publisher->n_lost = 0;
	publisher->next_status = publisher->now + STATUS_US;
	return true;
}

/* What the plan, written or empty, says of the time that Redis is behind. */
static void
note_waiting(Publisher *publisher, const PublishPlan *plan)
{
	bool waited = publisher->waiting_since != 0;

	if (plan->with_open)
	{
		publisher->n_waiting = plan->n_waiting;
		publisher->waiting_since = plan->waiting_since;
		publisher->status_changed |= waited != (plan->waiting_since != 0);
	}
	if (!publisher->resyncing || !plan->with_open || plan->waiting_since != 0 || publisher->wide_wanted)
		return;
	publisher->resyncing = false;
	publisher->resynced_at = publisher->now;
	publisher->status_changed = true;
}

static bool
publish(Publisher *publisher)
{
	Reading reading = {publisher,
					   {.memory = publisher->memory,
						.context = publisher->cycle_context,
						.sink_id = publisher->sink_id,
						.now = publisher->now,
						.index = {publisher->marker.index, strlen(publisher->marker.index)},
						.with_open = publisher->failing || publisher->now >= publisher->next_open,
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
	note_waiting(publisher, &reading.plan);
	return save_progress(publisher, &reading.plan) && publisher->error.sqlstate == 0;
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
			return fail_connection(publisher);
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
	bool trusted;

	publisher->now = host_now();
	publisher->error.sqlstate = 0;
	publisher->progressed = false;
	if (publisher->client == NULL && !connect_redis(publisher))
		return false;
	if (publisher->gone)
		return true;
	if (!refresh(publisher))
		return false;
	if (!publish_marker_check(&publisher->marker, publisher->client, publisher->fence.incarnation, &trusted))
		return fail_connection(publisher);
	publisher->redis_lost |= !trusted;
	if (publisher->redis_lost && !begin_anew(publisher))
		return false;
	if (!mark_new_masters(publisher) || !publish(publisher))
		return false;
	return publisher->gone || publisher->reconnect || sweep(publisher);
}

/* ---- the process ---- */

static void
note_failure(Publisher *publisher)
{
	Saving saving = {publisher, NULL};
	const char *message = publisher->error.message;

	if (!publisher->failing)
		ereport(WARNING, errcode(publisher->error.sqlstate),
				errmsg("topk sink \"%s\" cannot be published, trying again: %s", publisher->name, message));
	publisher->failing = true;
	publisher->failures = publisher->progressed ? 1 : publisher->failures + 1;
	if (publisher->waiting_since == 0)
		publisher->waiting_since = publisher->now;
	publisher->status_changed = true;
	if (publisher->saved_message != NULL && strcmp(publisher->saved_message, message) == 0)
		return;
	if (!host_try(save, &saving, NULL))
		return;
	if (publisher->saved_message != NULL)
		pfree(publisher->saved_message);
	publisher->saved_message = MemoryContextStrdup(TopMemoryContext, message);
}

static void
note_success(Publisher *publisher)
{
	if (publisher->failing)
		ereport(LOG, errmsg("topk sink \"%s\" is published again", publisher->name));
	publisher->failing = false;
	publisher->failures = 0;
	if (publisher->saved_message != NULL)
		pfree(publisher->saved_message);
	publisher->saved_message = NULL;
}

static long
pause_of(const Publisher *publisher)
{
	if (publisher->failures > 0)
		return host_backoff(publisher->failures, MAX_PAUSE_MS);
	return publisher->more || publisher->reconnect ? 0 : CYCLE_MS;
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
			disconnect(publisher);
		publisher->reconnect = false;
		if (run_cycle(publisher))
			note_success(publisher);
		else if (!host_should_stop())
			note_failure(publisher);
		if (!publisher->gone)
			host_wait(pause_of(publisher));
	}
	disconnect(publisher);
	proc_exit(0);
}
