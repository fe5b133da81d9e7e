/*
 * worker_letters.c - what a worker hears between flushes, and what it does about dead letters.
 *
 * A letter that somebody queued (topk.retry_dead_letters) is read by the same extraction as a message, and
 * removed by the flush that counts it; so it is counted once, whatever happens.  Where most of what arrives
 * is dead, something is wrong with the rules or the topic rather than with the messages, and the source
 * pauses before the table holds the whole topic.
 */
#include "postgres.h"

#include "worker.h"

#define NEWS_INTERVAL TK_US_PER_SECOND
#define JUDGED_LETTERS 1000 /* the share among fewer messages says nothing */
#define RECENT_EVENTS 10000

/* Reads some of the queued letters again; the rest at the next flush, which is soon. */
static Verdict
take_retries(Worker *worker, int64 now)
{
	StoreSession *session = &worker->session;
	StoreRetries retries = {.session = session, .context = worker->intake->letters};

	if (!host_try(store_read_retries, &retries, &worker->error))
		return TRY_LATER;
	for (StoreRetry *retry = retries.first; retry != NULL; retry = retry->next)
	{
		if (intake_retake(worker->intake, retry, now))
			continue;
		worker->error = worker->intake->error;
		return TRY_LATER;
	}
	session->retries = retries.first;
	worker->next_news = now;
	worker->next_flush = now;
	return GO_ON;
}

Verdict
worker_take_news(Worker *worker, int64 now)
{
	StoreNews news = {.session = &worker->session};
	HostError error;

	if (now < worker->next_news)
		return GO_ON;
	worker->next_news = now + NEWS_INTERVAL;
	if (!host_try(store_read_news, &news, &error))
		return GO_ON; /* the flush will say it */
	if (news.changed)
		return AGAIN;
	return news.letters_queued ? take_retries(worker, now) : GO_ON;
}

Verdict
worker_check_letters(Worker *worker)
{
	double share = (double) worker->recent_letters / Max(worker->recent_events, 1);
	char reason[HOST_ERROR_LEN];
	StorePause pause = {worker->config->source_id, reason};

	if (worker->recent_events < JUDGED_LETTERS || share <= worker->config->max_dead_letter_share)
	{
		if (worker->recent_events >= RECENT_EVENTS)
		{
			worker->recent_events /= 2;
			worker->recent_letters /= 2;
		}
		return GO_ON;
	}
	snprintf(reason, sizeof(reason),
			 "too many dead letters: " INT64_FORMAT " of " INT64_FORMAT
			 " recent messages; topk.dead_letter has them, topk.resume goes on",
			 worker->recent_letters, worker->recent_events);
	if (!host_try(store_pause, &pause, &worker->error))
		return TRY_LATER;
	ereport(WARNING, errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("topk paused source \"%s\": %s", worker->config->name, reason));
	return AGAIN;
}
