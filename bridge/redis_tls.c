/*
 * redis_tls.c - TLS for a connection to Redis (see redis_tls.h).
 *
 * The server's certificate must be signed by an authority in tls_ca_file.  hiredis compares no names, so the
 * system's authorities, who sign for anybody, would prove nothing, and are not used.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "redis_tls.h"

#ifdef TOPK_HIREDIS_TLS

#include <hiredis/hiredis_ssl.h>

/* Server name indication is for names. */
static bool
is_name(const char *host)
{
	unsigned char bytes[16];

	return host[0] != '/' && inet_pton(AF_INET, host, bytes) != 1 && inet_pton(AF_INET6, host, bytes) != 1;
}

/* The connection's SSL object keeps what it needs of the context. */
bool
redis_tls_start(redisContext *redis, const RedisClientConfig *config, const char *host,
				char error[REDIS_CLIENT_ERROR_LEN])
{
	redisSSLContextError why = REDIS_SSL_CTX_NONE;
	const char *name = config->tls_server_name;
	redisSSLContext *context;
	bool ok;

	if (config->tls_ca_file == NULL)
	{
		snprintf(error, REDIS_CLIENT_ERROR_LEN, "TLS needs tls_ca_file");
		return false;
	}
	if (name == NULL && is_name(host))
		name = host;
	redisInitOpenSSL();
	context = redisCreateSSLContext(config->tls_ca_file, NULL, config->tls_cert_file, config->tls_key_file,
									name, &why);
	if (context == NULL)
	{
		snprintf(error, REDIS_CLIENT_ERROR_LEN, "could not set TLS up: %s", redisSSLContextGetError(why));
		return false;
	}
	ok = redisInitiateSSLWithContext(redis, context) == REDIS_OK;
	if (!ok)
		snprintf(error, REDIS_CLIENT_ERROR_LEN, "could not start TLS: %s", redis->errstr);
	redisFreeSSLContext(context);
	return ok;
}

#else

bool
redis_tls_start(redisContext *redis, const RedisClientConfig *config, const char *host,
				char error[REDIS_CLIENT_ERROR_LEN])
{
	(void) redis;
	(void) config;
	(void) host;
	snprintf(
		error, REDIS_CLIENT_ERROR_LEN,
		"TLS is not supported by this build (hiredis %d.%d): set the server option tls to off, or build topk "
		"with hiredis 1.0 or later and its libhiredis_ssl",
		HIREDIS_MAJOR, HIREDIS_MINOR);
	return false;
}

#endif
