/*
 * redis_client.h - the edge to Redis: with redis_link, redis_tls, redis_cluster and redis_sentinel behind it,
 * all that knows hiredis, and nothing else.
 *
 * A client speaks to one server, to the master that sentinels name, or to all masters of a cluster; it is
 * used by one thread, and blocks for at most its timeouts.  It writes keys through one fenced script
 * (redis_script.h), many in a pipeline.  When a connection fails the client is of no more use: close it and
 * open another; what was not acknowledged may or may not have been done, and may be sent again.  Messages are
 * English, ASCII, and never hold a secret.
 */
#ifndef TK_REDIS_CLIENT_H
#define TK_REDIS_CLIENT_H

#include <stdbool.h>

#include "mirror.h"

typedef struct RedisClient RedisClient;

#define REDIS_CLIENT_ERROR_LEN 256

/* All that it points to must outlive the client.  NULL: not given. */
typedef struct RedisClientConfig
{
	const char *host; /* a name, an address, or the path of a Unix socket */
	int port;
	int db;
	const char *username;  /* NULL: the default user */
	const char *password;  /* NULL: none */
	int connect_timeout;   /* ms */
	int command_timeout;   /* ms that one read or write may take */
	bool (*give_up)(void); /* asked each second of waiting for an answer, and after a signal; NULL: never */

	bool cluster;
	const char *nodes; /* of the cluster, to ask for the others: "host:port, ..."; NULL: host and port */

	const char *sentinels; /* "host:port, ...", which name the master; NULL: host and port are the server's */
	const char *sentinel_master;
	const char *sentinel_username;
	const char *sentinel_password;

	bool tls;
	const char *tls_ca_file;
	const char *tls_cert_file;
	const char *tls_key_file;
	const char *tls_server_name; /* NULL: the host, if it is a name */
} RedisClientConfig;

/*
 * Slots of which each master of a cluster serves one or more: what is lost with any master is lost with one
 * of them.
 */
#define REDIS_MAX_PLACES 256

typedef struct RedisPlaces
{
	size_t n;
	int slots[REDIS_MAX_PLACES];
} RedisPlaces;

/* Orders writers: compared from left to right.  Each below 2^53. */
typedef struct RedisFence
{
	int64_t incarnation;
	int64_t timeline;
	int64_t sequence;
} RedisFence;

typedef enum RedisAction
{
	REDIS_REPLACE, /* the key is to be as given */
	REDIS_RETIME,  /* only its expiry; one in the past removes it */
	REDIS_PROBE    /* nothing; is the key still as it was written? */
} RedisAction;

typedef enum RedisOutcome
{
	REDIS_NOT_SENT, /* or the answer never came */
	REDIS_DONE,
	REDIS_GONE,    /* REDIS_RETIME: there is no such key; REDIS_PROBE: it is not as it was written */
	REDIS_REFUSED, /* the key holds a newer fence */
	REDIS_FAILED   /* Redis answered with an error; the key is as it was */
} RedisOutcome;

typedef struct RedisWrite
{
	RedisAction action;
	MirrorKey key;     /* REDIS_PROBE: the names and numbers; the stamp is one of the fields */
	int64_t sequence;  /* REDIS_PROBE: under which it was written */
	const char *stamp; /* REDIS_REPLACE: a further field that tells when it was written, in ms; or NULL */
	RedisOutcome outcome;
} RedisWrite;

/* A field of a hash to be read; longer values are cut. */
typedef struct RedisField
{
	const char *name;
	bool found;
	char value[64];
} RedisField;

/* Finds the servers, connects, authenticates, selects the database and loads the script.  NULL: see *error.
 */
RedisClient *redis_client_open(const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN]);

/* NULL is allowed. */
void redis_client_close(RedisClient *client);

/*
 * Finds out anew who serves what: reads the cluster's map, asks the sentinels.  False: the connection is
 * lost, or not to the right server any more.
 */
bool redis_client_refresh(RedisClient *client);

/*
 * Adds a slot to `places` for each master that serves none of them.  Without a cluster it becomes empty: the
 * whole of Redis is one place.
 */
void redis_client_add_places(const RedisClient *client, RedisPlaces *places);

/* The addresses that the client writes to, separated by spaces. */
void redis_client_show(const RedisClient *client, char *text, size_t size);

/*
 * Sends the writes, in order for each key, and fills their outcomes in; `now` is the stamps' time in us.
 * False: the connection is lost, or Redis cannot run the script.  A write that was refused or failed is no
 * reason for false; the first of them is told by redis_client_error.
 */
bool redis_client_write(RedisClient *client, const RedisFence *fence, int64_t now, RedisWrite *writes,
						size_t n);

/* Reads fields of a hash; none is found if the hash does not exist.  False: as above, or Redis said no. */
bool redis_client_read(RedisClient *client, const char *key, RedisField *fields, size_t n);

/*
 * The names of all fields of a hash, none if there is no such hash; *n of them.  They live until the client's
 * next reading of names.  NULL: as false above.
 */
const MirrorText *redis_client_read_names(RedisClient *client, const char *key, size_t *n);

/* What went wrong in the last call; "" if nothing did.  Lives as long as the client, until its next call. */
const char *redis_client_error(const RedisClient *client);

#endif
