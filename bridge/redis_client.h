/*
 * redis_client.h - the edge to Redis: everything that knows hiredis, and nothing else.
 *
 * A client is one connection, used by one thread, that blocks for at most its timeouts.  It writes keys
 * through one fenced script (redis_script.h), many in a pipeline.  When the connection fails the client is of
 * no more use: close it and open another; what was not acknowledged may or may not have been done, and may be
 * sent again. Messages are English, ASCII, and never hold a secret.
 */
#ifndef TK_REDIS_CLIENT_H
#define TK_REDIS_CLIENT_H

#include <stdbool.h>

#include "mirror.h"

typedef struct RedisClient RedisClient;

#define REDIS_CLIENT_ERROR_LEN 256

/* Read during redis_client_open only. */
typedef struct RedisClientConfig
{
	const char *host; /* a name, an address, or the path of a Unix socket */
	int port;
	int db;
	const char *username; /* NULL: the default user */
	const char *password; /* NULL: none */
	bool tls;
	int connect_timeout; /* ms */
	int command_timeout; /* ms that one read or write may take */
} RedisClientConfig;

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
	REDIS_RETIME   /* only its expiry; one in the past removes it */
} RedisAction;

typedef enum RedisOutcome
{
	REDIS_NOT_SENT, /* or the answer never came */
	REDIS_DONE,
	REDIS_GONE,    /* REDIS_RETIME: there is no such key */
	REDIS_REFUSED, /* the key holds a newer fence */
	REDIS_FAILED   /* Redis answered with an error; the key is as it was */
} RedisOutcome;

typedef struct RedisWrite
{
	RedisAction action;
	MirrorKey key;
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

/* Connects, authenticates, selects the database and loads the script.  NULL: see *error. */
RedisClient *redis_client_open(const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN]);

/* NULL is allowed. */
void redis_client_close(RedisClient *client);

/*
 * Sends the writes in order and fills their outcomes in; `now` is the stamps' time in us.  False: the
 * connection is lost, or Redis cannot run the script.  A write that was refused or failed is no reason for
 * false; the first of them is told by redis_client_error.
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
