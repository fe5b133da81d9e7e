/*
 * redis_cluster.h - which master of a Redis Cluster serves which slot, and a link to each.  Inside the edge
 * to Redis only.
 *
 * The map is read from any node that answers, corrected by each MOVED that a node answers with, and read anew
 * when the client is told to.  Links are opened when they are first needed, and stay until the cluster is
 * closed.  A node that is lost makes the client useless, as a single server does: whoever opens it again
 * finds the replica that took over.
 */
#ifndef TK_REDIS_CLUSTER_H
#define TK_REDIS_CLUSTER_H

#include "redis_link.h"

typedef struct RedisCluster RedisCluster;

/* What an error answer says about where else to go. */
typedef enum RedirectKind
{
	REDIRECT_NONE,
	REDIRECT_MOVED, /* the slot is served there */
	REDIRECT_ASK, /* this key already is there, though the slot is not; ASKING must come before the command */
	REDIRECT_LATER /* the slot is on its way: try again */
} RedirectKind;

/* Reads the map.  The config must outlive the cluster.  NULL: see error. */
RedisCluster *redis_cluster_open(const RedisClientConfig *config, char error[REDIS_CLIENT_ERROR_LEN]);

/* NULL is allowed. */
void redis_cluster_close(RedisCluster *cluster);

/* Reads the map again. */
bool redis_cluster_refresh(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN]);

/* A link to the slot's master, with the script loaded.  NULL: see error. */
RedisLink *redis_cluster_link(RedisCluster *cluster, int slot, char error[REDIS_CLIENT_ERROR_LEN]);

/*
 * Follows an answer.  MOVED corrects the map; ASK gives *asked, the link to ask.  False: there is no way
 * there.
 */
bool redis_cluster_redirect(RedisCluster *cluster, const RedisLink *from, const redisReply *reply,
							RedirectKind *kind, RedisLink **asked, char error[REDIS_CLIENT_ERROR_LEN]);

/* Sends what was appended to any of the links. */
bool redis_cluster_flush(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN]);

/* Loads the script again where it was lost. */
bool redis_cluster_load_scripts(RedisCluster *cluster, char error[REDIS_CLIENT_ERROR_LEN]);

/* Adds a slot to `places` for each master that serves none of them. */
void redis_cluster_add_places(const RedisCluster *cluster, RedisPlaces *places);

/* The masters' addresses, separated by spaces, as many as fit. */
void redis_cluster_show(const RedisCluster *cluster, char *text, size_t size);

#endif
