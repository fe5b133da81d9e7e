/*
 * publish_marker.h - what a publisher keeps in Redis for itself: the marker, and the index of item hashes.
 *
 * The marker is a hash, fenced like all others, that tells how many keys the sink had written.  It is updated
 * after the keys, and before the database learns of them.  So a Redis whose marker is there, is of this sink,
 * and counts at least what the database knows of, holds all that topk.publication says.  Any other one
 * (empty, restored from an older copy, failed over without the last writes, another server) does not.
 *
 * Each master of a cluster can lose what it holds by itself, so each has a marker of its own, with the same
 * count: in a slot that it serves, and that the marker stays with when slots move.  A master that comes to
 * have slots without any marker in them gets one more.
 */
#ifndef TK_PUBLISH_MARKER_H
#define TK_PUBLISH_MARKER_H

#include "postgres.h"

#include "publish_memory.h"
#include "redis_client.h"
#include "redis_slot.h"

typedef struct PublishMarker
{
	char name[NAMEDATALEN + 16];
	char index[NAMEDATALEN + 24]; /* name of the index: see publish_plan.h */
	char token[64];               /* tells this sink from one of the same name in another database */
	int64 keys;                   /* written, that the marker vouches for */
	RedisPlaces places;           /* of the markers, in a cluster */
	char tags[REDIS_MAX_PLACES][REDIS_TAG_LEN]; /* of those places */
	size_t n_tags;
	size_t n_written; /* places that have had their marker: the others are not looked at */
} PublishMarker;

extern void publish_marker_init(PublishMarker *marker, int32 sink_id, const char *sink_name, int64 keys);

/* Finds places for markers, after connecting and whenever a cluster may have changed.  True: there are new
 * ones. */
extern bool publish_marker_place(PublishMarker *marker, const RedisClient *client);

/* Takes the markers at all places for written by an earlier process. */
extern void publish_marker_expect_all(PublishMarker *marker);

/* Looks at the markers.  False: the connection is lost; else *trusted tells whether this is the Redis we
 * know.
 */
extern bool publish_marker_check(const PublishMarker *marker, RedisClient *client, int64 incarnation,
								 bool *trusted);

/* Lets the markers vouch for `keys` written keys.  Returns the outcome, of the first that was not written if
 * any; REDIS_NOT_SENT if the connection is lost. */
extern RedisOutcome publish_marker_write(PublishMarker *marker, RedisClient *client, const RedisFence *fence,
										 int64 now, int64 keys);

/* Learns which item hashes an earlier process has written, not what they hold.  False: the connection is
 * lost. */
extern bool publish_marker_read_index(const PublishMarker *marker, RedisClient *client,
									  PublishMemory *memory);

#endif
