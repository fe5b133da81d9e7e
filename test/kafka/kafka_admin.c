/*-------------------------------------------------------------------------
 *
 * kafka_admin.c
 *		What tests and scripts do to a Kafka cluster, without waiting for a JVM.
 *
 * Kafka's own tools take two seconds each to start; this takes milliseconds.
 * One command a call; the answer, if there is one, is plain lines of
 * tab-separated fields on standard output.
 *
 *-------------------------------------------------------------------------
 */
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 30000
#define ERROR_SIZE 512
#define RETRY_US 20000
#define UNKNOWN_TRIES 100 /* two seconds */

static const char usage_text[] =
	"Usage: kafka_admin BROKERS COMMAND\n"
	"\n"
	"  wait N SECONDS                   until N brokers answer, at most so long\n"
	"  create TOPIC PARTITIONS REPLICAS [NAME=VALUE]...\n"
	"  delete TOPIC\n"
	"  grow TOPIC PARTITIONS            add partitions up to that number\n"
	"  trim TOPIC PARTITION OFFSET      drop the messages before it, as retention would\n"
	"  offsets TOPIC                    partition, first offset, offset after the last; a line each\n"
	"  leaders TOPIC                    partition, broker id of its leader; a line each\n"
	"  committed GROUP TOPIC PARTITIONS partition, offset that the group has committed; a line each\n"
	"  send TOPIC PARTITION FILE...     each file is one message; '-' is a tombstone\n"
	"  transact TOPIC PARTITION commit|abort|leave < LINES\n"
	"                                   a transaction of one message a line; leave: it stays open until the "
	"next\n";

/* A command gets its own arguments, and their number; it ends the program if it fails. */
typedef void (*Command)(rd_kafka_t *client, int argc, char **argv);

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("kafka_admin: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

#define TRANSACTIONAL_ID "kafka_admin"
#define MAX_MESSAGE_BYTES "67108864"

/* transactional_id: NULL for all but transactions. */
static rd_kafka_t *
connect_to(const char *brokers, const char *transactional_id)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char error[ERROR_SIZE];
	rd_kafka_t *client;

	rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
	rd_kafka_conf_set(conf, "message.max.bytes", MAX_MESSAGE_BYTES, NULL, 0);
	if (transactional_id != NULL)
		rd_kafka_conf_set(conf, "transactional.id", transactional_id, NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "0", NULL, 0); /* brokers that are down are no news here */
	rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "200", NULL, 0);  /* someone is waiting */
	client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error)); /* owns conf now */
	if (client == NULL)
		fail("%s", error);
	return client;
}

/* Metadata of one topic, or of none if topic is NULL; the caller destroys it. */
static const struct rd_kafka_metadata *
metadata_of(rd_kafka_t *client, const char *topic, int timeout_ms)
{
	rd_kafka_topic_t *handle = topic != NULL ? rd_kafka_topic_new(client, topic, NULL) : NULL;
	const struct rd_kafka_metadata *metadata = NULL;

	if (rd_kafka_metadata(client, 0, handle, &metadata, timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
		metadata = NULL;
	if (handle != NULL)
		rd_kafka_topic_destroy(handle);
	return metadata;
}

static bool
is_known(const struct rd_kafka_metadata *metadata)
{
	return metadata != NULL && metadata->topic_cnt == 1 && !metadata->topics[0].err;
}

/*
 * Metadata of a topic that exists; the caller destroys it.  A broker learns of a new topic some time after
 * the one that made it, so one refusal is not believed.
 */
static const struct rd_kafka_metadata *
require_topic(rd_kafka_t *client, const char *topic)
{
	const struct rd_kafka_metadata *metadata = metadata_of(client, topic, TIMEOUT_MS);

	for (int tries = 0; metadata != NULL && !is_known(metadata) && tries < UNKNOWN_TRIES; tries++)
	{
		rd_kafka_metadata_destroy(metadata);
		usleep(RETRY_US);
		metadata = metadata_of(client, topic, TIMEOUT_MS);
	}
	if (metadata == NULL)
		fail("no answer from the brokers");
	if (!is_known(metadata))
		fail("topic \"%s\": %s", topic, rd_kafka_err2str(metadata->topics[0].err));
	return metadata;
}

/* ---- requests that brokers carry out ---- */

typedef const rd_kafka_topic_result_t **(*TopicResults)(rd_kafka_event_t *event, size_t *count);

static const rd_kafka_topic_result_t **
created_topics(rd_kafka_event_t *event, size_t *count)
{
	return rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), count);
}

