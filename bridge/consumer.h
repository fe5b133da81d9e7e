/*
 * consumer.h - the edge to Kafka: everything that knows librdkafka, and nothing else.
 *
 * A consumer reads fixed partitions of one topic from given offsets (rd_kafka_assign: no group rebalance) in
 * batches.  It never commits or seeks by itself, and an offset that the broker does not hold is an error,
 * never a jump.  librdkafka's threads fill queues; every function here is called on one thread and calls
 * nothing back.  Functions that can fail write an English message into a ConsumerError.
 */
#ifndef TK_CONSUMER_H
#define TK_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "property.h"

typedef struct Consumer Consumer;

typedef enum ConsumerFault
{
	CONSUMER_OK,
	CONSUMER_CONFIG,       /* a property is wrong: it will not help to try again */
	CONSUMER_UNREACHABLE,  /* brokers down, timeouts, authentication: try again */
	CONSUMER_NO_TOPIC,     /* unknown topic or partition: try again later */
	CONSUMER_OUT_OF_RANGE, /* Kafka does not hold the offset */
	CONSUMER_OTHER
} ConsumerFault;

typedef struct ConsumerError
{
	ConsumerFault fault;
	char message[384];
} ConsumerError;

typedef enum ConsumerEventKind
{
	CONSUMER_MESSAGE,
	CONSUMER_END, /* the partition's end is reached; offset is the end */
	CONSUMER_FAULT
} ConsumerEventKind;

/* One thing that was read.  Memory belongs to the consumer until the next consumer_read. */
typedef struct ConsumerEvent
{
	ConsumerEventKind kind;
	int32_t partition; /* -1 if a fault concerns none */
	int64_t offset;
	int64_t timestamp; /* us since 1970, -1: none */
	const char *key;
	size_t key_len;
	const char *payload; /* NULL: a tombstone */
	size_t payload_len;
	ConsumerFault fault;
	const char *message; /* of a fault */
} ConsumerEvent;

/*
 * Prepares a consumer for a topic.  Does not wait for the brokers.  memory_kb bounds the prefetch queue; 0
 * lets it fit the installed librdkafka. Returns NULL with *error.
 */
Consumer *consumer_open(const Property *properties, int n, const char *topic, int memory_kb,
						ConsumerError *error);

/*
 * Leaves the brokers and frees everything; joins librdkafka's threads.  False: some of them did not end
 * within three seconds (as when the topic was deleted), and go on until the process ends, which should be
 * soon and by _exit.
 */
bool consumer_close(Consumer *consumer);

/* The number of partitions of the topic, by a metadata request. */
bool consumer_partition_count(Consumer *consumer, int timeout_ms, int *count, ConsumerError *error);

/* The brokers that the cluster names, as "host:port, host:port", cut to `size`. */
bool consumer_brokers(Consumer *consumer, int timeout_ms, char *list, size_t size, ConsumerError *error);

/* The first offset that a partition holds, and the one after its last, by asking the broker. */
bool consumer_log_range(Consumer *consumer, int32_t partition, int timeout_ms, int64_t *low, int64_t *high,
						ConsumerError *error);

/*
 * The first offset of a partition whose message has this Kafka timestamp (us) or a later one, by asking the
 * broker; -1: there is none.
 */
bool consumer_offset_at(Consumer *consumer, int32_t partition, int64_t time, int timeout_ms, int64_t *offset,
						ConsumerError *error);

/* Starts to read n partitions from the given offsets. */
bool consumer_assign(Consumer *consumer, const int32_t *partitions, const int64_t *offsets, int n,
					 ConsumerError *error);

/* Readable once there is something to read after consumer_read returned 0.  Belongs to the consumer. */
int consumer_fd(const Consumer *consumer);
/* Makes it unreadable; call when it woke you, before consumer_read. */
void consumer_clear_fd(Consumer *consumer);

/*
 * Takes at most `most` events that are there, without waiting.  Releases those of the call before.  Returns
 * how many, in *events.
 */
int consumer_read(Consumer *consumer, int most, const ConsumerEvent **events);

/* The log's end of a partition as the last fetch told it, or -1. */
int64_t consumer_known_end(Consumer *consumer, int32_t partition);

/* Commits next offsets to Kafka, for lag tools; fire and forget. */
void consumer_commit(Consumer *consumer, const int32_t *partitions, const int64_t *offsets, int n);

/* Takes one log line of librdkafka's out of its queue.  Returns false if there is none.  level as in syslog.
 */
bool consumer_next_log(Consumer *consumer, int *level, char *line, size_t size);

#endif
