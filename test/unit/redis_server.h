/*
 * redis_server.h - what the tests of the Redis edge share: a redis-server in a directory of its own, which
 * they start, kill and start again; a second connection to look at what it holds, by plain hiredis; keys to
 * write.
 *
 * A test calls set_up first and clean_up last.
 */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

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

static char directory[80];
static char socket_path[100];
static int tcp_port;
static pid_t server;
static redisContext *observer;
static RedisClient *client;

/* ---- the server ---- */

static inline int
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

static inline void
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

static inline void
close_connections(void)
{
	redis_client_close(client);
	client = NULL;
	if (observer != NULL)
		redisFree(observer);
	observer = NULL;
}

static inline void
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

static inline void
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

static inline void
clean_up(void)
{
	kill_server();
	rmdir(directory);
}

/* ---- looking at it ---- */

static inline void
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
 * spaces; good for four calls. */
static inline const char *
answer_of(redisContext *redis, const char *format, va_list args)
{
	static char answers[4][4096];
	static int turn;
	char *answer = answers[turn++ % 4];
	redisReply *reply = redisvCommand(redis, format, args);

	if (reply == NULL)
		return "no answer";
	answer[0] = '\0';
	show(answer, sizeof(answers[0]), reply);
	freeReplyObject(reply);
	return answer;
}

/* The answer of the server. */
static inline const char *
ask(const char *format, ...)
{
	const char *answer;
	va_list args;

	va_start(args, format);
	answer = answer_of(observer, format, args);
	va_end(args);
	return answer;
}

__attribute__((format(printf, 3, 4))) static inline void
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

static inline MirrorText
text(const char *string)
{
	return (MirrorText){string, strlen(string)};
}

static inline RedisClientConfig
config_of(void)
{
	return (RedisClientConfig){
		.host = socket_path, .port = 0, .connect_timeout = 1000, .command_timeout = COMMAND_TIMEOUT};
}

static inline void
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
static inline RedisWrite
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

static inline RedisWrite
make_retiming(const char *zset, const char *hash, int64_t expire_at)
{
	RedisWrite write = make_write(zset, hash, 0, 0, expire_at);

	write.action = REDIS_RETIME;
	return write;
}

/* Writes one key; the outcome. */
static inline RedisOutcome
write_one(RedisWrite write, int64_t incarnation, int64_t timeline, int64_t sequence)
{
	RedisFence fence = {incarnation, timeline, sequence};

	if (!redis_client_write(client, &fence, NOW, &write, 1))
		return (RedisOutcome) -1;
	return write.outcome;
}

/* n members of which some are no text, and as many fields. */
static inline RedisWrite
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

static inline void
set_up(void)
{
	signal(SIGPIPE, SIG_IGN); /* as in a PostgreSQL process */
	snprintf(directory, sizeof(directory), "%s/redis_test.XXXXXX",
			 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : P_tmpdir);
	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(socket_path, sizeof(socket_path), "%s/socket", directory);
	tcp_port = find_free_port();
	start_server();
	open_client();
}

#endif
