/*
 * publish_marker.c - what a publisher keeps in Redis for itself (see publish_marker.h).
 */
#include "postgres.h"

#include <inttypes.h>

#include "access/xlog.h"
#include "miscadmin.h"

#include "publish_marker.h"

void
publish_marker_init(PublishMarker *marker, int32 sink_id, const char *sink_name, int64 keys)
{
	snprintf(marker->name, sizeof(marker->name), "topk:marker:%s", sink_name);
	snprintf(marker->index, sizeof(marker->index), "topk:marker:%s:items", sink_name);
	snprintf(marker->token, sizeof(marker->token), "%" PRIx64 "-%u-%d", GetSystemIdentifier(), MyDatabaseId,
			 sink_id);
	marker->keys = keys;
}

bool
publish_marker_place(PublishMarker *marker, const RedisClient *client)
{
	redis_client_add_places(client, &marker->places);
	if (marker->places.n == 0)
		marker->n_tags = 0;
	while (marker->n_tags < marker->places.n)
	{
		redis_slot_tag(marker->places.slots[marker->n_tags], marker->tags[marker->n_tags]);
		marker->n_tags++;
	}
	marker->n_written = Min(marker->n_written, marker->n_tags);
	return marker->n_tags > marker->n_written;
}

void
publish_marker_expect_all(PublishMarker *marker)
{
	marker->n_written = marker->n_tags;
}

/* The key of the marker at a place; without a cluster, of the only one. */
static char *
key_of(const PublishMarker *marker, size_t place)
{
	return marker->n_tags == 0 ? pstrdup(marker->name)
							   : psprintf("%s:{%s}", marker->name, marker->tags[place]);
}

static bool
check_one(const PublishMarker *marker, RedisClient *client, const char *key, int64 incarnation, bool *trusted)
{
	RedisField fields[] = {{.name = "incarnation"}, {.name = "token"}, {.name = "keys"}};

	if (!redis_client_read(client, key, fields, lengthof(fields)))
		return false;
	*trusted &= fields[0].found && strtoll(fields[0].value, NULL, 10) == incarnation && fields[1].found &&
				strcmp(fields[1].value, marker->token) == 0 && fields[2].found &&
				strtoll(fields[2].value, NULL, 10) >= marker->keys;
	return true;
}

bool
publish_marker_check(const PublishMarker *marker, RedisClient *client, int64 incarnation, bool *trusted)
{
	size_t n = marker->n_tags == 0 ? 1 : marker->n_written;

	*trusted = n > 0; /* else it has become a cluster */
	for (size_t i = 0; i < n; i++)
		if (!check_one(marker, client, key_of(marker, i), incarnation, trusted))
			return false;
	return true;
}

static MirrorText
to_text(const char *string)
{
	return (MirrorText){string, strlen(string)};
}

RedisOutcome
publish_marker_write(PublishMarker *marker, RedisClient *client, const RedisFence *fence, int64 now,
					 int64 keys)
{
	size_t n = Max(marker->n_tags, 1);
	RedisWrite *writes = palloc0(n * sizeof(RedisWrite));
	MirrorText fields[6];

	fields[0] = to_text("incarnation");
	fields[1] = to_text(psprintf(INT64_FORMAT, fence->incarnation));
	fields[2] = to_text("token");
	fields[3] = to_text(marker->token);
	fields[4] = to_text("keys");
	fields[5] = to_text(psprintf(INT64_FORMAT, keys));
	for (size_t i = 0; i < n; i++)
		writes[i] = (RedisWrite){.action = REDIS_REPLACE,
								 .key = {.hash = to_text(key_of(marker, i)),
										 .n_fields = 3,
										 .fields = fields,
										 .expire_at = MIRROR_NEVER},
								 .stamp = "lastUpdated"};
	if (!redis_client_write(client, fence, now, writes, n))
		return REDIS_NOT_SENT;
	for (size_t i = 0; i < n; i++)
		if (writes[i].outcome != REDIS_DONE)
			return writes[i].outcome;
	marker->keys = keys;
	marker->n_written = marker->n_tags;
	return REDIS_DONE;
}

bool
publish_marker_read_index(const PublishMarker *marker, RedisClient *client, PublishMemory *memory)
{
	bool found;
	GroupNote *items = publish_memory_group(memory, ITEM_GROUP, &found);
	size_t n;
	const MirrorText *names = redis_client_read_names(client, marker->index, &n);

	if (names == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		MirrorKey key = {.hash = names[i]};

		if (names[i].len != strlen("fence") || memcmp(names[i].data, "fence", names[i].len) != 0)
			publish_memory_remember(memory, items, &key, 0, 0);
	}
	return true;
}
