/*
 * publisher.h - what the files of the publisher process share.
 */
#ifndef TK_PUBLISHER_H
#define TK_PUBLISHER_H

#include "postgres.h"

#include "host.h"
#include "publish_marker.h"
#include "publish_memory.h"
#include "publish_plan.h"
#include "publish_store.h"
#include "redis_client.h"

#define PUBLISHER_ADDRESS_LEN 400

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
	char address[PUBLISHER_ADDRESS_LEN];
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
	int64 next_open; /* when open windows are looked at in the midst of a backlog */
	int64 rested_at; /* when the last pause ended */
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

/* publisher_connect.c.  What returns false has filled publisher->error. */

extern bool publisher_fail_redis(Publisher *publisher, int sqlstate, const char *message);

/* The connection failed, or Redis answered what makes it useless. */
extern bool publisher_fail_connection(Publisher *publisher);

extern void publisher_disconnect(Publisher *publisher);

/* Before a cycle: a connection, to who serves what is written, whose Redis holds what we know of or is
 * begun anew.  publisher->gone: nothing is left to do. */
extern bool publisher_connect(Publisher *publisher);

/* Lets the marker vouch for `keys` keys.  If a newer publisher holds it, this one goes no further. */
extern bool publisher_write_marker(Publisher *publisher, int64 keys);

/* publisher_status.c */

/* What the plan, written or empty, says of the time that Redis is behind. */
extern void publisher_note_waiting(Publisher *publisher, const PublishPlan *plan);

/* Notes what was written; nothing is written while nothing happens. */
extern bool publisher_save_progress(Publisher *publisher, const PublishPlan *plan);

/* The end of a cycle. */
extern void publisher_note_failure(Publisher *publisher);
extern void publisher_note_success(Publisher *publisher);

#endif
