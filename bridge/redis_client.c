/*
 * redis_client.c - a connection to Redis and the pipeline of fenced writes (see redis_client.h).
 *
 * Writes are appended to hiredis' output buffer until there are enough of them, then sent, and their answers
 * read: hiredis moves the rest of its buffer after each partial send, so the buffer is kept small.  Redis
 * forgets scripts when it restarts or is told to; a call that it does not know is sent again after loading
 * the script.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "redis_client.h"
#include "redis_command.h"
#include "redis_script.h"

/* Sent before their answers are awaited. */
#define PIPELINE_BYTES (1024 * 1024)

/* Arguments of a write beside its fields and members: EVALSHA, sha, count, 2 keys, 6 numbers, a stamp and its
 * time. */
#define FIXED_ARGS 13

struct RedisClient
{
	redisContext *redis;
	int timeout; /* ms */
	char sha[64];
	bool script_lost; /* an answer said so */
	Command command;
	redisReply *held; /* what `names` points into */
	MirrorText *names;
	char error[REDIS_CLIENT_ERROR_LEN];
};

/* ---- errors ---- */

/* Texts of others may hold anything: what is kept is printable ASCII. */
static void
make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if (!isascii((unsigned char) *text) || !isprint((unsigned char) *text))
			*text = '?';
}

static void
set_error(RedisClient *client, const char *what, const char *why)
{
	snprintf(client->error, sizeof(client->error), "%s: %s", what, why);
	make_printable(client->error);
}

/* The connection's own error.  hiredis reports a timeout as the errno that it gave. */
static bool
fail_connection(RedisClient *client, const char *what)
{
	const redisContext *redis = client->redis;

	if (redis->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK))
		snprintf(client->error, sizeof(client->error), "%s: no answer within %d ms", what, client->timeout);
	else
		set_error(client, what, redis->err != 0 ? redis->errstr : "out of memory");
	return false;
}

