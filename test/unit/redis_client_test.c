/*
 * redis_client_test.c - the Redis edge against a real redis-server, which the test starts in a directory of
 * its own, stops, kills and starts again.
 *
 * What Redis holds is looked at through a second connection, by plain hiredis.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "../../bridge/redis_client.h"
#include "bridge_tap.h"

#define NOW (INT64_C(1700000000123456)) /* us */
#define MS INT64_C(1000)
#define LATER (INT64_C(4102444800000) * MS) /* 2100, in us */
#define COMMAND_TIMEOUT 2000

static char directory[] = "/tmp/redis_client_test.XXXXXX";
static char socket_path[64];
static int tcp_port;
static pid_t server;
static redisContext *observer;
static RedisClient *client;

/* ---- the server ---- */

static int
find_free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &address, len) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &len) != 0)
		abort();
	close(fd);
	return ntohs(address.sin_port);
}

static void
exec_server(void)
{
	char port[16];
	int null = open("/dev/null", O_WRONLY);

	snprintf(port, sizeof(port), "%d", tcp_port);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--unixsocket", socket_path,
		   "--dir", directory, "--save", "", "--enable-debug-command", "yes", (char *) NULL);
	_exit(127);
}

static void
close_connections(void)
{
	redis_client_close(client);
	client = NULL;
	if (observer != NULL)
		redisFree(observer);
	observer = NULL;
}

static void
kill_server(void)
{
	close_connections();
	if (server > 0)
	{
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	server = 0;
	unlink(socket_path);
}

static void
start_server(void)
{
	server = fork();
	if (server == 0)
		exec_server();
	for (int i = 0; i < 500; i++)
	{
		observer = redisConnectUnix(socket_path);
		if (observer != NULL && observer->err == 0)
			return;
		redisFree(observer);
		observer = NULL;
		usleep(20000);
	}
	printf("Bail out! redis-server does not start\n");
	kill_server();
	exit(1);
}

static void
clean_up(void)
{
	kill_server();
	rmdir(directory);
}

/* ---- looking at it ---- */

static void
show(char *to, size_t size, const redisReply *reply)
{
	size_t used = strlen(to);

	if (used > 0 && used + 1 < size)
		strcpy(to + used++, " ");
	if (reply->type == REDIS_REPLY_INTEGER)
		snprintf(to + used, size - used, "%lld", reply->integer);
	else if (reply->type == REDIS_REPLY_NIL)
		snprintf(to + used, size - used, "nil");
	else if (reply->type != REDIS_REPLY_ARRAY)
		snprintf(to + used, size - used, "%s", reply->str);
	else
	{
		to[used > 0 ? used - 1 : 0] = '\0';
		for (size_t i = 0; i < reply->elements; i++)
			show(to, size, reply->element[i]);
	}
}

/* The answer to a command (hiredis' format, %b: bytes and their number) as text, its elements joined by
 * spaces. */
static const char *
ask(const char *format, ...)
{
	static char answers[4][4096];
	static int turn;
	char *answer = answers[turn++ % 4];
	redisReply *reply;
	va_list args;

	answer[0] = '\0';
	va_start(args, format);
	reply = redisvCommand(observer, format, args);
	va_end(args);
	if (reply == NULL)
		return "no answer";
	show(answer, sizeof(answers[0]), reply);
	freeReplyObject(reply);
	return answer;
}

__attribute__((format(printf, 3, 4))) static void
is(const char *actual, const char *expected, const char *format, ...)
{
	char name[200];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	if (!tap_ok(strcmp(actual, expected) == 0, "%s", name))
		printf("# found:    %s\n# expected: %s\n", actual, expected);
}

/* ---- writing ---- */

static MirrorText
text(const char *string)
{
	return (MirrorText){string, strlen(string)};
}

static RedisClientConfig
config_of(void)
{
	return (RedisClientConfig){
		.host = socket_path, .port = 0, .connect_timeout = 1000, .command_timeout = COMMAND_TIMEOUT};
}

static void
open_client(void)
{
	RedisClientConfig config = config_of();
	char error[REDIS_CLIENT_ERROR_LEN];

	client = redis_client_open(&config, error);
	if (client != NULL)
		return;
	printf("Bail out! %s\n", error);
	clean_up();
	exit(1);
}

/* Up to 8 members a, b, c, ... with the given score, the next less by one, and so on; one field. */
static RedisWrite
make_write(const char *zset, const char *hash, size_t n_members, int64_t score, int64_t expire_at)
{
	static const MirrorText members[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1},
										 {"e", 1}, {"f", 1}, {"g", 1}, {"h", 1}};
	static const MirrorText fields[] = {{"total", 5}, {"77", 2}};
	static int64_t scores[16][8];
	static int turn;
	int64_t *own = scores[turn++ % 16];

	for (size_t i = 0; i < n_members; i++)
		own[i] = score - (int64_t) i;
	return (RedisWrite){.action = REDIS_REPLACE,
						.key = {.zset = zset != NULL ? text(zset) : (MirrorText){NULL, 0},
								.hash = text(hash),
								.n_members = n_members,
								.members = members,
								.scores = own,
								.n_fields = 1,
								.fields = fields,
								.expire_at = expire_at},
						.stamp = "lastUpdated"};
}

