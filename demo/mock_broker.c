/*-------------------------------------------------------------------------
 *
 * mock_broker.c
 *		A Kafka broker for the demo, without a JVM: librdkafka's mock cluster.
 *
 * Usage: mock_broker TOPIC PARTITIONS
 *
 * Creates the topic, prints one line, bootstrap.servers=127.0.0.1:PORT, and
 * serves until SIGTERM or SIGINT, or until the process that started it is gone.
 *
 * It is a broker for looking around, not for keeping anything:
 *
 * - Everything is in memory and ends with the program.  The port is chosen by
 *   the library, so a second run is another broker at another address.
 * - Of each partition it keeps the last 5 MB, counted as the batches came
 *   (compressed, if the producer compresses), and at most 100,000 batches.
 *   Older batches are dropped whole, without regard to who has read them.  Of the
 *   demo's events in lz4 that is 30,000 (small batches) to 60,000 a partition:
 *   with 4 partitions at least 24 seconds of 5,000 events a second.
 * - A consumer whose position has been dropped is told OFFSET_OUT_OF_RANGE, as
 *   by a real broker whose retention has run over it.  What follows is the
 *   consumer's auto.offset.reset.  The bridge does not jump: the source stays
 *   in the state `retrying`, and its last error says which offsets there are.  So: at a rate that the bridge
 *keeps up with, or soon after it has been down, nothing is lost; after a longer pause it is.
 * - Batches are found by a walk through the list of them.  Producers do well to
 *   linger for some milliseconds, or that list gets long.
 * - There are no topic settings, no deletion, no ACLs and no TLS.
 *
 *-------------------------------------------------------------------------
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define NUM_BROKERS 1
#define MAX_PARTITIONS 1024

static void __attribute__((noreturn)) fail(const char *what, const char *why)
{
	fprintf(stderr, "mock_broker: %s: %s\n", what, why);
	exit(1);
}

static int
parse_partitions(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < 1 || n > MAX_PARTITIONS)
		fail(text, "the number of partitions must be from 1 to 1024");
	return (int) n;
}

/* The mock cluster lives inside a client handle, of which nothing else is used. */
static rd_kafka_t *
create_host(void)
{
	char error[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *host;

	rd_kafka_conf_set(conf, "log_level", "3", NULL, 0); /* errors; not that it has no broker to connect to */
	host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error)); /* owns conf now */
	if (host == NULL)
		fail("could not create a librdkafka handle", error);
	return host;
}

static rd_kafka_mock_cluster_t *
create_cluster(rd_kafka_t *host, const char *topic, int partitions)
{
	rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(host, NUM_BROKERS);
	rd_kafka_resp_err_t err;

	if (cluster == NULL)
		fail("could not create the mock cluster", "out of memory or of ports");
	err = rd_kafka_mock_topic_create(cluster, topic, partitions, NUM_BROKERS);
	if (err)
		fail(topic, rd_kafka_err2str(err));
	return cluster;
}

/* Blocked before the first thread is made, so that every thread inherits it. */
static void
block_end_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGTERM);
	sigprocmask(SIG_BLOCK, signals, NULL);
}

static void
await_end(const sigset_t *signals, pid_t parent)
{
	const struct timespec second = {1, 0};

	while (sigtimedwait(signals, NULL, &second) < 0 && getppid() == parent)
		;
}

int
main(int argc, char **argv)
{
	pid_t parent = getppid();
	sigset_t signals;
	rd_kafka_t *host;
	rd_kafka_mock_cluster_t *cluster;

	if (argc != 3)
	{
		fputs("Usage: mock_broker TOPIC PARTITIONS\n", stderr);
		return 2;
	}
	block_end_signals(&signals);
	host = create_host();
	cluster = create_cluster(host, argv[1], parse_partitions(argv[2]));
	printf("bootstrap.servers=%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);
	await_end(&signals, parent);
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(host);
	return 0;
}