static bool
fail_reply(RedisClient *client, const char *what, const redisReply *reply)
{
	set_error(client, what, reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected answer");
	return false;
}

/* ---- commands ---- */

/* Sends the command and waits for its answer, which the caller frees; NULL: the connection failed. */
static redisReply *
run_command(RedisClient *client, const char *what)
{
	Command *command = &client->command;
	redisReply *reply = redisCommandArgv(client->redis, (int) command->n, command->args, command->lens);

	if (reply == NULL)
		fail_connection(client, what);
	return reply;
}

/* ---- opening ---- */

/* Runs the command, whose answer must be a status. */
static bool
run_for_status(RedisClient *client, const char *what)
{
	redisReply *reply = run_command(client, what);
	bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;

	if (reply != NULL && !ok)
		fail_reply(client, what, reply);
	freeReplyObject(reply);
	return ok;
}

static bool
authenticate(RedisClient *client, const RedisClientConfig *config)
{
	if (config->password == NULL)
		return true;
	if (!begin_command(&client->command, FIXED_ARGS))
		return fail_connection(client, "AUTH");
	add_text(&client->command, "AUTH");
	if (config->username != NULL)
		add_text(&client->command, config->username);
	add_text(&client->command, config->password);
	return run_for_status(client, "could not authenticate");
}

static bool
select_database(RedisClient *client, int db)
{
	if (db == 0)
		return true;
	if (!begin_command(&client->command, FIXED_ARGS))
		return fail_connection(client, "SELECT");
	add_text(&client->command, "SELECT");
	add_number(&client->command, db);
	return run_for_status(client, "could not select the database");
}

static bool
load_script(RedisClient *client)
{
	const char *what = "could not load the script";
	redisReply *reply;
	bool ok;

	if (!begin_command(&client->command, FIXED_ARGS))
		return fail_connection(client, what);
	add_text(&client->command, "SCRIPT");
	add_text(&client->command, "LOAD");
	add_text(&client->command, redis_script);
	reply = run_command(client, what);
	if (reply == NULL)
		return false;
	ok = reply->type == REDIS_REPLY_STRING && reply->len < sizeof(client->sha);
	if (ok)
		memcpy(client->sha, reply->str, reply->len + 1);
	else
		fail_reply(client, what, reply);
	freeReplyObject(reply);
	return ok;
}

static struct timeval
to_timeval(int ms)
{
	if (ms < 1)
		ms = 1; /* 0 would mean for ever */
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
}

static bool
connect_to(RedisClient *client, const RedisClientConfig *config)
{
	struct timeval timeout = to_timeval(config->connect_timeout);

	if (config->tls)
	{
		snprintf(client->error, sizeof(client->error),
				 "TLS is not supported by this build (hiredis %d.%d): set the server option tls to off",
				 HIREDIS_MAJOR, HIREDIS_MINOR);
		return false;
	}
	client->timeout = config->connect_timeout;
	client->redis = config->host[0] == '/' ? redisConnectUnixWithTimeout(config->host, timeout)
										   : redisConnectWithTimeout(config->host, config->port, timeout);
	if (client->redis == NULL)
	{
		set_error(client, "could not connect", "out of memory");
		return false;
	}
	if (client->redis->err != 0)
		return fail_connection(client, "could not connect");
	client->timeout = config->command_timeout;
	if (redisSetTimeout(client->redis, to_timeval(config->command_timeout)) != REDIS_OK)
		return fail_connection(client, "could not set a timeout");
	if (config->host[0] != '/')
		redisEnableKeepAlive(client->redis);
	return true;
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
	if (connect_to(client, config) && authenticate(client, config) && select_database(client, config->db) &&
		load_script(client))
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
	if (client->redis != NULL)
		redisFree(client->redis);
	free_command(&client->command);
	release_names(client);
	free(client);
}

const char *
redis_client_error(const RedisClient *client)
{
	return client->error;
}

/* ---- writing ---- */

static void
add_contents(Command *command, const RedisWrite *write, int64_t now)
{
	const MirrorKey *key = &write->key;

	add_number(command, 2 * (int64_t) (key->n_fields + (write->stamp != NULL)));
	for (size_t i = 0; i < 2 * key->n_fields; i++)
		add_bytes(command, key->fields[i].data, key->fields[i].len);
	if (write->stamp != NULL)
	{
		add_text(command, write->stamp);
		add_number(command, now / 1000);
	}
	for (size_t i = 0; i < key->n_members; i++)
	{
		add_number(command, key->scores[i]);
		add_bytes(command, key->members[i].data, key->members[i].len);
	}
}

static bool
build_write(RedisClient *client, const RedisFence *fence, int64_t now, const RedisWrite *write)
{
	Command *command = &client->command;
	const MirrorKey *key = &write->key;
	bool replace = write->action == REDIS_REPLACE;

	if (!begin_command(command, FIXED_ARGS + 2 * (key->n_fields + key->n_members)))
		return false;
	add_text(command, "EVALSHA");
	add_text(command, client->sha);
	add_text(command, key->zset.data != NULL ? "2" : "1");
	add_bytes(command, key->hash.data, key->hash.len);
	if (key->zset.data != NULL)
		add_bytes(command, key->zset.data, key->zset.len);
	add_text(command, replace ? "replace" : "retime");
	add_number(command, fence->incarnation);
	add_number(command, fence->timeline);
	add_number(command, fence->sequence);
	if (key->expire_at == MIRROR_NEVER)
		add_text(command, "");
	else
		add_number(command, key->expire_at / 1000);
	if (replace)
		add_contents(command, write, now);
	return true;
}

/* Remembers the first thing that went wrong with a key. */
static void
note_key_error(RedisClient *client, const RedisWrite *write, const char *what, const char *why)
{
	char text[REDIS_CLIENT_ERROR_LEN];
	char *where;

	if (client->error[0] != '\0')
		return;
	snprintf(text, sizeof(text), "%s key \"%.*s\"", what,
			 (int) (write->key.hash.len < 100 ? write->key.hash.len : 100), write->key.hash.data);
	set_error(client, text, why);
	where = strstr(client->error, " script: "); /* where in the script: nothing for the user */
	if (where != NULL)
		*where = '\0';
}

static RedisOutcome
read_outcome(RedisClient *client, const RedisWrite *write, const redisReply *reply)
{
	switch (reply->type)
	{
		case REDIS_REPLY_INTEGER:
			return reply->integer == 1 ? REDIS_DONE : REDIS_GONE;
		case REDIS_REPLY_STRING:
			note_key_error(client, write, "a newer publisher has written", reply->str);
			return REDIS_REFUSED;
		case REDIS_REPLY_ERROR:
			if (strncmp(reply->str, "NOSCRIPT", 8) == 0)
			{
				client->script_lost = true;
				return REDIS_NOT_SENT;
			}
			note_key_error(client, write, "could not write", reply->str);
			return REDIS_FAILED;
		default:
			note_key_error(client, write, "could not write", "unexpected answer");
			return REDIS_FAILED;
	}
}

/* Reads the answers of all writes that have none yet. */
static bool
read_answers(RedisClient *client, RedisWrite *writes, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		void *reply = NULL;

		if (writes[i].outcome != REDIS_NOT_SENT)
			continue;
		if (redisGetReply(client->redis, &reply) != REDIS_OK)
			return fail_connection(client, "lost the connection");
		writes[i].outcome = read_outcome(client, &writes[i], reply);
		freeReplyObject(reply);
	}
	return true;
}

