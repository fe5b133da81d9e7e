/*
 * consumer_prefetch.c - how far librdkafka fetches ahead (see consumer_prefetch.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strdup */
#endif
#include "consumer_prefetch.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VERSION_WITH_WAKING 0x020000ff  /* rd_kafka_sasl_set_credentials */
#define VERSION_WITH_BACKOFF 0x020200ff /* fetch.queue.backoff.ms */

#define SHORT_QUEUE_KB (64 * 1024)
#define SHORT_QUEUE_MESSAGES 100000
#define LONG_QUEUE_KB (512 * 1024) /* a second of a fast reader's data */
#define LONG_QUEUE_MESSAGES 2000000

#define WAKE_BELOW 0.75                        /* of a full queue */
#define WAKE_INTERVAL (2 * INT64_C(1000000))   /* ns; a fetch takes longer */
#define LONGEST_WAIT (1100 * INT64_C(1000000)) /* ns; by then librdkafka has looked by itself */
#define MEAN_WEIGHT 0.1                        /* of a read, in the mean size of messages */

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static char *
value_of(const Property *properties, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(properties[i].name, name) == 0)
			return strdup(properties[i].value);
	return strdup("");
}

bool
prefetch_open(Prefetch *prefetch, int memory_kb, const Property *properties, int n)
{
	int version = rd_kafka_version();
	bool can_be_short = version >= VERSION_WITH_BACKOFF;

	memset(prefetch, 0, sizeof(*prefetch));
#if RD_KAFKA_VERSION >= VERSION_WITH_WAKING
	prefetch->wakes = version >= VERSION_WITH_WAKING && version < VERSION_WITH_BACKOFF;
	can_be_short = can_be_short || prefetch->wakes;
#endif
	if (memory_kb <= 0)
		memory_kb = can_be_short ? SHORT_QUEUE_KB : LONG_QUEUE_KB;
	prefetch->most_messages = can_be_short ? SHORT_QUEUE_MESSAGES : LONG_QUEUE_MESSAGES;
	prefetch->most_kb = memory_kb;
	snprintf(prefetch->messages_text, sizeof(prefetch->messages_text), "%d", prefetch->most_messages);
	snprintf(prefetch->kbytes_text, sizeof(prefetch->kbytes_text), "%d", prefetch->most_kb);
	prefetch->user = value_of(properties, n, "sasl.username");
	prefetch->password = value_of(properties, n, "sasl.password");
	return prefetch->user != NULL && prefetch->password != NULL;
}

void
prefetch_close(Prefetch *prefetch)
{
	free(prefetch->user);
	free(prefetch->password);
	prefetch->user = NULL;
	prefetch->password = NULL;
}

int
prefetch_properties(const Prefetch *prefetch, Property settings[PREFETCH_PROPERTIES])
{
	settings[0] = (Property){"queued.min.messages", prefetch->messages_text, false};
	settings[1] = (Property){"queued.max.messages.kbytes", prefetch->kbytes_text, false};
	settings[2] = (Property){"fetch.queue.backoff.ms", "5", false};
	return rd_kafka_version() >= VERSION_WITH_BACKOFF ? 3 : 2;
}

#if RD_KAFKA_VERSION >= VERSION_WITH_WAKING

/* Among the few calls that wake the threads of all brokers this is one that does nothing else: the name and
 * the password are those that the handle has.
 */
static void
wake(const Prefetch *prefetch, rd_kafka_t *handle)
{
	rd_kafka_error_t *error = rd_kafka_sasl_set_credentials(handle, prefetch->user, prefetch->password);

	if (error != NULL)
		rd_kafka_error_destroy(error);
}

/* How many messages fill the queue, by their mean size. */
static double
full_queue(const Prefetch *prefetch)
{
	double by_bytes = prefetch->most_kb * 1000.0 / (prefetch->message_bytes + 1);

	return by_bytes < prefetch->most_messages ? by_bytes : prefetch->most_messages;
}

void
prefetch_go_on(Prefetch *prefetch, rd_kafka_t *handle, rd_kafka_queue_t *queue, int n, size_t bytes)
{
	int64_t now;

	if (!prefetch->wakes || n == 0)
		return;
	prefetch->message_bytes += MEAN_WEIGHT * ((double) bytes / n - prefetch->message_bytes);
	now = now_ns();
	if ((double) rd_kafka_queue_length(queue) >= WAKE_BELOW * full_queue(prefetch))
		prefetch->filled_at = now;
	else if (now - prefetch->filled_at < LONGEST_WAIT && now - prefetch->woken_at >= WAKE_INTERVAL)
	{
		prefetch->woken_at = now;
		wake(prefetch, handle);
	}
}

#else

void
prefetch_go_on(Prefetch *prefetch, rd_kafka_t *handle, rd_kafka_queue_t *queue, int n, size_t bytes)
{
}

#endif
