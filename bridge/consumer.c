/*
 * consumer.c - the edge to Kafka (see consumer.h).
 *
 * Two queues of librdkafka are used.  The consumer queue carries messages, partition ends and fetch errors;
 * an eventfd becomes readable when it stops being empty.  The main queue carries log lines and errors of the
 * handle (log.queue), so that nothing is ever printed by a thread that is not ours.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strdup, eventfd */
#endif
#include "consumer.h"
#include "consumer_close.h"
#include "consumer_prefetch.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_BATCH 4096

struct Consumer
{
	rd_kafka_t *handle;
	rd_kafka_queue_t *messages;
	rd_kafka_queue_t *background;
	char *topic;
	int fd;
	Prefetch prefetch;
	int held; /* messages of the last read, to be destroyed */
	rd_kafka_message_t *raw[MAX_BATCH];
	ConsumerEvent events[MAX_BATCH];
};

static ConsumerFault
fault_of(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR_NO_ERROR:
			return CONSUMER_OK;
		case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		case RD_KAFKA_RESP_ERR__NO_OFFSET:
		case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
			return CONSUMER_OUT_OF_RANGE;
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return CONSUMER_NO_TOPIC;
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		case RD_KAFKA_RESP_ERR__RESOLVE:
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR__SSL:
		case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
			return CONSUMER_UNREACHABLE;
		default:
			return CONSUMER_OTHER;
	}
}

static bool
fail(ConsumerError *error, ConsumerFault fault, const char *what, const char *detail)
{
	error->fault = fault;
	snprintf(error->message, sizeof(error->message), "%s: %s", what, detail);
	return false;
}

static bool
fail_kafka(ConsumerError *error, rd_kafka_resp_err_t err, const char *what)
{
	return fail(error, fault_of(err), what, rd_kafka_err2str(err));
}

/* One property; the value of a secret one is not repeated in the message. */
static bool
set_property(rd_kafka_conf_t *conf, const Property *property, ConsumerError *error)
{
	char detail[256];

	if (rd_kafka_conf_set(conf, property->name, property->value, detail, sizeof(detail)) == RD_KAFKA_CONF_OK)
		return true;
	return fail(error, CONSUMER_CONFIG, property->name, property->secret ? "invalid value" : detail);
}

static bool
set_prefetch(rd_kafka_conf_t *conf, const Prefetch *prefetch, ConsumerError *error)
{
	Property settings[PREFETCH_PROPERTIES];
	int n = prefetch_properties(prefetch, settings);

	for (int i = 0; i < n; i++)
		if (!set_property(conf, &settings[i], error))
			return false;
	return true;
}

static rd_kafka_conf_t *
make_conf(const Property *properties, int n, const Prefetch *prefetch, ConsumerError *error)
{
	static const Property fixed[] = {
		{"enable.auto.commit", "false", false},
		{"enable.auto.offset.store", "false", false},
		{"auto.offset.reset", "error", false},
		{"enable.partition.eof", "true", false},
		{"log.queue", "true", false},
		{"isolation.level", "read_committed", false},
		{"topic.metadata.refresh.interval.ms", "30000", false},
		{"reconnect.backoff.max.ms", "2000", false},
		{"socket.keepalive.enable", "true", false},
		{"check.crcs", "false", false},
		{"fetch.wait.max.ms", "100", false},
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool ok = set_prefetch(conf, prefetch, error);

	for (size_t i = 0; ok && i < sizeof(fixed) / sizeof(fixed[0]); i++)
		ok = set_property(conf, &fixed[i], error);
	for (int i = 0; ok && i < n; i++)
		ok = set_property(conf, &properties[i], error);
	if (!ok)
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR);
	return conf;
}

static bool
open_queues(Consumer *consumer, ConsumerError *error)
{
	static const uint64_t one = 1;

	consumer->messages = rd_kafka_queue_get_consumer(consumer->handle);
	consumer->background = rd_kafka_queue_get_main(consumer->handle);
	consumer->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (consumer->messages == NULL || consumer->background == NULL || consumer->fd < 0)
		return fail(error, CONSUMER_OTHER, "could not open Kafka consumer", "out of resources");
	rd_kafka_set_log_queue(consumer->handle, consumer->background);
	rd_kafka_queue_io_event_enable(consumer->messages, consumer->fd, &one, sizeof(one));
	return true;
}

