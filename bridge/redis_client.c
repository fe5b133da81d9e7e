/*
 * redis_client.c - the pipeline of fenced writes, and reading (see redis_client.h).
 *
 * Writes are appended to the output buffer of the link to their slot's master until there are enough of them,
 * then sent on all links, and their answers read in the order of the writes, which is each link's own.
 * hiredis moves the rest of its buffer after each partial send, so the buffers are kept small.
 *
 * A write that was answered by "not here" or "not now" has no outcome yet and goes into another round: Redis
 * forgets scripts when it restarts or is told to, and slots of a cluster move.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "redis_cluster.h"
#include "redis_sentinel.h"
#include "redis_slot.h"
#include "redis_write.h"

/* Sent before their answers are awaited. */
#define PIPELINE_BYTES (1024 * 1024)

#define MAX_ROUNDS 5
#define LATER_MS 20 /* before the second round of what is on its way, then twice as long each time */

/* Where a write goes to. */
typedef struct Route
{
	RedisLink *link; /* NULL: to its slot's master */
	bool asking;
} Route;

struct RedisClient
{
	RedisClientConfig config;
	RedisCluster *cluster; /* of a cluster, else NULL */
	RedisLink *link;       /* without one */
	Command command;
	Route *routes; /* of the writes at hand */
	size_t room;
	bool script_lost; /* what answers of this round said */
	bool later;
	redisReply *held; /* what `names` points into */
	MirrorText *names;
	char error[REDIS_CLIENT_ERROR_LEN];
};

/* ---- opening ---- */

static bool
connect_client(RedisClient *client)
{
	const RedisClientConfig *config = &client->config;
	RedisAddress address;

	if (config->cluster)
	{
		client->cluster = redis_cluster_open(config, client->error);
		return client->cluster != NULL;
	}
	if (config->sentinels != NULL)
		client->link = redis_sentinel_open(config, client->error);
	else if (redis_address_set(&address, config->host, config->port))
		client->link = redis_link_open(config, &address, REDIS_SERVER, client->error);
	else
		redis_link_error(client->error, "could not connect", "the host name is too long");
	return client->link != NULL && redis_link_load_script(client->link, client->error);
}

RedisClient *
redis_client_open(const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN])
{
	RedisClient *client = calloc(1, sizeof(*client));

	if (client == NULL)
	{
		snprintf(error, REDIS_CLIENT_ERROR_LEN, "out of memory");
		return NULL;
	}
	client->config = *config;
	if (connect_client(client))
		return client;
	memcpy(error, client->error, REDIS_CLIENT_ERROR_LEN);
	redis_client_close(client);
	return NULL;
}

static void
release_names(RedisClient *client)
{
	freeReplyObject(client->held);
	free(client->names);
	client->held = NULL;
	client->names = NULL;
}

void
redis_client_close(RedisClient *client)
{
	if (client == NULL)
		return;
	redis_cluster_close(client->cluster);
	redis_link_close(client->link);
	free_command(&client->command);
	free(client->routes);
	release_names(client);
	free(client);
}

const char *
redis_client_error(const RedisClient *client)
{
	return client->error;
}

/* ---- who serves what ---- */

bool
redis_client_refresh(RedisClient *client)
{
	client->error[0] = '\0';
	if (client->cluster != NULL)
		return redis_cluster_refresh(client->cluster, client->error);
	return client->config.sentinels == NULL ||
		   redis_sentinel_confirm(&client->config, client->link, client->error);
}

void
redis_client_add_places(const RedisClient *client, RedisPlaces *places)
{
	if (client->cluster != NULL)
		redis_cluster_add_places(client->cluster, places);
	else
		places->n = 0;
}

void
redis_client_show(const RedisClient *client, char *text, size_t size)
{
	char address[REDIS_ADDRESS_LEN];

	if (client->cluster != NULL)
	{
		redis_cluster_show(client->cluster, text, size);
		return;
	}
	redis_address_show(&client->link->address, address);
	snprintf(text, size, "%s", address);
}

/* The link of a key; NULL: there is none. */
static RedisLink *
find_link(RedisClient *client, MirrorText key)
{
	if (client->cluster == NULL)
		return client->link;
	return redis_cluster_link(client->cluster, redis_slot_of(key.data, key.len), client->error);
}

