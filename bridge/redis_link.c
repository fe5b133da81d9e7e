/*
 * redis_link.c - one connection to one Redis server (see redis_link.h).
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "redis_link.h"
#include "redis_script.h"
#include "redis_tls.h"

#define ASK_MS 1000 /* between the caller's chances to give up while Redis is waited for */

/* ---- errors ---- */

/* Texts of others may hold anything. */
static void
make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if (!isascii((unsigned char) *text) || !isprint((unsigned char) *text))
			*text = '?';
}

void
redis_link_error(char error[REDIS_CLIENT_ERROR_LEN], const char *what, const char *why)
{
	snprintf(error, REDIS_CLIENT_ERROR_LEN, "%s: %s", what, why);
	make_printable(error);
}

/* The connection's own error, with its address.  hiredis reports a timeout as the errno that it gave. */
static bool
fail(const RedisLink *link, const char *what, char error[REDIS_CLIENT_ERROR_LEN])
{
	const redisContext *redis = link->redis;
	bool timed_out = redis != NULL && redis->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
	char address[REDIS_ADDRESS_LEN];
	char text[2 * REDIS_ADDRESS_LEN];

	redis_address_show(&link->address, address);
	snprintf(text, sizeof(text), "%s (%s)", what, address);
	if (timed_out)
		snprintf(error, REDIS_CLIENT_ERROR_LEN, "%.200s: no answer within %d ms", text, link->timeout);
	else
		redis_link_error(error, text, redis != NULL && redis->err != 0 ? redis->errstr : "out of memory");
	return false;
}

bool
redis_link_unexpected(char error[REDIS_CLIENT_ERROR_LEN], const char *what, const redisReply *reply)
{
	redis_link_error(error, what, reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected answer");
	return false;
}

/* ---- waiting ---- */

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until there is something to be read (POLLIN), or room for something to be written (POLLOUT).  A signal ends
 * a wait early, so that the caller is asked at once. */
static bool
wait_for(RedisLink *link, short events, const char *what, char error[REDIS_CLIENT_ERROR_LEN])
{
	int64_t end = clock_ms() + link->timeout;
	struct pollfd socket = {.fd = link->redis->fd, .events = events};

	for (;;)
	{
		int64_t left = end - clock_ms();
		int n = poll(&socket, 1, left > ASK_MS ? ASK_MS : left > 0 ? (int) left : 0);

		if (n > 0 || (n < 0 && errno != EINTR))
			return true; /* reading or writing tells what it is */
		if (link->give_up != NULL && link->give_up())
		{
			redis_link_error(error, "stopped", "not waiting for Redis any longer");
			return false;
		}
		if (left > 0)
			continue;
		link->redis->err = REDIS_ERR_IO;
		errno = EAGAIN;
		return fail(link, what, error);
	}
}

/* Sends what was appended. */
static bool
send_all(RedisLink *link, const char *what, char error[REDIS_CLIENT_ERROR_LEN])
{
	int done = 0;

	for (;;)
	{
		if (redisBufferWrite(link->redis, &done) != REDIS_OK)
			return fail(link, what, error);
		if (done)
			return true;
		if (!wait_for(link, POLLOUT, what, error))
			return false;
	}
}

/* Sends what was appended, if no answer is here yet, and waits for the next one; NULL if it failed. */
static redisReply *
read_answer(RedisLink *link, const char *what, char error[REDIS_CLIENT_ERROR_LEN])
{
	void *reply = NULL;
	bool ok = redisGetReplyFromReader(link->redis, &reply) == REDIS_OK;

	if (ok && reply == NULL && !send_all(link, what, error))
		return NULL;
	while (ok && reply == NULL)
	{
		if (!wait_for(link, POLLIN, what, error))
			return NULL;
		ok = redisBufferRead(link->redis) == REDIS_OK &&
			 redisGetReplyFromReader(link->redis, &reply) == REDIS_OK;
	}
	if (!ok)
		fail(link, what, error);
	return reply;
}

/* ---- commands ---- */

bool
redis_link_begin(RedisLink *link, size_t args, const char *what, char error[REDIS_CLIENT_ERROR_LEN])
{
	if (begin_command(&link->command, args))
		return true;
	redis_link_error(error, what, "out of memory");
	return false;
}

redisReply *
redis_link_run(RedisLink *link, const char *what, char error[REDIS_CLIENT_ERROR_LEN])
{
	Command *command = &link->command;

	if (redisAppendCommandArgv(link->redis, (int) command->n, command->args, command->lens) == REDIS_OK)
		return read_answer(link, what, error);
	fail(link, what, error);
	return NULL;
}

redisReply *
redis_link_run_words(RedisLink *link, const char *what, char error[REDIS_CLIENT_ERROR_LEN],
					 const char *const *words, size_t n)
{
	if (!redis_link_begin(link, n, what, error))
		return NULL;
	for (size_t i = 0; i < n; i++)
		add_text(&link->command, words[i]);
	return redis_link_run(link, what, error);
}

bool
redis_link_append(RedisLink *link, Command *command, char error[REDIS_CLIENT_ERROR_LEN])
{
	return redisAppendCommandArgv(link->redis, (int) command->n, command->args, command->lens) == REDIS_OK ||
		   fail(link, "could not send", error);
}

bool
redis_link_flush(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN])
{
	return send_all(link, "lost the connection", error);
}

