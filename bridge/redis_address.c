/*
 * redis_address.c - "host:port" (see redis_address.h).
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "redis_address.h"

static bool
parse_port(const char *text, size_t len, int *port)
{
	int value = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!isdigit((unsigned char) text[i]))
			return false;
		value = 10 * value + (text[i] - '0');
	}
	*port = value;
	return value >= 1 && value <= 65535;
}

bool
redis_address_parse(const char *text, size_t len, RedisAddress *address)
{
	size_t colon = len;
	size_t host_len;

	while (colon > 0 && text[colon - 1] != ':')
		colon--;
	if (colon == 0 || !parse_port(text + colon, len - colon, &address->port))
		return false;
	host_len = colon - 1;
	if (host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']')
	{
		text++;
		host_len -= 2;
	}
	if (host_len >= REDIS_HOST_LEN)
		return false;
	memcpy(address->host, text, host_len);
	address->host[host_len] = '\0';
	return true;
}

bool
redis_address_set(RedisAddress *address, const char *host, int port)
{
	address->port = port;
	return snprintf(address->host, sizeof(address->host), "%s", host) < (int) sizeof(address->host);
}

bool
redis_address_equal(const RedisAddress *a, const RedisAddress *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

void
redis_address_show(const RedisAddress *address, char text[REDIS_ADDRESS_LEN])
{
	const char *format = strchr(address->host, ':') != NULL ? "[%s]:%d" : "%s:%d";

	if (address->host[0] == '/')
		snprintf(text, REDIS_ADDRESS_LEN, "%s", address->host);
	else
		snprintf(text, REDIS_ADDRESS_LEN, format, address->host, address->port);
}

bool
redis_address_next(const char **list, RedisAddress *address)
{
	const char *text = *list;
	size_t len = strcspn(text, ",");

	*list = text[len] == ',' ? text + len + 1 : NULL;
	for (; len > 0 && isspace((unsigned char) *text); len--)
		text++;
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	return redis_address_parse(text, len, address) && address->host[0] != '\0';
}