/* Follows an answer.  *kind REDIRECT_NONE: it is one.  False: the way is lost. */
static bool
follow(RedisClient *client, Route *route, const redisReply *reply, RedirectKind *kind)
{
	RedisLink *from = route->link;

	*route = (Route){0};
	*kind = REDIRECT_NONE;
	if (client->cluster == NULL)
		return true;
	if (!redis_cluster_redirect(client->cluster, from, reply, kind, &route->link, client->error))
		return false;
	route->asking = *kind == REDIRECT_ASK;
	client->later |= *kind == REDIRECT_LATER;
	return true;
}

static bool
append_asking(RedisClient *client, RedisLink *link)
{
	return redis_link_begin(link, 1, "could not send", client->error) &&
		   (add_text(&link->command, "ASKING"), redis_link_append(link, &link->command, client->error));
}

/* The answer to ASKING says nothing. */
static bool
skip_answer(RedisClient *client, RedisLink *link)
{
	redisReply *reply = redis_link_answer(link, client->error);

	freeReplyObject(reply);
	return reply != NULL;
}

/* ---- writing ---- */

static bool
read_answer(RedisClient *client, Route *route, RedisWrite *write)
{
	RedisLink *link = route->link;
	RedirectKind kind;
	redisReply *reply;
	bool ok;

	if (route->asking && !skip_answer(client, link))
		return false;
	reply = redis_link_answer(link, client->error);
	if (reply == NULL)
		return false;
	ok = follow(client, route, reply, &kind);
	if (ok && kind == REDIRECT_NONE)
		write->outcome = redis_write_outcome(link, write, reply, client->error);
	client->script_lost |= link->script_lost;
	freeReplyObject(reply);
	return ok;
}

/* Reads the answers of all writes that have none yet. */
static bool
read_answers(RedisClient *client, RedisWrite *writes, size_t from, size_t to)
{
	if (client->cluster != NULL && !redis_cluster_flush(client->cluster, client->error))
		return false;
	for (size_t i = from; i < to; i++)
		if (writes[i].outcome == REDIS_NOT_SENT && !read_answer(client, &client->routes[i], &writes[i]))
			return false;
	return true;
}

static bool
send_write(RedisClient *client, Route *route, const RedisFence *fence, int64_t now, const RedisWrite *write)
{
	if (route->link == NULL)
		route->link = find_link(client, write->key.hash);
	if (route->link == NULL || (route->asking && !append_asking(client, route->link)))
		return false;
	if (redis_write_build(&client->command, route->link, fence, now, write))
		return redis_link_append(route->link, &client->command, client->error);
	redis_link_error(client->error, "could not send", "out of memory");
	return false;
}

/* Sends all writes that have no answer yet. */
static bool
run_round(RedisClient *client, const RedisFence *fence, int64_t now, RedisWrite *writes, size_t n)
{
	size_t answered = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (writes[i].outcome != REDIS_NOT_SENT)
			continue;
		if (!send_write(client, &client->routes[i], fence, now, &writes[i]))
			return false;
		bytes += client->command.bytes;
		if (bytes < PIPELINE_BYTES)
			continue;
		if (!read_answers(client, writes, answered, i + 1))
			return false;
		answered = i + 1;
		bytes = 0;
	}
	return read_answers(client, writes, answered, n);
}

static bool
reserve_routes(RedisClient *client, size_t n)
{
	if (n > client->room)
	{
		Route *routes = realloc(client->routes, n * sizeof(*routes));

		if (routes == NULL)
		{
			redis_link_error(client->error, "could not write", "out of memory");
			return false;
		}
		client->routes = routes;
		client->room = n;
	}
	for (size_t i = 0; i < n; i++)
		client->routes[i] = (Route){0};
	return true;
}

/* After the last round. */
static void
give_up(RedisClient *client, RedisWrite *writes, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (writes[i].outcome != REDIS_NOT_SENT)
			continue;
		redis_write_error(&writes[i], "could not write", "its slot is moving to another node", client->error);
		writes[i].outcome = REDIS_FAILED;
	}
}

static bool
reload_scripts(RedisClient *client)
{
	if (client->cluster != NULL)
		return redis_cluster_load_scripts(client->cluster, client->error);
	return redis_link_load_script(client->link, client->error);
}

