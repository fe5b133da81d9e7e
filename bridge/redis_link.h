/*
 * redis_link.h - one connection to one Redis server.  Inside the edge to Redis only (redis_client.h).
 *
 * Commands are run one by one, or appended, flushed, and their answers taken in turn.  Functions that can
 * fail fill `error`; a link that has failed is only good for closing.
 */
#ifndef TK_REDIS_LINK_H
#define TK_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "redis_address.h"
#include "redis_client.h"
#include "redis_command.h"

#define REDIS_SHA_LEN 64

typedef struct RedisLink
{
	redisContext *redis;
	RedisAddress address;
	int timeout;             /* ms, of what it is doing */
	char sha[REDIS_SHA_LEN]; /* of the script, once it is loaded */
	bool script_lost;        /* an answer said so */
	bool (*give_up)(void);   /* as in RedisClientConfig */
	Command command;
} RedisLink;

/* Whose credentials a server wants. */
typedef enum RedisRole
{
	REDIS_SERVER,
	REDIS_SENTINEL
} RedisRole;

/* Printable ASCII "what: why". */
void redis_link_error(char error[REDIS_CLIENT_ERROR_LEN], const char *what, const char *why);

/* An answer that was not expected.  Returns false. */
bool redis_link_unexpected(char error[REDIS_CLIENT_ERROR_LEN], const char *what, const redisReply *reply);

/* Connects, authenticates, selects the database.  The config must outlive the link.  NULL: see error. */
RedisLink *redis_link_open(const RedisClientConfig *config, const RedisAddress *address, RedisRole role,
						   char error[REDIS_CLIENT_ERROR_LEN]);

/* NULL is allowed. */
void redis_link_close(RedisLink *link);

bool redis_link_load_script(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN]);

/* Begins link->command; false if there is no memory. */
bool redis_link_begin(RedisLink *link, size_t args, const char *what, char error[REDIS_CLIENT_ERROR_LEN]);

/* Runs link->command; the caller frees the answer.  NULL: the connection failed. */
redisReply *redis_link_run(RedisLink *link, const char *what, char error[REDIS_CLIENT_ERROR_LEN]);

/* Runs a command of words. */
redisReply *redis_link_run_words(RedisLink *link, const char *what, char error[REDIS_CLIENT_ERROR_LEN],
								 const char *const *words, size_t n);

bool redis_link_append(RedisLink *link, Command *command, char error[REDIS_CLIENT_ERROR_LEN]);

/* Sends what was appended. */
bool redis_link_flush(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN]);

/* The next answer; the caller frees it.  NULL: the connection failed. */
redisReply *redis_link_answer(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN]);

#endif
