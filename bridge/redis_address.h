/*
 * redis_address.h - "host:port", as servers are named in options and in the answers of Redis.
 *
 * The port is what follows the last colon, so an IPv6 address needs no brackets, but may have them.  Pure.
 */
#ifndef TK_REDIS_ADDRESS_H
#define TK_REDIS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define REDIS_HOST_LEN 256
#define REDIS_ADDRESS_LEN (REDIS_HOST_LEN + 16)

typedef struct RedisAddress
{
	char host[REDIS_HOST_LEN]; /* a name, an address, or the path of a Unix socket */
	int port;                  /* 0 with a path */
} RedisAddress;

/* Parses `len` bytes.  An empty host is allowed: Redis says so for "the one that you asked". */
bool redis_address_parse(const char *text, size_t len, RedisAddress *address);

/* False if the host does not fit. */
bool redis_address_set(RedisAddress *address, const char *host, int port);

bool redis_address_equal(const RedisAddress *a, const RedisAddress *b);

/* As it is shown to people. */
void redis_address_show(const RedisAddress *address, char text[REDIS_ADDRESS_LEN]);

/*
 * The next address of a list that is separated by commas, spaces around them allowed.  `*list` moves on, and
 * is NULL after the last one.  False: this one is no address, or has no host.
 */
bool redis_address_next(const char **list, RedisAddress *address);

#endif
