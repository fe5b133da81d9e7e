/*
 * redis_sentinel.c - asks the sentinels which server is the master now (see redis_sentinel.h).
 *
 * A sentinel may not have heard of a failover yet, and an old master may not know that it is none any more:
 * so both are asked.  What an old master took before it was told is lost with it; the marker key tells.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_sentinel.h"

static bool
take_master(const RedisClientConfig *config, const redisReply *reply, RedisAddress *master,
			char error[REDIS_CLIENT_ERROR_LEN])
{
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
		reply->element[0]->type == REDIS_REPLY_STRING && reply->element[1]->type == REDIS_REPLY_STRING &&
		redis_address_set(master, reply->element[0]->str, atoi(reply->element[1]->str)))
		return true;
	if (reply->type == REDIS_REPLY_NIL)
		snprintf(error, REDIS_CLIENT_ERROR_LEN, "the sentinel knows no master \"%.100s\"",
				 config->sentinel_master);
	else
		redis_link_unexpected(error, "could not ask the sentinel", reply);
	return false;
}

static bool
ask_one(const RedisClientConfig *config, const RedisAddress *sentinel, RedisAddress *master,
		char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *words[] = {"SENTINEL", "get-master-addr-by-name", config->sentinel_master};
	RedisLink *link = redis_link_open(config, sentinel, REDIS_SENTINEL, error);
	redisReply *reply;
	bool ok;

	if (link == NULL)
		return false;
	reply = redis_link_run_words(link, "could not ask the sentinel", error, words, 3);
	ok = reply != NULL && take_master(config, reply, master, error);
	freeReplyObject(reply);
	redis_link_close(link);
	return ok;
}

/* The next sentinel's answer; `*list` moves on. */
static bool
ask_next(const RedisClientConfig *config, const char **list, RedisAddress *master,
		 char error[REDIS_CLIENT_ERROR_LEN])
{
	RedisAddress sentinel;

	if (redis_address_next(list, &sentinel))
		return ask_one(config, &sentinel, master, error);
	redis_link_error(error, "sentinels", "not a list of host:port");
	return false;
}

static bool
is_master(RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *words[] = {"ROLE"};
	redisReply *reply = redis_link_run_words(link, "could not ask for the role", error, words, 1);
	char address[REDIS_ADDRESS_LEN];
	bool ok = false;

	if (reply == NULL)
		return false;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
		reply->element[0]->type != REDIS_REPLY_STRING)
		redis_link_unexpected(error, "could not ask for the role", reply);
	else if (strcmp(reply->element[0]->str, "master") == 0)
		ok = true;
	else
	{
		redis_address_show(&link->address, address);
		snprintf(error, REDIS_CLIENT_ERROR_LEN, "%.150s is no master (yet, or any more)", address);
	}
	freeReplyObject(reply);
	return ok;
}

RedisLink *
redis_sentinel_open(const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *list = config->sentinels;

	while (list != NULL)
	{
		RedisAddress master;
		RedisLink *link;

		if (!ask_next(config, &list, &master, error))
			continue;
		link = redis_link_open(config, &master, REDIS_SERVER, error);
		if (link != NULL && is_master(link, error))
			return link;
		redis_link_close(link);
	}
	return NULL;
}

bool
redis_sentinel_confirm(const RedisClientConfig *config, RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *list = config->sentinels;
	char address[REDIS_ADDRESS_LEN];
	RedisAddress master;
	bool answered = false;

	if (!is_master(link, error))
		return false;
	while (list != NULL && !answered)
		answered = ask_next(config, &list, &master, error);
	error[0] = '\0';
	if (!answered || redis_address_equal(&master, &link->address))
		return true;
	redis_address_show(&master, address);
	snprintf(error, REDIS_CLIENT_ERROR_LEN, "the master is %.150s now", address);
	return false;
}