static const rd_kafka_topic_result_t **
deleted_topics(rd_kafka_event_t *event, size_t *count)
{
	return rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), count);
}

static const rd_kafka_topic_result_t **
grown_topics(rd_kafka_event_t *event, size_t *count)
{
	return rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), count);
}

/* The answer to the request that was sent to queue; the caller destroys both. */
static rd_kafka_event_t *
await_answer(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);

	if (event == NULL)
		fail("no answer within %d s", TIMEOUT_MS / 1000);
	if (rd_kafka_event_error(event))
		fail("%s", rd_kafka_event_error_string(event));
	return event;
}

static void
require_topic_results(rd_kafka_queue_t *queue, TopicResults results)
{
	rd_kafka_event_t *event = await_answer(queue);
	size_t count;
	const rd_kafka_topic_result_t **topics = results(event, &count);

	for (size_t i = 0; i < count; i++)
		if (rd_kafka_topic_result_error(topics[i]))
			fail("topic \"%s\": %s", rd_kafka_topic_result_name(topics[i]),
				 rd_kafka_err2str(rd_kafka_topic_result_error(topics[i])));
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
}

/* A topic that has been created is of use only once each partition has a leader. */
static void
await_leaders(rd_kafka_t *client, const char *topic, int partitions)
{
	for (int tries = 0; tries < TIMEOUT_MS * 1000 / RETRY_US; tries++)
	{
		const struct rd_kafka_metadata *metadata = metadata_of(client, topic, 1000);
		int led = 0;

		if (is_known(metadata))
			for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
				led +=
					!metadata->topics[0].partitions[i].err && metadata->topics[0].partitions[i].leader >= 0;
		if (metadata != NULL)
			rd_kafka_metadata_destroy(metadata);
		if (led >= partitions)
			return;
		usleep(RETRY_US);
	}
	fail("topic \"%s\" has no leaders yet", topic);
}

/* ---- commands ---- */

static void
command_wait(rd_kafka_t *client, int argc, char **argv)
{
	int brokers = atoi(argv[0]);
	time_t end = time(NULL) + atoi(argv[1]);
	int seen = 0;

	(void) argc;
	do
	{
		const struct rd_kafka_metadata *metadata = metadata_of(client, NULL, 500);

		if (metadata != NULL)
		{
			seen = metadata->broker_cnt;
			rd_kafka_metadata_destroy(metadata);
		}
		if (seen >= brokers)
			return;
		usleep(RETRY_US);
	} while (time(NULL) <= end);
	fail("%d of %d brokers answer", seen, brokers);
}

static void
set_topic_property(rd_kafka_NewTopic_t *topic, char *property)
{
	char *equals = strchr(property, '=');

	if (equals == NULL)
		fail("a topic's setting must be NAME=VALUE, not \"%s\"", property);
	*equals = '\0';
	if (rd_kafka_NewTopic_set_config(topic, property, equals + 1))
		fail("topic setting \"%s\" was not taken", property);
}

static void
command_create(rd_kafka_t *client, int argc, char **argv)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	char error[ERROR_SIZE];
	rd_kafka_NewTopic_t *topic =
		rd_kafka_NewTopic_new(argv[0], atoi(argv[1]), atoi(argv[2]), error, sizeof(error));

	if (topic == NULL)
		fail("%s", error);
	for (int i = 3; i < argc; i++)
		set_topic_property(topic, argv[i]);
	rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
	require_topic_results(queue, created_topics);
	rd_kafka_NewTopic_destroy(topic);
	await_leaders(client, argv[0], atoi(argv[1]));
}