redisReply *
redis_link_answer(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN])
{
	return read_answer(link, "lost the connection", error);
}

/* ---- opening ---- */

/* Runs words whose answer must be a status. */
static bool
run_for_status(RedisLink *link, const char *what, const char *const *words, size_t n,
			   char error[REDIS_CLIENT_ERROR_LEN])
{
	redisReply *reply = redis_link_run_words(link, what, error, words, n);
	bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;

	if (reply != NULL && !ok)
		redis_link_unexpected(error, what, reply);
	freeReplyObject(reply);
	return ok;
}

static bool
authenticate(RedisLink *link, const RedisClientConfig *config, RedisRole role,
			 char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *username = role == REDIS_SENTINEL ? config->sentinel_username : config->username;
	const char *password = role == REDIS_SENTINEL ? config->sentinel_password : config->password;
	const char *words[3] = {"AUTH"};
	size_t n = 1;

	if (password == NULL)
		return true;
	if (username != NULL)
		words[n++] = username;
	words[n++] = password;
	return run_for_status(link, "could not authenticate", words, n, error);
}

static bool
select_database(RedisLink *link, int db, char error[REDIS_CLIENT_ERROR_LEN])
{
	char number[NUMBER_LEN];
	const char *words[2] = {"SELECT", number};

	if (db == 0)
		return true;
	snprintf(number, sizeof(number), "%d", db);
	return run_for_status(link, "could not select the database", words, 2, error);
}

bool
redis_link_load_script(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *what = "could not load the script";
	const char *words[3] = {"SCRIPT", "LOAD", redis_script};
	redisReply *reply = redis_link_run_words(link, what, error, words, 3);
	bool ok;

	if (reply == NULL)
		return false;
	ok = reply->type == REDIS_REPLY_STRING && reply->len < sizeof(link->sha);
	if (ok)
		memcpy(link->sha, reply->str, reply->len + 1);
	else
		redis_link_unexpected(error, what, reply);
	freeReplyObject(reply);
	link->script_lost = false;
	return ok;
}

static struct timeval
to_timeval(int ms)
{
	if (ms < 1)
		ms = 1; /* 0 would mean for ever */
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
}

/* Once all is set up: from here on it is wait_for that waits, which asks the caller. */
static bool
stop_blocking(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN])
{
	redisContext *redis = link->redis;
	int flags = fcntl(redis->fd, F_GETFL);

	if (flags < 0 || fcntl(redis->fd, F_SETFL, flags | O_NONBLOCK) < 0)
	{
		redis_link_error(error, "could not connect", strerror(errno));
		return false;
	}
	redis->flags &= ~REDIS_BLOCK;
	return true;
}

static bool
connect_to(RedisLink *link, const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN])
{
	struct timeval timeout = to_timeval(config->connect_timeout);
	const RedisAddress *address = &link->address;
	bool is_path = address->host[0] == '/';

	link->timeout = config->connect_timeout;
	link->redis = is_path ? redisConnectUnixWithTimeout(address->host, timeout)
						  : redisConnectWithTimeout(address->host, address->port, timeout);
	if (link->redis == NULL || link->redis->err != 0)
		return fail(link, "could not connect", error);
	link->timeout = config->command_timeout;
	if (redisSetTimeout(link->redis, to_timeval(config->command_timeout)) != REDIS_OK)
		return fail(link, "could not set a timeout", error);
	if (!is_path)
		redisEnableKeepAlive(link->redis);
	return (!config->tls || redis_tls_start(link->redis, config, address->host, error)) &&
		   stop_blocking(link, error);
}

RedisLink *
redis_link_open(const RedisClientConfig *config, const RedisAddress *address, RedisRole role,
				char error[REDIS_CLIENT_ERROR_LEN])
{
	RedisLink *link = calloc(1, sizeof(*link));

	if (link == NULL)
	{
		redis_link_error(error, "could not connect", "out of memory");
		return NULL;
	}
	link->address = *address;
	link->give_up = config->give_up;
	if (connect_to(link, config, error) && authenticate(link, config, role, error) &&
		(role == REDIS_SENTINEL || select_database(link, config->db, error)))
		return link;
	redis_link_close(link);
	return NULL;
}

void
redis_link_close(RedisLink *link)
{
	if (link == NULL)
		return;
	if (link->redis != NULL)
		redisFree(link->redis);
	free_command(&link->command);
	free(link);
}
