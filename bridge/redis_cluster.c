/*
 * redis_cluster.c - which master of a Redis Cluster serves which slot (see redis_cluster.h).
 *
 * owner[slot] is the number of a node, or NOBODY.  Nodes are only added, so numbers and links stay valid
 * while the map changes under a pipeline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_cluster.h"
#include "redis_slot.h"

#define NOBODY (-1)

typedef struct Node
{
	RedisAddress address;
	RedisLink *link; /* NULL: not opened yet */
} Node;

struct RedisCluster
{
	const RedisClientConfig *config;
	Node *nodes;
	int n_nodes;
	int room;
	short owner[REDIS_SLOTS];
};

/* ---- nodes ---- */

/* The number of the node at an address, which is added if it is new; NOBODY if there is no memory. */
static int
find_node(RedisCluster *cluster, const RedisAddress *address)
{
	for (int i = 0; i < cluster->n_nodes; i++)
		if (redis_address_equal(&cluster->nodes[i].address, address))
			return i;
	if (cluster->n_nodes == cluster->room)
	{
		int room = cluster->room == 0 ? 16 : 2 * cluster->room;
		Node *nodes = realloc(cluster->nodes, (size_t) room * sizeof(Node));

		if (nodes == NULL || room > INT16_MAX)
			return NOBODY;
		cluster->nodes = nodes;
		cluster->room = room;
	}
	cluster->nodes[cluster->n_nodes] = (Node){.address = *address};
	return cluster->n_nodes++;
}

static RedisLink *
link_to(RedisCluster *cluster, int number, char error[REDIS_CLIENT_ERROR_LEN])
{
	Node *node = &cluster->nodes[number];

	if (node->link != NULL)
		return node->link;
	node->link = redis_link_open(cluster->config, &node->address, REDIS_SERVER, error);
	if (node->link != NULL && !redis_link_load_script(node->link, error))
	{
		redis_link_close(node->link);
		node->link = NULL;
	}
	return node->link;
}

RedisLink *
redis_cluster_link(RedisCluster *cluster, int slot, char error[REDIS_CLIENT_ERROR_LEN])
{
	if (cluster->owner[slot] != NOBODY)
		return link_to(cluster, cluster->owner[slot], error);
	snprintf(error, REDIS_CLIENT_ERROR_LEN, "no node of the cluster serves slot %d", slot);
	return NULL;
}

/* ---- the map ---- */

/* A node as it is told in an answer.  Without a host it is the one that answers; "?": it does not know. */
static bool
take_address(const redisReply *node, const RedisLink *from, RedisAddress *address)
{
	const char *host;

	if (node->type != REDIS_REPLY_ARRAY || node->elements < 2 ||
		node->element[1]->type != REDIS_REPLY_INTEGER)
		return false;
	host = node->element[0]->type == REDIS_REPLY_STRING ? node->element[0]->str : "";
	if (strcmp(host, "?") == 0)
		return false;
	return redis_address_set(address, host[0] != '\0' ? host : from->address.host,
							 (int) node->element[1]->integer);
}

/* A row is first slot, last slot, master, replicas. */
static bool
take_row(RedisCluster *cluster, const redisReply *row, const RedisLink *from)
{
	RedisAddress address;
	long long first, last;
	int number;

	if (row->type != REDIS_REPLY_ARRAY || row->elements < 3 || row->element[0]->type != REDIS_REPLY_INTEGER ||
		row->element[1]->type != REDIS_REPLY_INTEGER)
		return false;
	first = row->element[0]->integer;
	last = row->element[1]->integer;
	if (first < 0 || last >= REDIS_SLOTS || first > last)
		return false;
	if (!take_address(row->element[2], from, &address))
		return true; /* the slots stay without an owner */
	number = find_node(cluster, &address);
	for (long long slot = first; slot <= last; slot++)
		cluster->owner[slot] = (short) number;
	return number != NOBODY;
}

static bool
take_map(RedisCluster *cluster, const redisReply *reply, const RedisLink *from)
{
	if (reply->type != REDIS_REPLY_ARRAY)
		return false;
	for (int slot = 0; slot < REDIS_SLOTS; slot++)
		cluster->owner[slot] = NOBODY;
	for (size_t i = 0; i < reply->elements; i++)
		if (!take_row(cluster, reply->element[i], from))
			return false;
	return true;
}

static bool
read_map(RedisCluster *cluster, RedisLink *link, char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *what = "could not read the cluster's slots";
	const char *words[] = {"CLUSTER", "SLOTS"};
	redisReply *reply = redis_link_run_words(link, what, error, words, 2);
	bool ok;

	if (reply == NULL)
		return false;
	ok = take_map(cluster, reply, link);
	if (!ok)
		redis_link_unexpected(error, what, reply);
	freeReplyObject(reply);
	return ok;
}

bool
redis_cluster_refresh(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN])
{
	for (int i = 0; i < cluster->n_nodes; i++)
		if (cluster->nodes[i].link != NULL)
			return read_map(cluster, cluster->nodes[i].link, error);
	redis_link_error(error, "could not read the cluster's slots", "no connection");
	return false;
}

/* ---- life ---- */

/* Reads the map from the node at an address.  The link is not kept: nodes may call this one by another name.
 */
