/*
 * redis_tls.h - TLS for a connection to Redis, where the installed hiredis has it (libhiredis_ssl, from 1.0
 * on; build.mk looks for it and defines TOPK_HIREDIS_TLS).
 */
#ifndef TK_REDIS_TLS_H
#define TK_REDIS_TLS_H

#include <hiredis/hiredis.h>

#include "redis_client.h"

/* Makes a fresh connection to `host` a TLS one.  False: see error. */
bool redis_tls_start(redisContext *redis, const RedisClientConfig *config, const char *host,
					 char error[REDIS_CLIENT_ERROR_LEN]);

#endif
