/*
 * redis_outage_test.c - the Redis client's connection, on a real redis-server: addresses, passwords, a server
 * that hangs, dies in the middle of a pipeline, and comes back.
 */
#include "redis_server.h"

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
	tap_ok(strstr(try_open(config), "Connection refused") != NULL, "a closed port is told");
	config = config_of();
	config.db = 3;
	is(try_open(config), "", "a database may be chosen");
	config.db = 1000;
	tap_ok(strstr(try_open(config), "could not select the database: ERR") != NULL,
		   "a database that is not there is told");
	config = config_of();
	config.tls = true;
#ifdef TOPK_HIREDIS_TLS
	tap_ok(strstr(try_open(config), "TLS needs tls_ca_file") != NULL, "TLS needs to know whom to believe");
#else
	tap_ok(strstr(try_open(config), "TLS is not supported") != NULL, "TLS is refused clearly");
#endif
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
	tap_ok(strstr(redis_client_error(hasty), "lost the connection") != NULL &&
			   strstr(redis_client_error(hasty), ": no answer within 300 ms") != NULL,
		   "which the message tells");
	redis_client_close(hasty);
	start = seconds();
	tap_ok(strstr(try_open(config), "no answer within 300 ms") != NULL && seconds() - start < 1.5,
		   "opening does not wait longer either");
	kill(server, SIGCONT);
}

/* Writes of 2,000 members each, which they share. */
typedef struct LargeWrites
{
	RedisWrite *writes;
	MirrorText *texts;
	int64_t *scores;
	char (*bytes)[16];
} LargeWrites;

static LargeWrites
make_large_writes(int n, const char *zset, const char *hash)
{
	enum
	{
		N_MEMBERS = 2000
	};
	LargeWrites large = {calloc(n, sizeof(*large.writes)), calloc(N_MEMBERS, sizeof(*large.texts)),
						 calloc(N_MEMBERS, sizeof(*large.scores)), calloc(N_MEMBERS, sizeof(*large.bytes))};

	for (int i = 0; i < n; i++)
		large.writes[i] = make_large(zset, hash, N_MEMBERS, large.texts, large.scores, large.bytes);
	return large;
}

static void
free_large_writes(LargeWrites *large)
{
	free(large->writes);
	free(large->texts);
	free(large->scores);
	free(large->bytes);
}

static bool
give_up(void)
{
	return true;
}

/* One that takes no more bytes, of which there are more than the sockets hold. */
static void
test_giving_up(void)
{
	enum
	{
		N_WRITES = 100
	};
	LargeWrites large = make_large_writes(N_WRITES, "full:z", "full:h");
	RedisClientConfig config = config_of();
	char error[REDIS_CLIENT_ERROR_LEN];
	RedisFence fence = {1, 1, 1};
	RedisClient *patient;
	double start;

	config.command_timeout = 30000;
	config.give_up = give_up;
	patient = redis_client_open(&config, error);
	kill(server, SIGSTOP);
	start = seconds();
	tap_ok(!redis_client_write(patient, &fence, NOW, large.writes, N_WRITES) && seconds() - start < 10,
		   "a write that blocks is given up when the caller wants to");
	tap_ok(strstr(redis_client_error(patient), "not waiting for Redis any longer") != NULL,
		   "which the message tells");
	redis_client_close(patient);
	kill(server, SIGCONT);
	free_large_writes(&large);
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
		N_WRITES = 3000
	};
	LargeWrites large = make_large_writes(N_WRITES, "die:z", "die:h");
	const RedisWrite *writes = large.writes;
	RedisFence fence = {1, 1, 1};
	size_t done = 0;
	size_t unsent = 0;
	bool in_order = true;
	pid_t killer;

	killer = kill_later(300000);
	tap_ok(!redis_client_write(client, &fence, NOW, large.writes, N_WRITES),
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
	tap_ok(!redis_client_write(client, &fence, NOW, large.writes, 1), "the client is of no more use");
	free_large_writes(&large);

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
	set_up();
	test_opening();
	test_passwords();
	test_hanging_server();
	test_giving_up();
	test_dying_server();
	clean_up();
	return tap_done();
}
