/*
 * intake.c - from what the consumer read to panes, clocks, counts and letters (see intake.h).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "../src/compat.h"
#include "intake.h"

Intake *
intake_create(StoreSession *session, MemoryContext context)
{
	Intake *intake = MemoryContextAllocZero(context, sizeof(Intake));

	intake->session = session;
	intake->lost_log = -1;
	intake->from = INT64_MIN;
	intake->until = INT64_MAX;
	session->rule_counts =
		MemoryContextAllocZero(context, sizeof(StoreRuleCounts) * Max(session->config->extract.n_rules, 1));
	intake->letters = AllocSetContextCreate(context, "topk letters", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < session->n_partitions; i++)
		intake->n_by_number = Max(intake->n_by_number, session->partitions[i].partition + 1);
	intake->by_number =
		MemoryContextAllocZero(context, sizeof(StorePartition *) * Max(intake->n_by_number, 1));
	for (int i = 0; i < session->n_partitions; i++)
		intake->by_number[session->partitions[i].partition] = &session->partitions[i];
	intake->metered = tk_limits_meter(&session->config->limits);
	intake->extractor = tk_extractor_create(&session->config->extract);
	return intake->extractor == NULL ? NULL : intake;
}

/* As a value of the table, at *at, which moves on; NULL for NULL. */
static struct varlena *
put_value(char **at, const char *bytes, size_t len)
{
	struct varlena *value = (struct varlena *) *at;

	if (bytes == NULL)
		return NULL;
	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	*at += INTALIGN(VARHDRSZ + len);
	return value;
}

static size_t
value_size(size_t len)
{
	return INTALIGN(VARHDRSZ + len);
}

/* Keeps a message for the next flush; `about` says why, and whose it is.  Its event type is the rule's. */
static bool
keep_letter(Intake *intake, const ConsumerEvent *message, const StoreLetter *about, TkText tenant)
{
	size_t key_len = Min(message->key_len, INTAKE_KEPT_BYTES);
	size_t payload_len = Min(message->payload_len, INTAKE_KEPT_BYTES);
	size_t size =
		sizeof(StoreLetter) + value_size(tenant.len) + value_size(key_len) + value_size(payload_len);
	StoreLetter *letter;
	char *at;

	if (intake->no_letters)
		return true;
	letter = MemoryContextAllocExtended(intake->letters, size, MCXT_ALLOC_NO_OOM);
	if (letter == NULL)
	{
		host_error(&intake->error, ERRCODE_OUT_OF_MEMORY, "out of memory for a letter");
		return false;
	}
	*letter = *about;
	letter->partition = message->partition;
	letter->offset = message->offset;
	letter->payload_bytes = message->payload_len;
	letter->kafka_time = message->timestamp;
	at = (char *) (letter + 1);
	letter->key = put_value(&at, message->key, key_len);
	letter->payload = put_value(&at, message->payload, payload_len);
	letter->tenant = put_value(&at, tenant.data, tenant.len);
	if (intake->last_letter == NULL)
		intake->session->letters = letter;
	else
		intake->last_letter->next = letter;
	intake->last_letter = letter;
	intake->letter_bytes += size;
	return true;
}

/* What each rule of the event's type made of it; `counted`: the event is in its lists. */
static void
count_rules(const Intake *intake, const TkEvent *event, bool counted)
{
	for (int i = 0; i < event->n_results; i++)
	{
		const TkRuleResult *result = &event->results[i];
		StoreRuleCounts *counts = &intake->session->rule_counts[result->rule_index];

		if (result->outcome == TK_FILTERED)
			counts->filtered++;
		else if (result->outcome == TK_NO_ITEM)
			counts->no_item++;
		else if (counted)
		{
			counts->counted++;
			counts->items += result->n_items;
		}
	}
}

/* It is older than its partition's watermark, which it has not moved. */
static bool
take_too_late(Intake *intake, StorePartition *partition, const ConsumerEvent *message, const TkEvent *event)
{
	partition->counts.too_late++;
	return !intake->session->config->keep_late ||
		   keep_letter(intake, message,
					   &(StoreLetter){.event_time = event->time,
									  .watermark = partition->clock.watermark,
									  .event_type = event->yields[0].rule->event_type},
					   event->tenant);
}