Consumer *
consumer_open(const Property *properties, int n, const char *topic, int memory_kb, ConsumerError *error)
{
	char detail[256];
	rd_kafka_conf_t *conf;
	Consumer *consumer = calloc(1, sizeof(Consumer));

	if (consumer == NULL)
	{
		fail(error, CONSUMER_OTHER, "could not open Kafka consumer", "out of memory");
		return NULL;
	}
	consumer->fd = -1;
	consumer->topic = strdup(topic);
	if (!prefetch_open(&consumer->prefetch, memory_kb, properties, n) || consumer->topic == NULL)
	{
		fail(error, CONSUMER_OTHER, "could not open Kafka consumer", "out of memory");
		consumer_close(consumer);
		return NULL;
	}
	conf = make_conf(properties, n, &consumer->prefetch, error);
	if (conf == NULL)
	{
		consumer_close(consumer);
		return NULL;
	}
	consumer->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, detail, sizeof(detail));
	if (consumer->handle == NULL)
	{
		rd_kafka_conf_destroy(conf);
		fail(error, CONSUMER_CONFIG, "could not open Kafka consumer", detail);
	}
	else if (open_queues(consumer, error))
		return consumer;
	consumer_close(consumer);
	return NULL;
}

static void
release_held(Consumer *consumer)
{
	for (int i = 0; i < consumer->held; i++)
		rd_kafka_message_destroy(consumer->raw[i]);
	consumer->held = 0;
}

bool
consumer_close(Consumer *consumer)
{
	bool closed = true;

	if (consumer == NULL)
		return true;
	release_held(consumer);
	if (consumer->messages != NULL)
	{
		rd_kafka_queue_io_event_enable(consumer->messages, -1, NULL, 0);
		rd_kafka_queue_destroy(consumer->messages);
	}
	if (consumer->background != NULL)
		rd_kafka_queue_destroy(consumer->background);
	if (consumer->handle != NULL)
		closed = consumer_destroy_in_time(consumer->handle);
	if (consumer->fd >= 0 && closed)
		close(consumer->fd); /* else a thread may still write to it */
	prefetch_close(&consumer->prefetch);
	free(consumer->topic);
	free(consumer);
	return closed;
}

bool
consumer_partition_count(Consumer *consumer, int timeout_ms, int *count, ConsumerError *error)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer->handle, consumer->topic, NULL);
	rd_kafka_resp_err_t err = rd_kafka_last_error();

	if (topic == NULL)
		return fail_kafka(error, err, "could not describe topic");
	err = rd_kafka_metadata(consumer->handle, 0, topic, &metadata, timeout_ms);
	rd_kafka_topic_destroy(topic);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return fail_kafka(error, err, "could not reach the Kafka brokers");
	if (metadata->topic_cnt == 1)
		err = metadata->topics[0].err;
	*count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
	rd_kafka_metadata_destroy(metadata);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR && *count > 0)
		return true;
	return fail(error, err == RD_KAFKA_RESP_ERR_NO_ERROR ? CONSUMER_NO_TOPIC : fault_of(err), consumer->topic,
				err == RD_KAFKA_RESP_ERR_NO_ERROR ? "the topic has no partitions" : rd_kafka_err2str(err));
}

bool
consumer_brokers(Consumer *consumer, int timeout_ms, char *list, size_t size, ConsumerError *error)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err = rd_kafka_metadata(consumer->handle, 0, NULL, &metadata, timeout_ms);
	size_t used = 0;

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return fail_kafka(error, err, "could not reach the Kafka brokers");
	list[0] = '\0';
	for (int i = 0; i < metadata->broker_cnt && used < size; i++)
		used += (size_t) snprintf(list + used, size - used, "%s%s:%d", i > 0 ? ", " : "",
								  metadata->brokers[i].host, metadata->brokers[i].port);
	rd_kafka_metadata_destroy(metadata);
	return true;
}

static rd_kafka_topic_partition_list_t *
partition_list(Consumer *consumer, const int32_t *partitions, const int64_t *offsets, int n)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);

	for (int i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, consumer->topic, partitions[i])->offset = offsets[i];
	return list;
}

/* One end of a log: RD_KAFKA_OFFSET_BEGINNING or _END, which Kafka takes in place of a time. */
static rd_kafka_resp_err_t
query_log_end(Consumer *consumer, int32_t partition, int64_t which, int timeout_ms, int64_t *offset)
{
	rd_kafka_topic_partition_list_t *list = partition_list(consumer, &partition, &which, 1);
	rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(consumer->handle, list, timeout_ms);

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = list->elems[0].err;
	*offset = list->elems[0].offset;
	rd_kafka_topic_partition_list_destroy(list);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR && *offset < 0)
		err = RD_KAFKA_RESP_ERR__FAIL;
	return err;
}

/*
 * Not by rd_kafka_query_watermark_offsets: while the partition's leader is away that waits for as long as the
 * socket's timeout, a minute, whatever timeout it is given (seen with librdkafka 2.0.2).
 */
