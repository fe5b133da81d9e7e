/*
 * redis_cluster_test.c - the Redis client on a real cluster of three masters: where keys go, slots that move
 * while it writes (MOVED, ASK, TRYAGAIN), scripts that one node forgets, nodes that die.
 */
#include "redis_server.h"

#include "../../bridge/redis_slot.h"

#define NODES 3
#define KEYS 200

typedef struct Node
{
	int port;
	int bus_port;
	pid_t pid;
	redisContext *redis;
	char directory[120];
	char id[64];
} Node;

static Node nodes[NODES];
static char seeds[100];

/* ---- the cluster ---- */

static void
exec_node(const Node *node)
{
	char port[16], bus_port[16];
	int null = open("/dev/null", O_WRONLY);

	snprintf(port, sizeof(port), "%d", node->port);
	snprintf(bus_port, sizeof(bus_port), "%d", node->bus_port);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execlp("redis-server", "redis-server", "--port", port, "--cluster-port", bus_port, "--bind", "127.0.0.1",
		   "--dir", node->directory, "--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout",
		   "1000", (char *) NULL);
	_exit(127);
}

/* The answer of a node as text. */
static const char *
tell(Node *node, const char *format, ...)
{
	const char *answer;
	va_list args;

	va_start(args, format);
	answer = answer_of(node->redis, format, args);
	va_end(args);
	return answer;
}

static void
bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	for (int i = 0; i < NODES; i++)
		if (nodes[i].pid > 0)
			kill(nodes[i].pid, SIGKILL);
	clean_up();
	exit(1);
}

static void
start_node(Node *node, int number)
{
	node->port = find_free_port();
	node->bus_port = find_free_port();
	snprintf(node->directory, sizeof(node->directory), "%s/node%d", directory, number);
	mkdir(node->directory, 0700);
	node->pid = fork();
	if (node->pid == 0)
		exec_node(node);
	for (int i = 0; i < 500; i++)
	{
		node->redis = redisConnect("127.0.0.1", node->port);
		if (node->redis != NULL && node->redis->err == 0)
			break;
		redisFree(node->redis);
		node->redis = NULL;
		usleep(20000);
	}
	if (node->redis == NULL)
		bail_out("a cluster node does not start");
	snprintf(node->id, sizeof(node->id), "%s", tell(node, "CLUSTER MYID"));
}

