/*
 * consume_floor.c - the floor of the stream bench: a bare librdkafka consumer that reads a whole topic in
 *batches and does nothing with it.
 *
 *	 consume_floor BROKERS TOPIC PARTITIONS
 *
 * Prints the number of messages, the seconds from the first to the last one, and the CPU seconds of the
 *process. It uses the same properties as bridge/consumer.c, as far as they matter for speed.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH 2048

static void
die(const char *what, const char *detail)
{
	fprintf(stderr, "consume_floor: %s: %s\n", what, detail);
	exit(1);
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec * 1e-9;
}

static double
cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static rd_kafka_t *
open_consumer(const char *brokers)
{
	const char *const properties[][2] = {
		{"bootstrap.servers", brokers},
		{"group.id", "topk-floor"},
		{"enable.auto.commit", "false"},
		{"enable.partition.eof", "true"},
		{"queued.min.messages", "2000000"},
		{"queued.max.messages.kbytes", "524288"},
		{"check.crcs", "false"},
		{"fetch.wait.max.ms", "100"},
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char error[256];
	rd_kafka_t *handle;

	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
		if (rd_kafka_conf_set(conf, properties[i][0], properties[i][1], error, sizeof(error)) !=
			RD_KAFKA_CONF_OK)
			die(properties[i][0], error);
	handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
	if (handle == NULL)
		die("could not open a consumer", error);
	return handle;
}

static void
assign(rd_kafka_t *handle, const char *topic, int partitions)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	rd_kafka_resp_err_t err;

	for (int i = 0; i < partitions; i++)
		rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
	err = rd_kafka_assign(handle, list);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("could not assign", rd_kafka_err2str(err));
	rd_kafka_topic_partition_list_destroy(list);
}

int
main(int argc, char **argv)
{
	static rd_kafka_message_t *messages[BATCH];
	rd_kafka_t *handle;
	rd_kafka_queue_t *queue;
	int partitions;
	int ended = 0;
	long count = 0;
	double first = 0;
	double last = 0;

	if (argc != 4)
		die("usage", "consume_floor BROKERS TOPIC PARTITIONS");
	partitions = atoi(argv[3]);
	handle = open_consumer(argv[1]);
	assign(handle, argv[2], partitions);
	queue = rd_kafka_queue_get_consumer(handle);
	while (ended < partitions)
	{
		ssize_t n = rd_kafka_consume_batch_queue(queue, 10, messages, BATCH);

		for (ssize_t i = 0; i < n; i++)
		{
			if (messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR)
				count++;
			else if (messages[i]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
				ended++;
			else
				die("could not read", rd_kafka_message_errstr(messages[i]));
			rd_kafka_message_destroy(messages[i]);
		}
		if (n > 0)
			last = now();
		if (first == 0 && count > 0)
			first = last;
	}
	printf("messages=%ld seconds=%.3f cpu=%.3f\n", count, last - first, cpu());
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	return 0;
}