/* Removes what kept writes from an outcome in the last round. */
static bool
prepare_round(RedisClient *client, int round)
{
	struct timespec pause = {.tv_nsec = (long) (LATER_MS << round) * 1000000};

	if (client->script_lost && round > 0)
	{
		redis_link_error(client->error, "could not run the script", "Redis forgets it at once");
		return false;
	}
	if (client->script_lost && !reload_scripts(client))
		return false;
	if (client->later)
		nanosleep(&pause, NULL);
	client->script_lost = client->later = false;
	return true;
}

static bool
all_answered(const RedisWrite *writes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (writes[i].outcome == REDIS_NOT_SENT)
			return false;
	return true;
}

bool
redis_client_write(RedisClient *client, const RedisFence *fence, int64_t now, RedisWrite *writes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		writes[i].outcome = REDIS_NOT_SENT;
	client->error[0] = '\0';
	client->script_lost = client->later = false;
	if (!reserve_routes(client, n))
		return false;
	for (int round = 0; round < MAX_ROUNDS; round++)
	{
		if (!run_round(client, fence, now, writes, n))
			return false;
		if (all_answered(writes, n))
			return true;
		if (!prepare_round(client, round))
			return false;
	}
	give_up(client, writes, n);
	return true;
}

/* ---- reading ---- */

static void
take_field(RedisField *field, const redisReply *value)
{
	field->found = value->type == REDIS_REPLY_STRING;
	if (field->found)
		snprintf(field->value, sizeof(field->value), "%s", value->str);
}

/* Runs HMGET or HKEYS where the key is; the caller frees the answer. */
static redisReply *
run_reading(RedisClient *client, const char *const *words, size_t n)
{
	const char *what = "could not read";
	MirrorText key = {words[1], strlen(words[1])};
	Route route = {0};

	for (int round = 0; round < MAX_ROUNDS; round++)
	{
		RedirectKind kind;
		redisReply *reply;

		if (route.link == NULL)
			route.link = find_link(client, key);
		if (route.link == NULL ||
			(route.asking && !(append_asking(client, route.link) && skip_answer(client, route.link))))
			return NULL;
		reply = redis_link_run_words(route.link, what, client->error, words, n);
		if (reply == NULL || (follow(client, &route, reply, &kind) && kind == REDIRECT_NONE))
			return reply;
		freeReplyObject(reply);
		if (client->error[0] != '\0')
			return NULL;
	}
	redis_link_error(client->error, what, "the cluster sends from node to node");
	return NULL;
}

#define MAX_FIELDS 8

bool
redis_client_read(RedisClient *client, const char *key, RedisField *fields, size_t n)
{
	const char *words[2 + MAX_FIELDS] = {"HMGET", key};
	redisReply *reply;
	bool ok;

	client->error[0] = '\0';
	if (n > MAX_FIELDS)
		return false;
	for (size_t i = 0; i < n; i++)
		words[2 + i] = fields[i].name;
	reply = run_reading(client, words, 2 + n);
	if (reply == NULL)
		return false;
	ok = reply->type == REDIS_REPLY_ARRAY && reply->elements == n;
	for (size_t i = 0; ok && i < n; i++)
		take_field(&fields[i], reply->element[i]);
	if (!ok)
		redis_link_unexpected(client->error, "could not read", reply);
	freeReplyObject(reply);
	return ok;
}

/* Takes a list of names over from an answer. */
static bool
hold_names(RedisClient *client, redisReply *reply)
{
	size_t n = reply->elements;

	client->held = reply;
	client->names = malloc((n + 1) * sizeof(*client->names));
	if (client->names == NULL)
	{
		redis_link_error(client->error, "could not read", "out of memory");
		return false;
	}
	for (size_t i = 0; i < n; i++)
		client->names[i] = (MirrorText){reply->element[i]->str, reply->element[i]->len};
	return true;
}

const MirrorText *
redis_client_read_names(RedisClient *client, const char *key, size_t *n)
{
	const char *words[2] = {"HKEYS", key};
	redisReply *reply;

	client->error[0] = '\0';
	release_names(client);
	reply = run_reading(client, words, 2);
	if (reply == NULL)
		return NULL;
	if (reply->type != REDIS_REPLY_ARRAY)
	{
		redis_link_unexpected(client->error, "could not read", reply);
		freeReplyObject(reply);
		return NULL;
	}
	*n = reply->elements;
	return hold_names(client, reply) ? client->names : NULL;
}