/* Sends all writes that have no answer yet. */
static bool
send_writes(RedisClient *client, const RedisFence *fence, int64_t now, RedisWrite *writes, size_t n)
{
	Command *command = &client->command;
	size_t answered = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (writes[i].outcome != REDIS_NOT_SENT)
			continue;
		if (!build_write(client, fence, now, &writes[i]) ||
			redisAppendCommandArgv(client->redis, (int) command->n, command->args, command->lens) != REDIS_OK)
			return fail_connection(client, "could not send");
		bytes += command->bytes;
		if (bytes < PIPELINE_BYTES)
			continue;
		if (!read_answers(client, writes + answered, i + 1 - answered))
			return false;
		answered = i + 1;
		bytes = 0;
	}
	return read_answers(client, writes + answered, n - answered);
}

bool
redis_client_write(RedisClient *client, const RedisFence *fence, int64_t now, RedisWrite *writes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		writes[i].outcome = REDIS_NOT_SENT;
	client->error[0] = '\0';
	client->script_lost = false;
	if (!send_writes(client, fence, now, writes, n))
		return false;
	if (!client->script_lost)
		return true;
	client->script_lost = false;
	if (!load_script(client) || !send_writes(client, fence, now, writes, n))
		return false;
	if (client->script_lost)
		set_error(client, "could not run the script", "Redis forgets it at once");
	return !client->script_lost;
}

/* ---- reading ---- */

static void
take_field(RedisField *field, const redisReply *value)
{
	field->found = value->type == REDIS_REPLY_STRING;
	if (field->found)
		snprintf(field->value, sizeof(field->value), "%s", value->str);
}

bool
redis_client_read(RedisClient *client, const char *key, RedisField *fields, size_t n)
{
	const char *what = "could not read";
	redisReply *reply;
	bool ok;

	client->error[0] = '\0';
	if (!begin_command(&client->command, FIXED_ARGS + n))
		return fail_connection(client, what);
	add_text(&client->command, "HMGET");
	add_text(&client->command, key);
	for (size_t i = 0; i < n; i++)
		add_text(&client->command, fields[i].name);
	reply = run_command(client, what);
	if (reply == NULL)
		return false;
	ok = reply->type == REDIS_REPLY_ARRAY && reply->elements == n;
	for (size_t i = 0; ok && i < n; i++)
		take_field(&fields[i], reply->element[i]);
	if (!ok)
		fail_reply(client, what, reply);
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
		return fail_connection(client, "could not read");
	for (size_t i = 0; i < n; i++)
		client->names[i] = (MirrorText){reply->element[i]->str, reply->element[i]->len};
	return true;
}

const MirrorText *
redis_client_read_names(RedisClient *client, const char *key, size_t *n)
{
	const char *what = "could not read";
	redisReply *reply;

	client->error[0] = '\0';
	release_names(client);
	if (!begin_command(&client->command, FIXED_ARGS))
	{
		fail_connection(client, what);
		return NULL;
	}
	add_text(&client->command, "HKEYS");
	add_text(&client->command, key);
	reply = run_command(client, what);
	if (reply == NULL)
		return NULL;
	if (reply->type != REDIS_REPLY_ARRAY)
	{
		fail_reply(client, what, reply);
		freeReplyObject(reply);
		return NULL;
	}
	*n = reply->elements;
	return hold_names(client, reply) ? client->names : NULL;
}
