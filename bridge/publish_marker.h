/*
 * publish_marker.h - what a publisher keeps in Redis for itself: the marker, and the index of item hashes.
 *
 * The marker is a hash, fenced like all others, that tells how many keys the sink had written.  It is updated
 * after the keys, and before the database learns of them.  So a Redis whose marker is there, is of this sink,
 * and counts at least what the database knows of, holds all that topk.publication says.  Any other one
 * (empty, restored from an older copy, failed over without the last writes, another server) does not.
 */
#ifndef TK_PUBLISH_MARKER_H
#define TK_PUBLISH_MARKER_H

#include "postgres.h"

#include "publish_memory.h"
#include "redis_client.h"

typedef struct PublishMarker
{
	char name[NAMEDATALEN + 16];
	char index[NAMEDATALEN + 24]; /* name of the index: see publish_plan.h */
	char token[64];               /* tells this sink from one of the same name in another database */
	int64 keys;                   /* written, that the marker vouches for */
} PublishMarker;

extern void publish_marker_init(PublishMarker *marker, int32 sink_id, const char *sink_name, int64 keys);

/* Looks at the marker.  False: the connection is lost; else *trusted tells whether this is the Redis we know.
 */
extern bool publish_marker_check(const PublishMarker *marker, RedisClient *client, int64 incarnation,
								 bool *trusted);

/* Lets the marker vouch for `keys` written keys.  Returns the outcome; REDIS_NOT_SENT if the connection is
 * lost. */
extern RedisOutcome publish_marker_write(PublishMarker *marker, RedisClient *client, const RedisFence *fence,
										 int64 now, int64 keys);

/* Learns which item hashes an earlier process has written, not what they hold.  False: the connection is
 * lost. */
extern bool publish_marker_read_index(const PublishMarker *marker, RedisClient *client,
									  PublishMemory *memory);

#endif
