/*
 * redis_write.h - a write as a command, and its answer as an outcome.  Inside the edge to Redis only.
 */
#ifndef TK_REDIS_WRITE_H
#define TK_REDIS_WRITE_H

#include "redis_link.h"

/* The call of the script that the link's server has loaded.  False: no memory. */
bool redis_write_build(Command *command, const RedisLink *link, const RedisFence *fence, int64_t now,
					   const RedisWrite *write);

/* REDIS_NOT_SENT: link->script_lost, it is to be sent again. */
RedisOutcome redis_write_outcome(RedisLink *link, const RedisWrite *write, const redisReply *reply,
								 char error[REDIS_CLIENT_ERROR_LEN]);

/* Tells what went wrong with a key, unless `error` tells of one already. */
void redis_write_error(const RedisWrite *write, const char *what, const char *why,
					   char error[REDIS_CLIENT_ERROR_LEN]);

#endif
