/*
 * replay_read.c - the part of a replay that reads ranges of offsets from Kafka (see replay.c).
 */
#include "postgres.h"

#include "pgstat.h"
#include "storage/latch.h"

#include "replay.h"

#define READ_BATCH 2048

static Verdict
fail_consumer(Replay *replay, const ConsumerError *error)
{
	host_error(&replay->error, ERRCODE_CONNECTION_FAILURE, "%s", error->message);
	return TRY_LATER;
}

/* Collects what is unread into the arrays, if Kafka still holds it. */
static Verdict
find_unread(Replay *replay, int32 *partitions, int64 *offsets, int *n)
{
	for (int i = 0; i < replay->store.n_ranges; i++)
	{
		const StorePartition *p = &replay->store.session.partitions[i];
		ConsumerError error;
		int64 low;
		int64 high;

		if (p->next_offset >= replay->store.ranges[i].end)
			continue;
		if (!consumer_log_range(replay->consumer, p->partition, METADATA_TIMEOUT_MS, &low, &high, &error))
			return fail_consumer(replay, &error);
		if (low > p->next_offset || high < replay->store.ranges[i].end)
			return replay_give_up(
				replay, psprintf("partition %d: Kafka holds offsets " INT64_FORMAT " to " INT64_FORMAT
								 ", and not all of " INT64_FORMAT " to " INT64_FORMAT " any more",
								 p->partition, low, high, p->next_offset, replay->store.ranges[i].end));
		partitions[*n] = p->partition;
		offsets[(*n)++] = p->next_offset;
		host_check_interrupts();
	}
	return GO_ON;
}

/* The wall clock when this message was read first, or a little earlier. */
static int64
reading_time(ReplayRange *range, const ConsumerEvent *event, int64 now)
{
	while (range->reading + 1 < range->n_readings &&
		   range->readings[range->reading + 1].offset <= event->offset)
		range->reading++;
	return range->n_readings == 0 ? now : Min(now, Max(event->timestamp, range->readings[range->reading].at));
}

/* Counts a message; what it was as a dead letter, it is no longer. */
static bool
take_message(Replay *replay, StorePartition *p, const ConsumerEvent *event, int64 now)
{
	int64 counted = p->counts.counted;
	bool ok = intake_take(replay->intake, event, now);

	if (p->counts.counted > counted)
		replay_note_counted(&replay->store, event->partition, event->offset);
	return ok;
}

/* A message beyond the range, or the log's end, tells that all of the range has been seen. */
static bool
take_event(Replay *replay, const ConsumerEvent *event, int64 now)
{
	StorePartition *p = replay->intake->by_number[event->partition];
	ReplayRange *range = &replay->store.ranges[p - replay->store.session.partitions];

	if (event->kind == CONSUMER_MESSAGE && event->offset < range->end)
		return take_message(replay, p, event, reading_time(range, event, now));
	if (event->offset < range->end)
	{
		host_error(&replay->intake->error, ERRCODE_DATA_EXCEPTION,
				   "partition %d: the log ends at offset " INT64_FORMAT ", before " INT64_FORMAT,
				   event->partition, event->offset, range->end);
		return false;
	}
	p->next_offset = Max(p->next_offset, range->end);
	return true;
}

static Verdict
take_fault(Replay *replay, const ConsumerEvent *event)
{
	if (event->fault == CONSUMER_UNREACHABLE)
		return GO_ON; /* librdkafka reconnects by itself */
	host_error(&replay->error, ERRCODE_CONNECTION_FAILURE, "partition %d, offset " INT64_FORMAT ": %s",
			   event->partition, event->offset, event->message);
	return TRY_LATER;
}

static Verdict
read_batch(Replay *replay, int *n)
{
	const ConsumerEvent *events;
	int64 now = host_now();

	*n = consumer_read(replay->consumer, READ_BATCH, &events);
	for (int i = 0; i < *n; i++)
	{
		Verdict verdict = events[i].kind == CONSUMER_FAULT ? take_fault(replay, &events[i]) : GO_ON;

		if (verdict != GO_ON)
			return verdict;
		if (events[i].kind != CONSUMER_FAULT && !take_event(replay, &events[i], now))
		{
			replay->error = replay->intake->error;
			return TRY_LATER;
		}
	}
	return GO_ON;
}

static void
wait_for_messages(Replay *replay)
{
	int events =
		WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						  consumer_fd(replay->consumer), IDLE_WAIT_MS, PG_WAIT_EXTENSION);

	if (events & WL_SOCKET_READABLE)
		consumer_clear_fd(replay->consumer);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
}

int64
replay_unread(const Replay *replay)
{
	int64 sum = 0;

	for (int i = 0; i < replay->store.n_ranges; i++)
		sum += Max(replay->store.ranges[i].end - replay->store.session.partitions[i].next_offset, 0);
	return sum;
}

/* The hold has a time limit, after which workers go on. */
static bool
hold_is_over(const Replay *replay)
{
	return replay->held && host_now() > replay->held_until;
}

static Verdict
read_assigned(Replay *replay)
{
	while (replay_unread(replay) > 0 && !hold_is_over(replay))
	{
		Verdict verdict;
		int n;

		host_check_interrupts();
		if (host_should_stop())
			return EXIT;
		verdict = read_batch(replay, &n);
		if (verdict == GO_ON)
			verdict = replay_stage_if_due(replay);
		if (verdict != GO_ON)
			return verdict;
		if (n == 0)
			wait_for_messages(replay);
	}
	return GO_ON;
}

void
replay_close_consumer(Replay *replay)
{
	if (replay->consumer != NULL && !consumer_close(replay->consumer))
	{
		replay->lingering = true;
		host_abandon_threads();
	}
	replay->consumer = NULL;
}

/* Reads the ranges to their ends, with a consumer that knows nothing of an earlier pass. */
Verdict
replay_read_pass(Replay *replay)
{
	const SourceConfig *config = replay->store.config;
	int32 *partitions = MemoryContextAlloc(replay->store.context, sizeof(int32) * replay->store.n_ranges);
	int64 *offsets = MemoryContextAlloc(replay->store.context, sizeof(int64) * replay->store.n_ranges);
	ConsumerError error;
	Verdict verdict;
	int n = 0;

	if (replay_unread(replay) == 0)
		return GO_ON;
	replay->consumer = consumer_open(config->properties, config->n_properties, config->topic,
									 host_setting("topk.prefetch_memory"), &error);
	if (replay->consumer == NULL)
		return fail_consumer(replay, &error);
	verdict = find_unread(replay, partitions, offsets, &n);
	if (verdict == GO_ON && !consumer_assign(replay->consumer, partitions, offsets, n, &error))
		verdict = fail_consumer(replay, &error);
	if (verdict == GO_ON)
		verdict = read_assigned(replay);
	replay_close_consumer(replay);
	return verdict;
}
