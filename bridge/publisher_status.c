/*
 * publisher_status.c - what the publisher says of itself, in topk.publisher and in the log.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "fail_point.h"
#include "publisher.h"

#define STATUS_US INT64CONST(1000000)

typedef struct Saving
{
	Publisher *publisher;
	const PublishPlan *plan; /* NULL: the status alone */
} Saving;

/* Step. */
static void
save(void *arg)
{
	Saving *saving = arg;
	Publisher *publisher = saving->publisher;
	bool failing = publisher->error.sqlstate != 0;
	PublishStatus status = {.state = failing ? "retrying" : "running",
							.error = failing ? publisher->error.message : NULL,
							.keys_published =
								publisher->marker.keys, /* 0 at first; the table keeps the higher number */
							.published = publisher->published,
							.mode = publisher->mode,
							.address = publisher->address[0] != '\0' ? publisher->address : NULL,
							.n_waiting = publisher->n_waiting,
							.waiting_since = publisher->waiting_since,
							.resynced_at = publisher->resynced_at,
							.n_lost = publisher->n_lost};

	if (saving->plan != NULL && saving->plan->n_finals > 0)
		publish_store_save_windows(publisher->sink_id, saving->plan->finals, saving->plan->n_finals);
	publish_store_save_status(publisher->sink_id, &status);
	FAIL_POINT("publish_before_commit");
}

/* Notes what was written; nothing is written while nothing happens. */
bool
publisher_save_progress(Publisher *publisher, const PublishPlan *plan)
{
	Saving saving = {publisher, plan};
	HostError error;
	bool due = publisher->status_changed ||
			   ((publisher->published || publisher->n_lost > 0) && publisher->now >= publisher->next_status);

	if (plan->n_finals == 0 && !due)
		return true;
	if (!host_try(save, &saving, &error))
	{
		publisher->error = error;
		return false;
	}
	FAIL_POINT("publish_after_commit");
	publisher->status_changed = false;
	publisher->published = false;
	publisher->n_lost = 0;
	publisher->next_status = publisher->now + STATUS_US;
	return true;
}

/* What the plan, written or empty, says of the time that Redis is behind. */
void
publisher_note_waiting(Publisher *publisher, const PublishPlan *plan)
{
	bool waited = publisher->waiting_since != 0;

	if (plan->with_open)
	{
		publisher->n_waiting = plan->n_waiting;
		publisher->waiting_since = plan->waiting_since;
		publisher->status_changed |= waited != (plan->waiting_since != 0);
	}
	if (!publisher->resyncing || !plan->with_open || plan->waiting_since != 0 || publisher->wide_wanted)
		return;
	publisher->resyncing = false;
	publisher->resynced_at = publisher->now;
	publisher->status_changed = true;
}

void
publisher_note_failure(Publisher *publisher)
{
	Saving saving = {publisher, NULL};
	const char *message = publisher->error.message;

	if (!publisher->failing)
		ereport(WARNING, errcode(publisher->error.sqlstate),
				errmsg("topk sink \"%s\" cannot be published, trying again: %s", publisher->name, message));
	publisher->failing = true;
	publisher->failures = publisher->progressed ? 1 : publisher->failures + 1;
	if (publisher->waiting_since == 0)
		publisher->waiting_since = publisher->now;
	publisher->status_changed = true;
	if (publisher->saved_message != NULL && strcmp(publisher->saved_message, message) == 0)
		return;
	if (!host_try(save, &saving, NULL))
		return;
	if (publisher->saved_message != NULL)
		pfree(publisher->saved_message);
	publisher->saved_message = MemoryContextStrdup(TopMemoryContext, message);
}

void
publisher_note_success(Publisher *publisher)
{
	if (publisher->failing)
		ereport(LOG, errmsg("topk sink \"%s\" is published again", publisher->name));
	publisher->failing = false;
	publisher->failures = 0;
	if (publisher->saved_message != NULL)
		pfree(publisher->saved_message);
	publisher->saved_message = NULL;
}