static void
command_delete(rd_kafka_t *client, int argc, char **argv)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(argv[0]);

	(void) argc;
	rd_kafka_DeleteTopics(client, &topic, 1, NULL, queue);
	require_topic_results(queue, deleted_topics);
	rd_kafka_DeleteTopic_destroy(topic);
}

static void
command_grow(rd_kafka_t *client, int argc, char **argv)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	char error[ERROR_SIZE];
	rd_kafka_NewPartitions_t *partitions =
		rd_kafka_NewPartitions_new(argv[0], (size_t) atoi(argv[1]), error, sizeof(error));

	(void) argc;
	if (partitions == NULL)
		fail("%s", error);
	rd_kafka_CreatePartitions(client, &partitions, 1, NULL, queue);
	require_topic_results(queue, grown_topics);
	rd_kafka_NewPartitions_destroy(partitions);
	await_leaders(client, argv[0], atoi(argv[1]));
}

static void
command_trim(rd_kafka_t *client, int argc, char **argv)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_DeleteRecords_t *request;
	rd_kafka_event_t *event;
	const rd_kafka_topic_partition_list_t *done;

	(void) argc;
	rd_kafka_topic_partition_list_add(list, argv[0], atoi(argv[1]))->offset = atoll(argv[2]);
	request = rd_kafka_DeleteRecords_new(list); /* copies the list */
	rd_kafka_DeleteRecords(client, &request, 1, NULL, queue);
	event = await_answer(queue);
	done = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	if (done->cnt != 1 || done->elems[0].err)
		fail("partition %s of \"%s\": %s", argv[1], argv[0], rd_kafka_err2str(done->elems[0].err));
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_queue_destroy(queue);
}

static void
command_offsets(rd_kafka_t *client, int argc, char **argv)
{
	const struct rd_kafka_metadata *metadata = require_topic(client, argv[0]);
	const struct rd_kafka_metadata_topic *topic = &metadata->topics[0];

	(void) argc;
	for (int i = 0; i < topic->partition_cnt; i++)
	{
		int64_t first, next;
		rd_kafka_resp_err_t err =
			rd_kafka_query_watermark_offsets(client, argv[0], i, &first, &next, TIMEOUT_MS);

		if (err)
			fail("partition %d of \"%s\": %s", i, argv[0], rd_kafka_err2str(err));
		printf("%d\t%lld\t%lld\n", i, (long long) first, (long long) next);
	}
	rd_kafka_metadata_destroy(metadata);
}

static void
command_leaders(rd_kafka_t *client, int argc, char **argv)
{
	const struct rd_kafka_metadata *metadata = require_topic(client, argv[0]);
	const struct rd_kafka_metadata_topic *topic = &metadata->topics[0];

	(void) argc;
	for (int i = 0; i < topic->partition_cnt; i++)
		printf("%d\t%d\n", topic->partitions[i].id, topic->partitions[i].leader);
	rd_kafka_metadata_destroy(metadata);
}

static void
command_committed(rd_kafka_t *client, int argc, char **argv)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_ListConsumerGroupOffsets_t *request;
	const rd_kafka_group_result_t **groups;
	const rd_kafka_topic_partition_list_t *offsets;
	rd_kafka_event_t *event;
	size_t count;

	(void) argc;
	for (int i = 0; i < atoi(argv[2]); i++)
		rd_kafka_topic_partition_list_add(list, argv[1], i);
	request = rd_kafka_ListConsumerGroupOffsets_new(argv[0], list); /* copies the list */
	rd_kafka_ListConsumerGroupOffsets(client, &request, 1, NULL, queue);
	event = await_answer(queue);
	groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
		rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
	if (count != 1 || rd_kafka_group_result_error(groups[0]))
		fail("no offsets of group \"%s\"", argv[0]);
	offsets = rd_kafka_group_result_partitions(groups[0]);
	for (int i = 0; i < offsets->cnt; i++)
		printf("%d\t%lld\n", offsets->elems[i].partition, (long long) offsets->elems[i].offset);
	rd_kafka_event_destroy(event);
	rd_kafka_ListConsumerGroupOffsets_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_queue_destroy(queue);
}

