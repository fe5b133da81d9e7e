/*
 * redis_sentinel.h - asks the sentinels which server is the master now.  Inside the edge to Redis only.
 */
#ifndef TK_REDIS_SENTINEL_H
#define TK_REDIS_SENTINEL_H

#include "redis_link.h"

/* A link to the first server that a sentinel calls the master and that says so itself.  NULL: see error. */
RedisLink *redis_sentinel_open(const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN]);

/*
 * False: the link's server is no longer the master, by its own word or that of a sentinel.  Sentinels that do
 * not answer are no reason to leave it.
 */
bool redis_sentinel_confirm(const RedisClientConfig *config, RedisLink *link,
							char error[REDIS_CLIENT_ERROR_LEN]);

#endif
