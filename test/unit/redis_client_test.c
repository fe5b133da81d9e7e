/*
 * redis_client_test.c - what the Redis client writes and reads, on a real redis-server: contents, fences,
 * expiry, large and binary keys, errors of single keys.
 */
#include "redis_server.h"

static void
test_contents(void)
{
	RedisWrite write = make_write("z", "h", 3, 30, LATER);
	char expiry[32];

	tap_ok(write_one(write, 1, 2, 3) == REDIS_DONE, "a key is written");
	is(ask("ZREVRANGE z 0 -1 WITHSCORES"), "a 30 b 29 c 28", "members and scores are as given");
	is(ask("HMGET h total lastUpdated fence"), "77 1700000000123 1/2/3",
	   "fields, stamp and fence are as given");
	is(ask("HLEN h"), "3", "and nothing else");
	snprintf(expiry, sizeof(expiry), "%" PRId64, LATER / MS);
	is(ask("PEXPIRETIME z"), expiry, "the zset expires at the time given");
	is(ask("PEXPIRETIME h"), expiry, "and so does the hash");

	ask("HSET h foreign 1");
	ask("ZADD z 5 foreign");
	tap_ok(write_one(make_write("z", "h", 2, 9, MIRROR_NEVER), 1, 2, 4) == REDIS_DONE, "it is written again");
	is(ask("ZREVRANGE z 0 -1 WITHSCORES"), "a 9 b 8", "members that are no longer given are gone");
	is(ask("HKEYS h"), "fence total lastUpdated", "and so are fields");
	is(ask("PEXPIRETIME z"), "-1", "a key for ever loses its expiry");
	tap_ok(write_one(make_write("z", "h", 0, 0, LATER), 1, 2, 5) == REDIS_DONE, "a list may be empty");
	is(ask("EXISTS z h"), "1", "then there is no zset, but its hash");

	write = make_write(NULL, "only", 0, 0, LATER);
	write.stamp = NULL;
	tap_ok(write_one(write, 1, 2, 5) == REDIS_DONE, "a hash may stand alone");
	is(ask("HGETALL only"), "fence 1/2/5 total 77", "without a stamp if there is none");
}

static void
test_same_again(void)
{
	RedisWrite write = make_write("again:z", "again:h", 8, 100, LATER);
	char before[128];

	write_one(write, 1, 1, 50);
	snprintf(before, sizeof(before), "%s", ask("DEBUG DIGEST-VALUE again:z again:h"));
	tap_ok(write_one(write, 1, 1, 50) == REDIS_DONE, "the same call again is accepted");
	is(ask("DEBUG DIGEST-VALUE again:z again:h"), before, "and leaves the same keys");
}

typedef struct FenceCase
{
	RedisFence held;
	RedisFence brought;
	bool accepted;
} FenceCase;

