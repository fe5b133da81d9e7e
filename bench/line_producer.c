/*
 * line_producer.c - produces each line of standard input as one message, at once.
 *
 *	line_producer BROKERS TOPIC PARTITION
 *
 * For benches that measure how long one message takes: nothing lingers, neither here nor in librdkafka. Exits
 *1 if a message could not be delivered.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int n_failed = 0;

static void
on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
	(void) producer;
	(void) opaque;
	if (message->err)
	{
		fprintf(stderr, "line_producer: %s\n", rd_kafka_err2str(message->err));
		n_failed++;
	}
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char error[256];

	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
	{
		fprintf(stderr, "line_producer: %s\n", error);
		exit(1);
	}
}

static rd_kafka_t *
open_producer(const char *brokers)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *producer;
	char error[256];

	set(conf, "bootstrap.servers", brokers);
	set(conf, "linger.ms", "0");
	set(conf, "socket.nagle.disable", "true");
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (producer == NULL)
	{
		fprintf(stderr, "line_producer: %s\n", error);
		exit(1);
	}
	return producer;
}

int
main(int argc, char **argv)
{
	char line[65536];
	rd_kafka_t *producer;

	if (argc != 4)
	{
		fputs("usage: line_producer BROKERS TOPIC PARTITION\n", stderr);
		return 2;
	}
	producer = open_producer(argv[1]);
	setvbuf(stdin, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		rd_kafka_resp_err_t status =
			rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(argv[2]), RD_KAFKA_V_PARTITION(atoi(argv[3])),
							  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							  RD_KAFKA_V_VALUE(line, strcspn(line, "\n")), RD_KAFKA_V_END);

		if (status)
		{
			fprintf(stderr, "line_producer: %s\n", rd_kafka_err2str(status));
			n_failed++;
		}
		rd_kafka_poll(producer, 0);
	}
	if (rd_kafka_flush(producer, 10000))
		n_failed++;
	rd_kafka_destroy(producer);
	return n_failed > 0;
}