static RedisWrite
make_retiming(const char *zset, const char *hash, int64_t expire_at)
{
	RedisWrite write = make_write(zset, hash, 0, 0, expire_at);

	write.action = REDIS_RETIME;
	return write;
}

/* Writes one key; the outcome. */
static RedisOutcome
write_one(RedisWrite write, int64_t incarnation, int64_t timeline, int64_t sequence)
{
	RedisFence fence = {incarnation, timeline, sequence};

	if (!redis_client_write(client, &fence, NOW, &write, 1))
		return (RedisOutcome) -1;
	return write.outcome;
}

/* ---- tests ---- */

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

/* n members of which some are no text, and as many fields. */
static RedisWrite
make_large(const char *zset, const char *hash, size_t n, MirrorText *texts, int64_t *scores,
		   char (*bytes)[16])
{
	for (size_t i = 0; i < n; i++)
	{
		memset(bytes[i], 0xff, 16);
		memcpy(bytes[i], "\r\n\0$", 4);
		memcpy(bytes[i] + 4, &i, sizeof(i));
		texts[i] = (MirrorText){bytes[i], 16};
		scores[i] = INT64_C(9007199254740991) - (int64_t) i;
	}
	return (RedisWrite){.action = REDIS_REPLACE,
						.key = {.zset = text(zset),
								.hash = text(hash),
								.n_members = n,
								.members = texts,
								.scores = scores,
								.n_fields = n / 2,
								.fields = texts,
								.expire_at = LATER}};
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

/* ---- opening ---- */

/* The error of opening, "" if it works. */
static const char *
try_open(RedisClientConfig config)
{
	static char error[REDIS_CLIENT_ERROR_LEN];
	RedisClient *other = redis_client_open(&config, error);

	if (other != NULL)
		error[0] = '\0';
	redis_client_close(other);
	return error;
}

static void
test_opening(void)
{
	RedisClientConfig config = config_of();

	config.host = "127.0.0.1";
	config.port = tcp_port;
	is(try_open(config), "", "TCP works");
	config.port = find_free_port();
	tap_ok(strstr(try_open(config), "could not connect: Connection refused") != NULL,
		   "a closed port is told");
	config = config_of();
	config.db = 3;
	is(try_open(config), "", "a database may be chosen");
	config.db = 1000;
	tap_ok(strstr(try_open(config), "could not select the database: ERR") != NULL,
		   "a database that is not there is told");
	config = config_of();
	config.tls = true;
	tap_ok(strstr(try_open(config), "TLS is not supported") != NULL, "TLS is refused clearly");
}

static void
test_passwords(void)
{
	RedisClientConfig config = config_of();

	ask("ACL SETUSER publisher on >s3cret ~* +@all");
	ask("CONFIG SET requirepass hush");
	tap_ok(strstr(try_open(config), "NOAUTH") != NULL, "a missing password is told");
	config.password = "wr0ng";
	tap_ok(strstr(try_open(config), "could not authenticate: WRONGPASS") != NULL &&
			   strstr(try_open(config), "wr0ng") == NULL,
		   "a wrong one too, without showing it");
	config.password = "hush";
	is(try_open(config), "", "the right one works");
	config.username = "publisher";
	tap_ok(strstr(try_open(config), "WRONGPASS") != NULL, "each user has a password of its own");
	config.password = "s3cret";
	is(try_open(config), "", "which works");
	ask("AUTH hush");
	ask("ACL SETUSER publisher -eval -evalsha -script");
	tap_ok(strstr(try_open(config), "could not load the script: NOPERM") != NULL,
		   "a user without the right to is told");
	ask("CONFIG SET requirepass %s", "");
}

/* ---- a server that goes away ---- */

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
test_hanging_server(void)
{
	RedisClientConfig config = config_of();
	char error[REDIS_CLIENT_ERROR_LEN];
	RedisFence fence = {1, 1, 1};
	RedisWrite write = make_write("hang:z", "hang:h", 1, 1, LATER);
	RedisClient *hasty;
	double start;
	bool ok;

	config.command_timeout = 300;
	hasty = redis_client_open(&config, error);
	kill(server, SIGSTOP);
	start = seconds();
	ok = redis_client_write(hasty, &fence, NOW, &write, 1);
	tap_ok(!ok && write.outcome == REDIS_NOT_SENT, "a server that hangs is given up");
	tap_ok(seconds() - start < 1.5, "soon after its timeout");
	is(redis_client_error(hasty), "lost the connection: no answer within 300 ms", "which the message tells");
	redis_client_close(hasty);
	start = seconds();
	tap_ok(strstr(try_open(config), "no answer within 300 ms") != NULL && seconds() - start < 1.5,
		   "opening does not wait longer either");
	kill(server, SIGCONT);
}

/* Kills the server some time after now, from a process of its own. */
static pid_t
kill_later(useconds_t us)
{
	pid_t killer = fork();

	if (killer != 0)
		return killer;
	usleep(us);
	kill(server, SIGKILL);
	_exit(0);
}

static void
test_dying_server(void)
{
	enum
	{
		N_WRITES = 3000,
		N_MEMBERS = 2000
	};
	RedisWrite *writes = calloc(N_WRITES, sizeof(*writes));
	MirrorText *texts = calloc(N_MEMBERS, sizeof(*texts));
	int64_t *scores = calloc(N_MEMBERS, sizeof(*scores));
	char(*bytes)[16] = calloc(N_MEMBERS, sizeof(*bytes));
	RedisFence fence = {1, 1, 1};
	size_t done = 0;
	size_t unsent = 0;
	bool in_order = true;
	pid_t killer;

	for (int i = 0; i < N_WRITES; i++)
		writes[i] = make_large("die:z", "die:h", N_MEMBERS, texts, scores, bytes);
	killer = kill_later(300000);
	tap_ok(!redis_client_write(client, &fence, NOW, writes, N_WRITES),
		   "a server that dies in a pipeline is noticed");
	waitpid(killer, NULL, 0);
	for (int i = 0; i < N_WRITES; i++)
	{
		in_order &= writes[i].outcome == REDIS_NOT_SENT || unsent == 0;
		done += writes[i].outcome == REDIS_DONE;
		unsent += writes[i].outcome == REDIS_NOT_SENT;
	}
	tap_ok(done > 0 && unsent > 0 && done + unsent == N_WRITES && in_order,
		   "%zu of %d writes were acknowledged, the rest was not", done, N_WRITES);
	tap_ok(redis_client_error(client)[0] != '\0', "the message: %s", redis_client_error(client));
	tap_ok(!redis_client_write(client, &fence, NOW, writes, 1), "the client is of no more use");
	free(writes);
	free(texts);
	free(scores);
	free(bytes);

	kill_server();
	tap_ok(strstr(try_open(config_of()), "could not connect") != NULL,
		   "another one does not open while it is down");
	start_server();
	open_client();
	tap_ok(write_one(make_write("z", "h", 1, 1, LATER), 1, 1, 1) == REDIS_DONE,
		   "and works once it is up again");
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as in a PostgreSQL process */
	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(socket_path, sizeof(socket_path), "%s/socket", directory);
	tcp_port = find_free_port();
	start_server();
	open_client();

	test_contents();
	test_same_again();
	test_fence_order();
	test_random_order();
	test_expiry();
	test_forgotten_script();
	test_large_and_binary();
	test_failing_keys();
	test_reading();
	test_opening();
	test_passwords();
	test_hanging_server();
	test_dying_server();

	clean_up();
	return tap_done();
}