static void
test_fence_order(void)
{
	static const FenceCase cases[] = {
		{{1, 1, 1}, {1, 1, 2}, true},
		{{1, 1, 2}, {1, 1, 1}, false},
		{{1, 1, 9}, {1, 1, 10}, true}, /* numbers, not texts */
		{{1, 9, 1}, {1, 10, 1}, true},
		{{9, 1, 1}, {10, 1, 1}, true},
		{{1, 2, 1}, {1, 1, 1000}, false}, /* an old primary */
		{{1, 1, 1000}, {1, 2, 1}, true},
		{{2, 1, 1}, {1, 9, 1000}, false},
		{{1, 9, 1000}, {2, 1, 1}, true},
		{{1, 1, 5}, {1, 1, 5}, true},
		{{1, 1, INT64_C(9007199254740991)}, {1, 1, INT64_C(9007199254740990)}, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const FenceCase *c = &cases[i];
		RedisOutcome expected = c->accepted ? REDIS_DONE : REDIS_REFUSED;
		RedisOutcome outcome;

		ask("DEL f:z f:h");
		write_one(make_write("f:z", "f:h", 1, 1, LATER), c->held.incarnation, c->held.timeline,
				  c->held.sequence);
		outcome = write_one(make_write("f:z", "f:h", 1, 2, LATER), c->brought.incarnation,
							c->brought.timeline, c->brought.sequence);
		tap_ok(outcome == expected && strcmp(ask("ZSCORE f:z a"), c->accepted ? "2" : "1") == 0,
			   "fence case %zu is %s", i, c->accepted ? "accepted" : "refused and changes nothing");
	}
	write_one(make_write("f:z", "f:h", 1, 1, LATER), 3, 2, 1);
	write_one(make_write("f:z", "f:h", 1, 1, LATER), 1, 1, 1);
	tap_ok(strstr(redis_client_error(client), "\"f:h\": 3/2/1") != NULL,
		   "the message names the key and the newer fence");
	ask("HSET f:h fence rubbish");
	tap_ok(write_one(make_write("f:z", "f:h", 1, 1, LATER), 1, 1, 1) == REDIS_DONE,
		   "a fence that is none holds nobody");
}

/* Many writers of few keys, in any order: the highest fence wins, and each outcome is as a model says. */
static void
test_random_order(void)
{
	unsigned long long seed = 42;
	int64_t held[20] = {0};
	int wrong = 0;

	for (int round = 0; round < 100; round++)
	{
		RedisWrite writes[8];
		RedisOutcome expected[8];
		char names[8][16];
		int sequence = 1 + tap_below(&seed, 100);
		int timeline = 1 + tap_below(&seed, 3);
		int64_t fence = timeline * 1000 + sequence;
		RedisFence brought = {1, timeline, sequence};

		for (int i = 0; i < 8; i++)
		{
			int key = tap_below(&seed, 20);

			snprintf(names[i], sizeof(names[i]), "random:%d", key);
			writes[i] = make_write(NULL, names[i], 0, 0, MIRROR_NEVER);
			expected[i] = fence >= held[key] ? REDIS_DONE : REDIS_REFUSED;
			if (fence > held[key])
				held[key] = fence;
		}
		wrong += !redis_client_write(client, &brought, NOW, writes, 8);
		for (int i = 0; i < 8; i++)
			wrong += writes[i].outcome != expected[i];
	}
	tap_ok(wrong == 0, "800 writes with random fences end as a model says");
}

static void
test_expiry(void)
{
	char expiry[32];

	write_one(make_write("x:z", "x:h", 2, 5, LATER), 1, 1, 5);
	tap_ok(write_one(make_retiming("x:z", "x:h", LATER + 1000 * MS), 1, 1, 6) == REDIS_DONE,
		   "an expiry is moved");
	snprintf(expiry, sizeof(expiry), "%" PRId64, LATER / MS + 1000);
	is(ask("PEXPIRETIME x:z"), expiry, "of the zset");
	is(ask("PEXPIRETIME x:h"), expiry, "and of the hash");
	is(ask("ZCARD x:z"), "2", "the contents stay");
	is(ask("HGET x:h fence"), "1/1/5", "and so does the fence of their writer");
	tap_ok(write_one(make_retiming("x:z", "x:h", LATER), 1, 1, 4) == REDIS_REFUSED,
		   "an older writer cannot move it");
	is(ask("PEXPIRETIME x:z"), expiry, "and did not");
	tap_ok(write_one(make_retiming("x:z", "x:h", MIRROR_NEVER), 1, 1, 7) == REDIS_DONE,
		   "it may be taken away");
	is(ask("PEXPIRETIME x:h"), "-1", "and is");
	tap_ok(write_one(make_retiming("x:z", "x:h", 0), 1, 1, 8) == REDIS_DONE, "a past expiry removes");
	is(ask("EXISTS x:z x:h"), "0", "both keys");
	tap_ok(write_one(make_retiming("x:z", "x:h", LATER), 1, 1, 9) == REDIS_GONE,
		   "what is gone cannot be kept");
	is(ask("EXISTS x:z x:h"), "0", "and does not come back");
	tap_ok(write_one(make_write("x:z", "x:h", 2, 5, NOW), 1, 1, 9) == REDIS_DONE,
		   "a key may be written too late");
	is(ask("EXISTS x:z x:h"), "0", "it is not there then");
}

static void
test_forgotten_script(void)
{
	RedisWrite writes[100];
	char names[100][16];
	RedisFence fence = {1, 1, 1};
	int done = 0;

	for (int i = 0; i < 100; i++)
	{
		snprintf(names[i], sizeof(names[i]), "n:%d", i);
		writes[i] = make_write(NULL, names[i], 0, 0, LATER);
	}
	ask("SCRIPT FLUSH");
	tap_ok(redis_client_write(client, &fence, NOW, writes, 100), "writing goes on after SCRIPT FLUSH");
	for (int i = 0; i < 100; i++)
		done += writes[i].outcome == REDIS_DONE && strcmp(ask("EXISTS n:%d", i), "1") == 0;
	tap_ok(done == 100, "%d of 100 keys were written", done);
	is(redis_client_error(client), "", "nothing is reported");
}

static void
test_large_and_binary(void)
{
	enum
	{
		N = 10000
	};
	MirrorText *texts = calloc(N, sizeof(*texts));
	int64_t *scores = calloc(N, sizeof(*scores));
	char(*bytes)[16] = calloc(N, sizeof(*bytes));
	MirrorText odd = {"", 0};
	RedisWrite write = make_large("l:z", "l:h", N, texts, scores, bytes);
	int wrong = 0;
	char score[32];

	tap_ok(write_one(write, 1, 1, 1) == REDIS_DONE, "10,000 members and 5,000 fields are written");
	is(ask("ZCARD l:z"), "10000", "all members are there");
	is(ask("HLEN l:h"), "5001", "all fields are there");
	for (int i = 0; i < N; i += 7)
	{
		snprintf(score, sizeof(score), "%" PRId64, scores[i]);
		wrong += strcmp(ask("ZSCORE l:z %b", bytes[i], (size_t) 16), score) != 0;
	}
	tap_ok(wrong == 0, "members of any bytes have exact scores");
	write.key.n_members = 1;
	write.key.members = &odd;
	write.key.n_fields = 0;
	write.key.hash = (MirrorText){"odd \0\r\nkey", 10};
	tap_ok(write_one(write, 1, 1, 1) == REDIS_DONE, "an empty member and a binary key are written");
	is(ask("HGET %b fence", "odd \0\r\nkey", (size_t) 10), "1/1/1", "under that key");
	free(texts);
	free(scores);
	free(bytes);
}

/* An error of one key concerns no other. */
static void
test_failing_keys(void)
{
	RedisWrite writes[] = {make_write("e:z1", "e:h1", 1, 1, LATER),
						   make_write("e:z2", "e:string", 1, 1, LATER),
						   make_write("e:z3", "e:h3", 1, 1, LATER)};
	RedisFence fence = {1, 1, 1};

	ask("SET e:string 1");
	tap_ok(redis_client_write(client, &fence, NOW, writes, 3),
		   "a key of another type does not end the connection");
	tap_ok(writes[0].outcome == REDIS_DONE && writes[1].outcome == REDIS_FAILED &&
			   writes[2].outcome == REDIS_DONE,
		   "and only that one fails");
	tap_ok(strstr(redis_client_error(client), "\"e:string\"") &&
			   strstr(redis_client_error(client), "WRONGTYPE"),
		   "the message names it and the reason");
	is(ask("GET e:string"), "1", "it is left alone");

	ask("CONFIG SET maxmemory 1");
	tap_ok(write_one(make_write("e:z1", "e:h1", 2, 9, LATER), 1, 1, 2) == REDIS_FAILED,
		   "a full Redis refuses");
	tap_ok(strstr(redis_client_error(client), "OOM") != NULL, "the message says so");
	ask("CONFIG SET maxmemory 0");
	is(ask("ZRANGE e:z1 0 -1 WITHSCORES"), "a 1", "and the key is whole, as it was");
	is(ask("HGET e:h1 fence"), "1/1/1", "with its fence");

	ask("REPLICAOF 127.0.0.1 1");
	tap_ok(write_one(make_write("e:z1", "e:h1", 2, 9, LATER), 1, 1, 2) == REDIS_FAILED &&
			   strstr(redis_client_error(client), "READONLY") != NULL,
		   "a replica refuses");
	ask("REPLICAOF NO ONE");
	tap_ok(write_one(make_write("e:z1", "e:h1", 2, 9, LATER), 1, 1, 2) == REDIS_DONE,
		   "and all is well afterwards");
}

static void
test_reading(void)
{
	RedisField fields[] = {{.name = "one"}, {.name = "two"}, {.name = "none"}};
	char long_value[200];

	memset(long_value, 'x', sizeof(long_value));
	long_value[199] = '\0';
	ask("HSET r one 1 two %s", long_value);
	tap_ok(redis_client_read(client, "r", fields, 3), "fields are read");
	tap_ok(fields[0].found && strcmp(fields[0].value, "1") == 0 && !fields[2].found, "each is found or not");
	tap_ok(fields[1].found && strlen(fields[1].value) == 63, "long values are cut");
	tap_ok(redis_client_read(client, "no such", fields, 3) && !fields[0].found,
		   "a hash that is not there has none");
	ask("SET s 1");
	tap_ok(!redis_client_read(client, "s", fields, 3) &&
			   strstr(redis_client_error(client), "WRONGTYPE") != NULL,
		   "another type is an error");
	tap_ok(write_one(make_write(NULL, "r", 0, 0, LATER), 1, 1, 1) == REDIS_DONE,
		   "after which the client still works");
}

static void
test_names(void)
{
	const MirrorText *names;
	size_t n = 99;
	int wrong = 0;

	names = redis_client_read_names(client, "no such", &n);
	tap_ok(names != NULL && n == 0, "a hash that is not there has no names");
	for (int i = 0; i < 500; i++)
		ask("HSET names n%d value", i);
	names = redis_client_read_names(client, "names", &n);
	tap_ok(names != NULL && n == 500, "all names of a hash are read");
	for (size_t i = 0; names != NULL && i < n; i++)
		wrong += names[i].len < 2 || strcmp(ask("HEXISTS names %b", names[i].data, names[i].len), "1") != 0;
	tap_ok(wrong == 0, "each is one of them");
	tap_ok(redis_client_read_names(client, "s", &n) == NULL &&
			   strstr(redis_client_error(client), "WRONGTYPE") != NULL,
		   "another type is an error");
}

int
main(void)
{
	set_up();
	test_contents();
	test_same_again();
	test_fence_order();
	test_random_order();
	test_expiry();
	test_forgotten_script();
	test_large_and_binary();
	test_failing_keys();
	test_reading();
	test_names();
	clean_up();
	return tap_done();
}
