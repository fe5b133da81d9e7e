/*-------------------------------------------------------------------------
 *
 * gen_output.c
 *		Where events go: standard output, or a Kafka topic.
 *
 * On standard output an event is a line, partition<TAB>event.  In Kafka it is
 * a message to that partition: compressed, acknowledged by all replicas,
 * idempotent.  A message that could not be delivered is an error that ends the
 * program; nothing is ever silently missing.
 *
 *-------------------------------------------------------------------------
 */
#include "gen.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BUFFER (1024 * 1024)
#define FLUSH_TIMEOUT_MS 60000

struct GenOutput
{
	/* standard output */
	char *buffer;
	size_t used;

	/* Kafka; producer NULL: standard output */
	rd_kafka_t *producer;
	rd_kafka_topic_t *topic;
	uint64_t sent;
	uint64_t delivered;
	bool failed;
};

static const char *const default_properties[] = {"log_level=2",
												 "compression.codec=lz4",
												 "acks=all",
												 "enable.idempotence=true",
												 "linger.ms=5",
												 "batch.size=1000000",
												 "batch.num.messages=10000",
												 "queue.buffering.max.kbytes=262144",
												 "queue.buffering.max.messages=500000"};

/* ---- standard output ---- */

static bool
write_buffer(GenOutput *out)
{
	size_t done = 0;

	while (done < out->used)
	{
		ssize_t n = write(STDOUT_FILENO, out->buffer + done, out->used - done);

		if (n < 0 && errno != EINTR)
		{
			fprintf(stderr, "topk_gen: could not write to standard output: %s\n", strerror(errno));
			return false;
		}
		done += n > 0 ? (size_t) n : 0;
	}
	out->used = 0;
	return true;
}

static bool
send_line(GenOutput *out, int partition, const char *text, size_t len)
{
	if (out->used + len + 16 > LINE_BUFFER && !write_buffer(out))
		return false;
	if (partition < 10)
	{
		out->buffer[out->used++] = (char) ('0' + partition);
		out->buffer[out->used++] = '\t';
	}
	else
		out->used += (size_t) sprintf(out->buffer + out->used, "%d\t", partition);
	memcpy(out->buffer + out->used, text, len);
	out->used += len;
	out->buffer[out->used++] = '\n';
	return true;
}

/* ---- Kafka ---- */

static void
report_failure(GenOutput *out, const char *what, const char *why)
{
	if (!out->failed)
		fprintf(stderr, "topk_gen: %s: %s\n", what, why);
	out->failed = true;
}

static void
on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
	GenOutput *out = opaque;

	(void) producer;
	if (message->err)
		report_failure(out, "an event could not be delivered", rd_kafka_err2str(message->err));
	else
		out->delivered++;
}

/* Most errors heal; only a fatal one ends the producer, and delivery reports tell of the rest. */
static void
on_error(rd_kafka_t *producer, int err, const char *reason, void *opaque)
{
	char text[512];

	if (err == RD_KAFKA_RESP_ERR__FATAL && rd_kafka_fatal_error(producer, text, sizeof(text)))
		report_failure(opaque, "the producer has failed", text);
	else
		fprintf(stderr, "topk_gen: %s\n", reason);
}

static void
set_property(rd_kafka_conf_t *conf, const char *property)
{
	char name[256];
	char error[512];
	const char *equals = strchr(property, '=');

	snprintf(name, sizeof(name), "%.*s", (int) (equals - property), property);
	if (rd_kafka_conf_set(conf, name, equals + 1, error, sizeof(error)) != RD_KAFKA_CONF_OK)
	{
		fprintf(stderr, "topk_gen: %s\n", error);
		exit(2);
	}
}

static void
open_producer(GenOutput *out, const GenOptions *o)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char error[512];

	for (size_t i = 0; i < sizeof(default_properties) / sizeof(default_properties[0]); i++)
		set_property(conf, default_properties[i]);
	for (int i = 0; i < o->num_properties; i++)
		set_property(conf, o->property[i]);
	rd_kafka_conf_set(conf, "bootstrap.servers", o->brokers, NULL, 0);
	rd_kafka_conf_set_opaque(conf, out);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_error_cb(conf, on_error);
	out->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error)); /* owns conf now */
	if (out->producer == NULL)
	{
		fprintf(stderr, "topk_gen: %s\n", error);
		exit(1);
	}
	out->topic = rd_kafka_topic_new(out->producer, o->topic, NULL);
}

static bool
send_message(GenOutput *out, int partition, const char *text, size_t len)
{
	while (!out->failed)
	{
		if (rd_kafka_produce(out->topic, partition, RD_KAFKA_MSG_F_COPY, (void *) text, len, NULL, 0, NULL) ==
			0)
		{
			if ((++out->sent & 1023) == 0)
				rd_kafka_poll(out->producer, 0);
			return !out->failed;
		}
		if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			rd_kafka_poll(out->producer, 100);
		else
			report_failure(out, "could not produce", rd_kafka_err2str(rd_kafka_last_error()));
	}
	return false;
}

static bool
close_producer(GenOutput *out)
{
	if (!out->failed && rd_kafka_flush(out->producer, FLUSH_TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		report_failure(out, "gave up", "the last events were not acknowledged within 60 s");
	if (!out->failed && out->delivered != out->sent)
		report_failure(out, "gave up", "fewer events were acknowledged than sent");
	if (out->failed)
		fprintf(stderr, "topk_gen: %llu events were sent and %llu acknowledged\n",
				(unsigned long long) out->sent, (unsigned long long) out->delivered);
	rd_kafka_topic_destroy(out->topic);
	if (out->failed)
		rd_kafka_purge(out->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_destroy(out->producer);
	return !out->failed;
}

/* ---- either ---- */

/* Never returns NULL: a wrong setting, or no memory, ends the program. */
GenOutput *
gen_output_open(const GenOptions *o)
{
	GenOutput *out = calloc(1, sizeof(GenOutput));

	if (out == NULL || (o->brokers == NULL && (out->buffer = malloc(LINE_BUFFER)) == NULL))
	{
		fputs("topk_gen: out of memory\n", stderr);
		exit(1);
	}
	if (o->brokers != NULL)
		open_producer(out, o);
	return out;
}

/* False once something has failed, which has been reported then. */
bool
gen_output_send(GenOutput *out, int partition, const char *text, size_t len)
{
	return out->producer != NULL ? send_message(out, partition, text, len)
								 : send_line(out, partition, text, len);
}

/* Let time pass; what has been sent so far goes out meanwhile. */
bool
gen_output_wait(GenOutput *out, double seconds)
{
	struct timespec pause = {(time_t) seconds, (long) ((seconds - (double) (time_t) seconds) * 1e9)};

	if (out->producer != NULL)
		rd_kafka_poll(out->producer, 0);
	else if (!write_buffer(out))
		return false;
	nanosleep(&pause, NULL);
	return !out->failed;
}

/* Sends what is left and waits until it has arrived; false if it has not. */
bool
gen_output_close(GenOutput *out)
{
	bool ok = out->producer != NULL ? close_producer(out) : write_buffer(out);

	free(out->buffer);
	free(out);
	return ok;
}
