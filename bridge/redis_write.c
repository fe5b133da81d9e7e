/*
 * redis_write.c - a write as a command, and its answer as an outcome (see redis_write.h).
 */
#include <stdio.h>
#include <string.h>

#include "redis_write.h"

/* Arguments of a write beside its fields and members: EVALSHA, sha, count, 2 keys, 6 numbers, a stamp and its
 * time. */
#define FIXED_ARGS 13

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

/* The numbers that a key should have: of the hash's fields with the fence, of the zset's members. */
static void
add_sizes(Command *command, const MirrorKey *key)
{
	add_number(command, (int64_t) key->n_fields + 1);
	add_number(command, (int64_t) key->n_members);
}

bool
redis_write_build(Command *command, const RedisLink *link, const RedisFence *fence, int64_t now,
				  const RedisWrite *write)
{
	static const char *const actions[] = {"replace", "retime", "probe"};
	const MirrorKey *key = &write->key;
	bool replace = write->action == REDIS_REPLACE;

	if (!begin_command(command, FIXED_ARGS + (replace ? 2 * (key->n_fields + key->n_members) : 0)))
		return false;
	add_text(command, "EVALSHA");
	add_text(command, link->sha);
	add_text(command, key->zset.data != NULL ? "2" : "1");
	add_bytes(command, key->hash.data, key->hash.len);
	if (key->zset.data != NULL)
		add_bytes(command, key->zset.data, key->zset.len);
	add_text(command, actions[write->action]);
	add_number(command, fence->incarnation);
	add_number(command, fence->timeline);
	add_number(command, write->action == REDIS_PROBE ? write->sequence : fence->sequence);
	if (key->expire_at == MIRROR_NEVER)
		add_text(command, "");
	else
		add_number(command, key->expire_at / 1000);
	if (replace)
		add_contents(command, write, now);
	else if (write->action == REDIS_PROBE)
		add_sizes(command, key);
	return true;
}

void
redis_write_error(const RedisWrite *write, const char *what, const char *why,
				  char error[REDIS_CLIENT_ERROR_LEN])
{
	char text[REDIS_CLIENT_ERROR_LEN];
	char *where;

	if (error[0] != '\0')
		return;
	snprintf(text, sizeof(text), "%s key \"%.*s\"", what,
			 (int) (write->key.hash.len < 100 ? write->key.hash.len : 100), write->key.hash.data);
	redis_link_error(error, text, why);
	where = strstr(error, " script: "); /* where in the script: nothing for the user */
	if (where != NULL)
		*where = '\0';
}

/* A server's own words, and what they mean for the sink. */
static RedisOutcome
read_error(RedisLink *link, const RedisWrite *write, const char *why, char error[REDIS_CLIENT_ERROR_LEN])
{
	if (strncmp(why, "NOSCRIPT", 8) == 0)
	{
		link->script_lost = true;
		return REDIS_NOT_SENT;
	}
	if (strncmp(why, "MOVED ", 6) == 0)
		why = "this server is part of a cluster, set the server option cluster";
	else if (strncmp(why, "CROSSSLOT", 9) == 0)
		why = "the zset and its hash are not in one slot, give their templates the same hash tag";
	redis_write_error(write, "could not write", why, error);
	return REDIS_FAILED;
}

RedisOutcome
redis_write_outcome(RedisLink *link, const RedisWrite *write, const redisReply *reply,
					char error[REDIS_CLIENT_ERROR_LEN])
{
	switch (reply->type)
	{
		case REDIS_REPLY_INTEGER:
			return reply->integer == 1 ? REDIS_DONE : REDIS_GONE;
		case REDIS_REPLY_STRING:
			redis_write_error(write, "a newer publisher has written", reply->str, error);
			return REDIS_REFUSED;
		case REDIS_REPLY_ERROR:
			return read_error(link, write, reply->str, error);
		default:
			redis_write_error(write, "could not write", "unexpected answer", error);
			return REDIS_FAILED;
	}
}