bool
consumer_log_range(Consumer *consumer, int32_t partition, int timeout_ms, int64_t *low, int64_t *high,
				   ConsumerError *error)
{
	rd_kafka_resp_err_t err = query_log_end(consumer, partition, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, low);

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = query_log_end(consumer, partition, RD_KAFKA_OFFSET_END, timeout_ms, high);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	return fail_kafka(error, err, "could not ask for the range of offsets");
}

bool
consumer_offset_at(Consumer *consumer, int32_t partition, int64_t time, int timeout_ms, int64_t *offset,
				   ConsumerError *error)
{
	int64_t ms = (time + 999) / 1000; /* Kafka's unit */
	rd_kafka_topic_partition_list_t *list = partition_list(consumer, &partition, &ms, 1);
	rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(consumer->handle, list, timeout_ms);

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = list->elems[0].err;
	*offset = list->elems[0].offset >= 0 ? list->elems[0].offset : -1;
	rd_kafka_topic_partition_list_destroy(list);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	return fail_kafka(error, err, "could not ask for the offset of a time");
}

bool
consumer_assign(Consumer *consumer, const int32_t *partitions, const int64_t *offsets, int n,
				ConsumerError *error)
{
	rd_kafka_topic_partition_list_t *list = partition_list(consumer, partitions, offsets, n);
	rd_kafka_resp_err_t err = rd_kafka_assign(consumer->handle, list);

	rd_kafka_topic_partition_list_destroy(list);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	return fail_kafka(error, err, "could not assign partitions");
}

int
consumer_fd(const Consumer *consumer)
{
	return consumer->fd;
}

void
consumer_clear_fd(Consumer *consumer)
{
	uint64_t count;

	while (read(consumer->fd, &count, sizeof(count)) > 0)
		;
}

static void
describe(const rd_kafka_message_t *raw, ConsumerEvent *event)
{
	rd_kafka_timestamp_type_t type;

	event->partition = raw->partition;
	event->offset = raw->offset;
	if (raw->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		event->kind = CONSUMER_MESSAGE;
		event->timestamp = rd_kafka_message_timestamp(raw, &type);
		event->timestamp = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : event->timestamp * 1000;
		event->key = raw->key;
		event->key_len = raw->key_len;
		event->payload = raw->payload;
		event->payload_len = raw->len;
	}
	else if (raw->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		event->kind = CONSUMER_END;
	else
	{
		event->kind = CONSUMER_FAULT;
		event->fault = fault_of(raw->err);
		event->message = rd_kafka_message_errstr(raw);
	}
}

int
consumer_read(Consumer *consumer, int most, const ConsumerEvent **events)
{
	ssize_t n;
	size_t bytes = 0;

	release_held(consumer);
	n = rd_kafka_consume_batch_queue(consumer->messages, 0, consumer->raw,
									 (size_t) (most < MAX_BATCH ? most : MAX_BATCH));
	if (n <= 0)
		return 0;
	consumer->held = (int) n;
	for (ssize_t i = 0; i < n; i++)
	{
		describe(consumer->raw[i], &consumer->events[i]);
		bytes += consumer->raw[i]->len;
	}
	prefetch_go_on(&consumer->prefetch, consumer->handle, consumer->messages, (int) n, bytes);
	*events = consumer->events;
	return (int) n;
}

int64_t
consumer_known_end(Consumer *consumer, int32_t partition)
{
	int64_t low;
	int64_t high;

	if (rd_kafka_get_watermark_offsets(consumer->handle, consumer->topic, partition, &low, &high) !=
		RD_KAFKA_RESP_ERR_NO_ERROR)
		return -1;
	return high >= 0 ? high : -1;
}

void
consumer_commit(Consumer *consumer, const int32_t *partitions, const int64_t *offsets, int n)
{
	rd_kafka_topic_partition_list_t *list;

	if (n == 0)
		return;
	list = partition_list(consumer, partitions, offsets, n);
	(void) rd_kafka_commit(consumer->handle, list, 1);
	rd_kafka_topic_partition_list_destroy(list);
}

bool
consumer_next_log(Consumer *consumer, int *level, char *line, size_t size)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(consumer->background, 0)) != NULL)
	{
		bool found = true;
		const char *facility;
		const char *text;

		switch (rd_kafka_event_type(event))
		{
			case RD_KAFKA_EVENT_LOG:
				rd_kafka_event_log(event, &facility, &text, level);
				snprintf(line, size, "%s: %s", facility, text);
				break;
			case RD_KAFKA_EVENT_ERROR:
				*level = 3;
				snprintf(line, size, "%s", rd_kafka_event_error_string(event));
				break;
			default:
				found = false;
		}
		rd_kafka_event_destroy(event);
		if (found)
			return true;
	}
	return false;
}