static bool
fail_count(Intake *intake, TkStatus status)
{
	host_error(&intake->error,
			   status == TK_NO_MEMORY ? ERRCODE_OUT_OF_MEMORY : ERRCODE_PROGRAM_LIMIT_EXCEEDED,
			   "could not count an event: %s", tk_status_text(status));
	return false;
}

/* What the event's tenant may do, for sources that limit tenants: see tenant.h. */
static TkAdmission
admit_event(Intake *intake, StorePartition *partition, const TkEvent *event, TkLateness lateness)
{
	TkPaneSet *panes = intake->session->panes;
	int slot = (int) (partition - intake->session->partitions);
	TkAdmission admission = tk_tenant_enabled(panes, event, slot);

	if (admission == TK_ADMITTED && lateness != TK_TOO_LATE)
		admission = tk_tenant_spend(panes, event, slot, partition->clock.max_event_time, event->n_yields);
	partition->counts.over_quota += admission == TK_OVER_QUOTA;
	partition->counts.tenant_disabled += admission == TK_TENANT_DISABLED;
	return admission;
}

/* An event that is in its lists. */
static bool
count_event(Intake *intake, StorePartition *partition, const TkEvent *event, TkLateness lateness)
{
	TkStatus status;

	partition->counts.counted++;
	partition->counts.late += lateness == TK_LATE;
	count_rules(intake, event, true);
	status = tk_pane_add(intake->session->panes, event);
	return status == TK_OK ? true : fail_count(intake, status);
}

/*
 * An event with an item: admitted by its tenant, then judged by the watermark just before it.  What is not of
 * a replay's stretch touches nothing.
 */
static bool
take_event(Intake *intake, StorePartition *partition, const ConsumerEvent *message, const TkEvent *event,
		   TkLateness lateness)
{
	TkAdmission admission;

	if (event->time < intake->from || event->time >= intake->until)
		return true;
	admission = intake->metered ? admit_event(intake, partition, event, lateness) : TK_ADMITTED;
	if (admission == TK_NOT_ADMITTED)
		return fail_count(intake, TK_NO_MEMORY);
	if (admission == TK_ADMITTED && lateness != TK_TOO_LATE)
		return count_event(intake, partition, event, lateness);
	count_rules(intake, event, false);
	return admission == TK_ADMITTED ? take_too_late(intake, partition, message, event) : true;
}

/* An event that is no dead letter. */
static bool
take_outcome(Intake *intake, StorePartition *partition, const ConsumerEvent *message, const TkEvent *event,
			 TkLateness lateness)
{
	StoreCounts *counts = &partition->counts;

	switch (event->outcome)
	{
		case TK_NO_RULE:
			counts->no_rule++;
			return true;
		case TK_NO_ITEM:
			counts->no_item++;
			count_rules(intake, event, false);
			return true;
		case TK_FILTERED:
			counts->filtered++;
			count_rules(intake, event, false);
			return true;
		case TK_TOMBSTONE:
			counts->tombstones++;
			return true;
		default:
			return take_event(intake, partition, message, event, lateness);
	}
}

/* Where the pane lies in the log; also of a dead letter, which other rules may be able to read. */
static bool
note_offset(Intake *intake, StorePartition *partition, const TkEvent *event, TkLateness lateness,
			int64 offset, int64 now)
{
	int64 pane_size = intake->session->config->extract.time.pane_size;

	if (lateness == TK_TOO_LATE ||
		tk_pane_offset_note(&partition->pane_offsets, pane_size, event->time, offset, &partition->clock, now))
		return true;
	host_error(&intake->error, ERRCODE_OUT_OF_MEMORY, "out of memory for the offsets of panes");
	return false;
}

