/*
 * consumer_prefetch.h - how far librdkafka fetches ahead, and that it goes on fetching.  A part of the edge
 * to Kafka; nobody else includes it.
 *
 * When its queue is full librdkafka waits before it fetches again: up to 2.1 for a second or until something
 * else wakes the thread of the broker, from 2.2 on for fetch.queue.backoff.ms.  Where it can be woken or told
 * how long to wait, a queue of some tens of milliseconds serves; else it must hold a second of data, or a
 * fast reader starves.
 */
#ifndef TK_CONSUMER_PREFETCH_H
#define TK_CONSUMER_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#include "property.h"

#define PREFETCH_PROPERTIES 3

struct rd_kafka_s;
struct rd_kafka_queue_s;

typedef struct Prefetch
{
	bool wakes;        /* librdkafka waits for a second unless it is woken */
	int most_messages; /* of the queue, and so are its bytes; both as librdkafka takes them, too */
	int most_kb;
	char messages_text[16];
	char kbytes_text[16];
	double message_bytes; /* a running mean */
	int64_t filled_at;    /* ns, when the queue was last seen nearly full */
	int64_t woken_at;     /* ns */
	char *user;           /* what librdkafka is given when it is woken */
	char *password;
} Prefetch;

/* memory_kb: of the queue; 0 for what fits the installed librdkafka.  `properties` are the user's.  False:
 * out of memory.  To be closed in either case.
 */
bool prefetch_open(Prefetch *prefetch, int memory_kb, const Property *properties, int n);
void prefetch_close(Prefetch *prefetch);

/* The settings for it; how many of them.  Valid as long as `prefetch`. */
int prefetch_properties(const Prefetch *prefetch, Property settings[PREFETCH_PROPERTIES]);

/* To be called after each read of n messages with so many bytes. */
void prefetch_go_on(Prefetch *prefetch, struct rd_kafka_s *handle, struct rd_kafka_queue_s *queue, int n,
					size_t bytes);

#endif