static bool
read_map_from(RedisCluster *cluster, const RedisAddress *address, char error[REDIS_CLIENT_ERROR_LEN])
{
	RedisLink *link = redis_link_open(cluster->config, address, REDIS_SERVER, error);
	bool ok = link != NULL && read_map(cluster, link, error);

	redis_link_close(link);
	return ok;
}

static bool
read_first_map(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN])
{
	const char *list = cluster->config->nodes;
	RedisAddress address;

	if (list == NULL)
		return redis_address_set(&address, cluster->config->host, cluster->config->port) &&
			   read_map_from(cluster, &address, error);
	while (list != NULL)
	{
		if (!redis_address_next(&list, &address))
			redis_link_error(error, "nodes", "not a list of host:port");
		else if (read_map_from(cluster, &address, error))
			return true;
	}
	return false;
}

/* All masters are connected at once, so that a failover that is not over yet is told here. */
static bool
connect_masters(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN])
{
	for (int i = 0; i < cluster->n_nodes; i++)
		if (link_to(cluster, i, error) == NULL)
			return false;
	return true;
}

RedisCluster *
redis_cluster_open(const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN])
{
	RedisCluster *cluster = calloc(1, sizeof(*cluster));

	if (cluster == NULL)
	{
		redis_link_error(error, "could not connect", "out of memory");
		return NULL;
	}
	cluster->config = config;
	if (read_first_map(cluster, error) && connect_masters(cluster, error))
		return cluster;
	redis_cluster_close(cluster);
	return NULL;
}

void
redis_cluster_close(RedisCluster *cluster)
{
	if (cluster == NULL)
		return;
	for (int i = 0; i < cluster->n_nodes; i++)
		redis_link_close(cluster->nodes[i].link);
	free(cluster->nodes);
	free(cluster);
}

/* ---- redirections ---- */

/* "MOVED 3999 127.0.0.1:6381": the slot and the address. */
static bool
parse_target(const redisReply *reply, const RedisLink *from, int *slot, RedisAddress *address)
{
	const char *text = strchr(reply->str, ' ');
	char *end;
	long number;

	if (text == NULL)
		return false;
	number = strtol(text, &end, 10);
	if (number < 0 || number >= REDIS_SLOTS || *end != ' ' ||
		!redis_address_parse(end + 1, strlen(end + 1), address))
		return false;
	*slot = (int) number;
	return address->host[0] != '\0' || redis_address_set(address, from->address.host, address->port);
}

static RedirectKind
kind_of(const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ERROR)
		return REDIRECT_NONE;
	if (strncmp(reply->str, "MOVED ", 6) == 0)
		return REDIRECT_MOVED;
	if (strncmp(reply->str, "ASK ", 4) == 0)
		return REDIRECT_ASK;
	return strncmp(reply->str, "TRYAGAIN", 8) == 0 ? REDIRECT_LATER : REDIRECT_NONE;
}

bool
redis_cluster_redirect(RedisCluster *cluster, const RedisLink *from, const redisReply *reply,
					   RedirectKind *kind, RedisLink **asked, char error[REDIS_CLIENT_ERROR_LEN])
{
	RedisAddress address;
	int slot, number;

	*kind = kind_of(reply);
	if (*kind == REDIRECT_NONE || *kind == REDIRECT_LATER)
		return true;
	if (!parse_target(reply, from, &slot, &address) || (number = find_node(cluster, &address)) == NOBODY)
		return redis_link_unexpected(error, "could not follow the cluster", reply);
	if (*kind == REDIRECT_MOVED)
		cluster->owner[slot] = (short) number;
	else
		*asked = link_to(cluster, number, error);
	return *kind == REDIRECT_MOVED || *asked != NULL;
}

/* ---- all links ---- */

bool
redis_cluster_flush(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN])
{
	for (int i = 0; i < cluster->n_nodes; i++)
		if (cluster->nodes[i].link != NULL && !redis_link_flush(cluster->nodes[i].link, error))
			return false;
	return true;
}

bool
redis_cluster_load_scripts(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN])
{
	for (int i = 0; i < cluster->n_nodes; i++)
	{
		RedisLink *link = cluster->nodes[i].link;

		if (link != NULL && link->script_lost && !redis_link_load_script(link, error))
			return false;
	}
	return true;
}

/* ---- what is where ---- */

void
redis_cluster_add_places(const RedisCluster *cluster, RedisPlaces *places)
{
	for (int slot = 0; slot < REDIS_SLOTS && places->n < REDIS_MAX_PLACES; slot++)
	{
		bool served = cluster->owner[slot] == NOBODY;

		for (size_t i = 0; i < places->n && !served; i++)
			served = cluster->owner[places->slots[i]] == cluster->owner[slot];
		if (!served)
			places->slots[places->n++] = slot;
	}
}

void
redis_cluster_show(const RedisCluster *cluster, char *text, size_t size)
{
	RedisPlaces masters = {0};
	char address[REDIS_ADDRESS_LEN];
	size_t used = 0;

	text[0] = '\0';
	redis_cluster_add_places(cluster, &masters);
	for (size_t i = 0; i < masters.n; i++)
	{
		redis_address_show(&cluster->nodes[cluster->owner[masters.slots[i]]].address, address);
		if (used + strlen(address) + 2 > size)
			return;
		used += (size_t) snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "", address);
	}
}