static bool
take_message(Intake *intake, StorePartition *partition, const ConsumerEvent *message, int64 now)
{
	const TkTimeRules *rules = &intake->session->config->extract.time;
	StoreCounts *counts = &partition->counts;
	TkLateness lateness = TK_IN_TIME;
	TkEvent event;

	tk_extract(intake->extractor, message->payload, message->payload_len, message->timestamp, now, &event);
	if (event.outcome == TK_RETRY)
	{
		host_error(&intake->error, ERRCODE_OUT_OF_MEMORY, "out of memory to read a message");
		return false;
	}
	if (event.has_time)
	{
		lateness = tk_clock_judge(&partition->clock, rules, event.time);
		if (!note_offset(intake, partition, &event, lateness, message->offset, now))
			return false;
	}
	if (event.outcome != TK_DEAD && event.has_time)
		tk_clock_observe(&partition->clock, rules, event.time, now);
	else
		tk_clock_touch(&partition->clock);
	counts->events++;
	if (event.outcome != TK_DEAD)
		return take_outcome(intake, partition, message, &event, lateness);
	counts->dead_letters++;
	intake->letters_kept++;
	return keep_letter(intake, message, &(StoreLetter){.reason = event.reason}, (TkText){NULL, 0});
}

bool
intake_retake(Intake *intake, StoreRetry *retry, int64 now)
{
	const TkTimeRules *rules = &intake->session->config->extract.time;
	StorePartition *partition = intake->by_number[retry->partition];
	TkLateness lateness = TK_IN_TIME;
	TkEvent event;

	tk_extract(intake->extractor, retry->payload, retry->payload_len, retry->kafka_time, now, &event);
	if (event.outcome == TK_RETRY)
	{
		host_error(&intake->error, ERRCODE_OUT_OF_MEMORY, "out of memory to read a dead letter");
		return false;
	}
	partition->changed = true;
	retry->reason = event.reason;
	if (event.outcome == TK_DEAD)
		return true;
	if (event.has_time)
	{
		lateness = tk_clock_judge(&partition->clock, rules, event.time) == TK_IN_TIME ? TK_IN_TIME : TK_LATE;
		tk_clock_observe(&partition->clock, rules, event.time, now);
	}
	partition->counts.dead_letters--;
	return take_outcome(intake, partition, NULL, &event, lateness); /* never too late */
}

/*
 * A message before the next one to read.  The last one that was read is asked for again when a session
 * begins: if it has another time now, this is another log.
 */
static bool
check_known(Intake *intake, const StorePartition *partition, const ConsumerEvent *event)
{
	if (event->kind != CONSUMER_MESSAGE || event->offset != partition->next_offset - 1 ||
		partition->last_message_time == TK_NO_TIME || event->timestamp == partition->last_message_time)
		return true;
	intake->lost_log = partition->partition;
	host_error(&intake->error, ERRCODE_DATA_EXCEPTION,
			   "partition %d: the message at offset " INT64_FORMAT
			   " is not the one that was read there: the topic was created again",
			   partition->partition, event->offset);
	return false;
}

bool
intake_take(Intake *intake, const ConsumerEvent *event, int64 now)
{
	StorePartition *partition = event->partition >= 0 && event->partition < intake->n_by_number
									? intake->by_number[event->partition]
									: NULL;

	if (partition == NULL)
		return true; /* not ours */
	if (event->offset < partition->next_offset)
		return check_known(intake, partition, event);
	partition->changed = true;
	if (event->kind == CONSUMER_END)
	{
		/* What lies between the last message and the end are control records. */
		partition->next_offset = event->offset;
		partition->log_end = event->offset;
		tk_clock_set_at_end(&partition->clock, &intake->session->config->extract.time, true, now);
		return true;
	}
	if (!take_message(intake, partition, event, now))
		return false;
	partition->next_offset = event->offset + 1;
	partition->last_message_time = event->timestamp < 0 ? TK_NO_TIME : event->timestamp;
	return true;
}

void
intake_flushed(Intake *intake)
{
	intake->session->letters = NULL;
	intake->last_letter = NULL;
	intake->session->retries = NULL;
	MemoryContextReset(intake->letters);
	intake->letter_bytes = 0;
}