/* ---- messages ---- */

static void
send_message(rd_kafka_t *client, const char *topic, int partition, void *payload, size_t len)
{
	rd_kafka_resp_err_t err;

	do
	{
		err = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
								RD_KAFKA_V_VALUE(payload, len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
								RD_KAFKA_V_END);
		rd_kafka_poll(client, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 100 : 0);
	} while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL);
	if (err)
		fail("a message of %zu bytes: %s", len, rd_kafka_err2str(err));
}

static void
send_file(rd_kafka_t *client, const char *topic, int partition, const char *path)
{
	FILE *file = fopen(path, "rb");
	char *bytes;
	long len;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) < 0)
		fail("could not read \"%s\"", path);
	rewind(file);
	bytes = malloc((size_t) len + 1); /* never NULL: an empty file is an empty message */
	if (bytes == NULL || fread(bytes, 1, (size_t) len, file) != (size_t) len)
		fail("could not read \"%s\"", path);
	fclose(file);
	send_message(client, topic, partition, bytes, (size_t) len);
	free(bytes);
}

static void
command_send(rd_kafka_t *client, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "-") == 0)
			send_message(client, argv[0], atoi(argv[1]), NULL, 0);
		else
			send_file(client, argv[0], atoi(argv[1]), argv[i]);
	if (rd_kafka_flush(client, TIMEOUT_MS))
		fail("not all messages were delivered");
}

static void
require_transaction(rd_kafka_error_t *error, const char *what)
{
	if (error != NULL)
		fail("%s: %s", what, rd_kafka_error_string(error));
}

static void
command_transact(rd_kafka_t *client, int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	(void) argc;
	require_transaction(rd_kafka_init_transactions(client, TIMEOUT_MS), "init_transactions");
	require_transaction(rd_kafka_begin_transaction(client), "begin_transaction");
	while ((len = getline(&line, &size, stdin)) > 0)
		send_message(client, argv[0], atoi(argv[1]), line, (size_t) (line[len - 1] == '\n' ? len - 1 : len));
	free(line);
	if (rd_kafka_flush(client, TIMEOUT_MS))
		fail("not all messages were delivered");
	if (strcmp(argv[2], "commit") == 0)
		require_transaction(rd_kafka_commit_transaction(client, TIMEOUT_MS), "commit_transaction");
	else if (strcmp(argv[2], "abort") == 0)
		require_transaction(rd_kafka_abort_transaction(client, TIMEOUT_MS), "abort_transaction");
}

static const struct
{
	const char *name;
	int arguments; /* at least */
	Command run;
} commands[] = {{"wait", 2, command_wait},       {"create", 3, command_create},
				{"delete", 1, command_delete},   {"grow", 2, command_grow},
				{"trim", 3, command_trim},       {"offsets", 1, command_offsets},
				{"leaders", 1, command_leaders}, {"committed", 3, command_committed},
				{"send", 3, command_send},       {"transact", 3, command_transact}};

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc >= 3 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[2], commands[i].name) == 0 && argc - 3 >= commands[i].arguments)
		{
			bool transacts = commands[i].run == command_transact;
			rd_kafka_t *client = connect_to(argv[1], transacts ? TRANSACTIONAL_ID : NULL);

			commands[i].run(client, argc - 3, argv + 3);
			rd_kafka_destroy(client);
			return 0;
		}
	fputs(usage_text, stderr);
	return 2;
}