static void
start_cluster(void)
{
	static const int bounds[NODES + 1] = {0, 5461, 10923, REDIS_SLOTS};
	bool ready = false;

	for (int i = 0; i < NODES; i++)
		start_node(&nodes[i], i);
	for (int i = 0; i < NODES; i++)
	{
		tell(&nodes[i], "CLUSTER ADDSLOTSRANGE %d %d", bounds[i], bounds[i + 1] - 1);
		tell(&nodes[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
		if (i > 0)
			tell(&nodes[0], "CLUSTER MEET 127.0.0.1 %d %d", nodes[i].port, nodes[i].bus_port);
	}
	for (int i = 0; i < 500 && !ready; i++)
	{
		ready = true;
		for (int n = 0; n < NODES; n++)
			ready = strstr(tell(&nodes[n], "CLUSTER INFO"), "cluster_state:ok") != NULL &&
					strstr(tell(&nodes[n], "CLUSTER INFO"), "cluster_known_nodes:3") != NULL && ready;
		usleep(20000);
	}
	if (!ready)
		bail_out("the cluster does not come up");
	snprintf(seeds, sizeof(seeds), "127.0.0.1:%d, 127.0.0.1:%d", find_free_port(), nodes[1].port);
}

static void
kill_node(Node *node)
{
	if (node->redis != NULL)
		redisFree(node->redis);
	node->redis = NULL;
	if (node->pid > 0)
	{
		kill(node->pid, SIGKILL);
		waitpid(node->pid, NULL, 0);
	}
	node->pid = 0;
}

static RedisClientConfig
cluster_config(void)
{
	RedisClientConfig config = config_of();

	config.host = "127.0.0.1";
	config.port = nodes[0].port;
	config.cluster = true;
	config.nodes = seeds;
	return config;
}

static const char *
open_cluster(RedisClientConfig config)
{
	static char error[REDIS_CLIENT_ERROR_LEN];

	error[0] = '\0';
	redis_client_close(client);
	client = redis_client_open(&config, error);
	return error;
}

/* ---- keys in tags ---- */

static char zset_names[KEYS][32];
static char hash_names[KEYS][32];

static void
make_names(void)
{
	for (int i = 0; i < KEYS; i++)
	{
		snprintf(zset_names[i], sizeof(zset_names[i]), "z:{tag%d}", i);
		snprintf(hash_names[i], sizeof(hash_names[i]), "h:{tag%d}", i);
	}
}

/* Writes all keys; how many were done. */
static int
write_all(int64_t sequence)
{
	RedisFence fence = {1, 1, sequence};
	RedisWrite writes[KEYS];
	int done = 0;

	for (int i = 0; i < KEYS; i++)
		writes[i] = make_write(zset_names[i], hash_names[i], 3, 100, LATER);
	if (!redis_client_write(client, &fence, NOW, writes, KEYS))
		return -1;
	for (int i = 0; i < KEYS; i++)
		done += writes[i].outcome == REDIS_DONE;
	return done;
}

static void
test_routing(void)
{
	RedisPlaces places = {0};
	RedisField field = {.name = "total"};
	char masters[200];
	int found = 0;
	int right = 0;

	is(open_cluster(cluster_config()), "", "a cluster is found by the second of its seeds");
	tap_ok(write_all(1) == KEYS, "all keys are written");
	for (int i = 0; i < NODES; i++)
		right += atoi(tell(&nodes[i], "DBSIZE")) > KEYS / 3;
	tap_ok(right == NODES, "each node has its share");
	for (int i = 0; i < KEYS; i++)
		found += redis_client_read(client, hash_names[i], &field, 1) && field.found &&
				 strcmp(field.value, "77") == 0;
	tap_ok(found == KEYS, "and they are read from where they are");
	redis_client_add_places(client, &places);
	tap_ok(places.n == NODES && places.slots[0] == 0 && places.slots[1] == 5461 && places.slots[2] == 10923,
		   "each master has a place");
	redis_client_add_places(client, &places);
	tap_ok(places.n == NODES, "and no second one");
	redis_client_show(client, masters, sizeof(masters));
	tap_ok(strstr(masters, " 127.0.0.1:") != NULL, "the masters are shown: %s", masters);
	tap_ok(redis_client_refresh(client) && write_all(1) == KEYS, "the map may be read anew at any time");
}

static void
test_probes(void)
{
	RedisWrite probe = make_write(zset_names[0], hash_names[0], 3, 0, MIRROR_NEVER);
	int owner = redis_slot_of(zset_names[0], strlen(zset_names[0])) / 5462;

	probe.action = REDIS_PROBE;
	probe.sequence = 1;
	probe.key.n_fields = 2; /* with the stamp */
	tap_ok(write_one(probe, 1, 1, 9) == REDIS_DONE, "a probe finds a key as it was written");
	probe.sequence = 2;
	tap_ok(write_one(probe, 1, 1, 9) == REDIS_GONE, "... not under another sequence");
	probe.sequence = 1;
	tell(&nodes[owner], "ZREM %s a", zset_names[0]);
	tap_ok(write_one(probe, 1, 1, 9) == REDIS_GONE, "... nor without a member");
	tell(&nodes[owner], "DEL %s", zset_names[0]);
	tap_ok(write_one(probe, 1, 1, 9) == REDIS_GONE, "... nor without its zset");
	tap_ok(write_all(1) == KEYS && write_one(probe, 1, 1, 9) == REDIS_DONE, "the same write mends it");
}

static void
test_scripts(void)
{
	tell(&nodes[1], "SCRIPT FLUSH");
	tap_ok(write_all(2) == KEYS, "a script that one node forgot is loaded again");
	for (int i = 0; i < NODES; i++)
		tell(&nodes[i], "SCRIPT FLUSH");
	tap_ok(write_all(3) == KEYS, "or that all forgot");
}

static void
test_errors(void)
{
	RedisClientConfig config = cluster_config();

	tap_ok(write_one(make_write("z1", "h2", 1, 1, LATER), 1, 1, 1) == REDIS_FAILED &&
			   strstr(redis_client_error(client), "same hash tag") != NULL,
		   "a zset and a hash in different slots are told");
	tap_ok(write_all(4) == KEYS, "which harms nothing else");
	config.host = "127.0.0.1";
	config.port = nodes[0].port;
	config.cluster = false;
	is(open_cluster(config), "", "a node can be taken for a single server");
	tap_ok(write_all(5) < KEYS && strstr(redis_client_error(client), "set the server option cluster") != NULL,
		   "which the first write tells");
	config = config_of();
	config.cluster = true;
	tap_ok(strstr(open_cluster(config), "could not read the cluster's slots") != NULL &&
			   strstr(open_cluster(config), "cluster support disabled") != NULL,
		   "and a single server for a cluster");
	is(open_cluster(cluster_config()), "", "the cluster is still there");
}

/* ---- slots that move ---- */

static void
begin_migration(int slot, Node *from, Node *to)
{
	tell(to, "CLUSTER SETSLOT %d IMPORTING %s", slot, from->id);
	tell(from, "CLUSTER SETSLOT %d MIGRATING %s", slot, to->id);
}

static void
move_key(const char *key, Node *from, const Node *to)
{
	tell(from, "MIGRATE 127.0.0.1 %d %s 0 1000", to->port, key);
}

static void
end_migration(int slot, const Node *to)
{
	for (int i = 0; i < NODES; i++)
		tell(&nodes[i], "CLUSTER SETSLOT %d NODE %s", slot, to->id);
}

/* A key of the first node's, and its slot. */
static int
pick_key(int *slot, int from)
{
	for (int i = from;; i++)
	{
		*slot = redis_slot_of(zset_names[i], strlen(zset_names[i]));
		if (*slot < 5461)
			return i;
	}
}

static void
test_moving_slot(void)
{
	int slot;
	int i = pick_key(&slot, 0);
	char other[32];
	RedisField field = {.name = "fence"};

	snprintf(other, sizeof(other), "other:{tag%d}", i);
	begin_migration(slot, &nodes[0], &nodes[1]);
	tap_ok(write_all(10) == KEYS, "keys of a slot that begins to move are written where they are");
	move_key(zset_names[i], &nodes[0], &nodes[1]);
	tap_ok(write_all(11) == KEYS - 1 && strstr(redis_client_error(client), "its slot is moving") != NULL,
		   "a pair in two places cannot be written");
	move_key(hash_names[i], &nodes[0], &nodes[1]);
	tap_ok(write_all(12) == KEYS, "one that has moved is written there, though the slot has not (ASK)");
	tap_ok(redis_client_read(client, hash_names[i], &field, 1) && strcmp(field.value, "1/1/12") == 0,
		   "and read there");
	tap_ok(write_one(make_write(NULL, other, 0, 0, LATER), 1, 1, 1) == REDIS_DONE,
		   "a new hash goes there too");
	end_migration(slot, &nodes[1]);
	tap_ok(write_all(13) == KEYS, "when the slot has moved, the client follows (MOVED)");
	is(tell(&nodes[1], "HGET %s fence", hash_names[i]), "1/1/13", "to where it is");
	tap_ok(redis_client_read(client, other, &field, 1) && field.found, "with all that is in it");
	i = pick_key(&slot, i + 1);
	begin_migration(slot, &nodes[0], &nodes[2]);
	move_key(zset_names[i], &nodes[0], &nodes[2]);
	move_key(hash_names[i], &nodes[0], &nodes[2]);
	end_migration(slot, &nodes[2]);
	tap_ok(redis_client_read(client, hash_names[i], &field, 1) && strcmp(field.value, "1/1/13") == 0,
		   "reading follows as well");
}

static void
test_dead_node(void)
{
	char port[16];

	snprintf(port, sizeof(port), ":%d", nodes[2].port);
	kill_node(&nodes[2]);
	tap_ok(write_all(20) == -1 && strstr(redis_client_error(client), port) != NULL,
		   "a dead node ends the client, and is named");
	tap_ok(strstr(open_cluster(cluster_config()), port) != NULL, "which cannot be opened without it");
}

int
main(void)
{
	set_up();
	start_cluster();
	make_names();
	test_routing();
	test_probes();
	test_scripts();
	test_errors();
	test_moving_slot();
	test_dead_node();
	for (int i = 0; i < NODES; i++)
	{
		char file[160];

		kill_node(&nodes[i]);
		snprintf(file, sizeof(file), "%s/nodes.conf", nodes[i].directory);
		unlink(file);
		rmdir(nodes[i].directory);
	}
	clean_up();
	return tap_done();
}
