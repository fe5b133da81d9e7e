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
publish_marker_check(const PublishMarker *marker, RedisClient *client, int64 incarnation, bool *trusted)
{
	RedisField fields[] = {{.name = "incarnation"}, {.name = "token"}, {.name = "keys"}};

	if (!redis_client_read(client, marker->name, fields, lengthof(fields)))
		return false;
	*trusted = fields[0].found && strtoll(fields[0].value, NULL, 10) == incarnation && fields[1].found &&
			   strcmp(fields[1].value, marker->token) == 0 && fields[2].found &&
			   strtoll(fields[2].value, NULL, 10) >= marker->keys;
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
	char incarnation[24];
	char count[24];
	MirrorText fields[6];
	RedisWrite write = {.action = REDIS_REPLACE, .stamp = "lastUpdated"};

	snprintf(incarnation, sizeof(incarnation), INT64_FORMAT, fence->incarnation);
	snprintf(count, sizeof(count), INT64_FORMAT, keys);
	fields[0] = to_text("incarnation");
	fields[1] = to_text(incarnation);
	fields[2] = to_text("token");
	fields[3] = to_text(marker->token);
	fields[4] = to_text("keys");
	fields[5] = to_text(count);
	write.key = (MirrorKey){
		.hash = to_text(marker->name), .n_fields = 3, .fields = fields, .expire_at = MIRROR_NEVER};
	if (!redis_client_write(client, fence, now, &write, 1))
		return REDIS_NOT_SENT;
	if (write.outcome == REDIS_DONE)
		marker->keys = keys;
	return write.outcome;
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
