/*
 * publisher_connect.c - the publisher's connection, and whether its Redis is the one that it knows.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "publish_config.h"
#include "publisher.h"

#define REFRESH_US INT64CONST(5000000) /* between questions who serves what */

/* ---- errors ---- */

bool
publisher_fail_redis(Publisher *publisher, int sqlstate, const char *message)
{
	host_error(&publisher->error, sqlstate, "Redis: %s", message);
	return false;
}

void
publisher_disconnect(Publisher *publisher)
{
	redis_client_close(publisher->client);
	publisher->client = NULL;
}

/* The connection failed, or Redis answered what makes it useless. */
bool
publisher_fail_connection(Publisher *publisher)
{
	publisher_fail_redis(publisher, ERRCODE_CONNECTION_FAILURE, redis_client_error(publisher->client));
	publisher_disconnect(publisher);
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
		return publisher_fail_connection(publisher);
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
		return publisher_fail_redis(publisher, ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, error);
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
		return publisher_fail_connection(publisher);
	redis_client_show(publisher->client, publisher->address, sizeof(publisher->address));
	return true;
}

/* ---- the marker ---- */

/* Lets the marker vouch for `keys` keys.  If a newer publisher holds it, this one goes no further. */
bool
publisher_write_marker(Publisher *publisher, int64 keys)
{
	RedisOutcome outcome =
		publish_marker_write(&publisher->marker, publisher->client, &publisher->fence, publisher->now, keys);

	if (outcome == REDIS_NOT_SENT)
		return publisher_fail_connection(publisher);
	if (outcome != REDIS_DONE)
		return publisher_fail_redis(publisher, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
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
	if (!publisher_write_marker(publisher, publisher->marker.keys))
	{
		publisher_disconnect(
			publisher); /* another server or incarnation may be configured by the next time */
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
		   publisher_write_marker(publisher, publisher->marker.keys);
}

bool
publisher_connect(Publisher *publisher)
{
	bool trusted;

	if (publisher->client == NULL && !connect_redis(publisher))
		return false;
	if (publisher->gone)
		return true;
	if (!refresh(publisher))
		return false;
	if (!publish_marker_check(&publisher->marker, publisher->client, publisher->fence.incarnation, &trusted))
		return publisher_fail_connection(publisher);
	publisher->redis_lost |= !trusted;
	if (publisher->redis_lost && !begin_anew(publisher))
		return false;
	return mark_new_masters(publisher);
}
