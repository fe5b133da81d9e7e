/*
 * consumer_close.c - the end of a consumer (see consumer_close.h).
 *
 * librdkafka can wait for ever for partitions that are gone, so a thread of its own does the waiting.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "consumer_close.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define CLOSE_SECONDS 3

/* What the closing thread works on; whoever is left last frees it, or nobody. */
typedef struct Closing
{
	rd_kafka_t *handle;
	sem_t done;
} Closing;

static void *
destroy_handle(void *arg)
{
	Closing *closing = arg;

	rd_kafka_assign(closing->handle, NULL);
	rd_kafka_destroy_flags(closing->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	sem_post(&closing->done);
	return NULL;
}

/* Signals belong to the main thread. */
static bool
start_thread(pthread_t *thread, Closing *closing)
{
	sigset_t all;
	sigset_t before;
	bool started;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_create(thread, NULL, destroy_handle, closing) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

bool
consumer_destroy_in_time(rd_kafka_t *handle)
{
	Closing *closing = malloc(sizeof(Closing));
	struct timespec end;
	pthread_t thread;
	int result;

	if (closing == NULL)
		return false;
	closing->handle = handle;
	sem_init(&closing->done, 0, 0);
	if (!start_thread(&thread, closing))
		return false;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += CLOSE_SECONDS;
	do
		result = sem_timedwait(&closing->done, &end);
	while (result != 0 && errno == EINTR);
	if (result != 0)
	{
		pthread_detach(thread);
		return false;
	}
	pthread_join(thread, NULL);
	sem_destroy(&closing->done);
	free(closing);
	return true;
}
