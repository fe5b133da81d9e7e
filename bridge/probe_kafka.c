/*
 * probe_kafka.c - the probes that look at Kafka: can it be reached, and what do its messages look like.
 *
 * Nothing is consumed: partitions are assigned from offsets of our own, no offset is stored or committed, and
 * the consumer joins no group.  Every question to a broker is asked in short slices, so that a probe that is
 * cancelled ends soon.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "probe_worker.h"

#define SLICE_MS 1000
#define MEMORY_KB 16384                   /* of librdkafka's queue */
#define MAX_ROW_BYTES (64 * 1024)         /* of a payload or a key that a row shows */
#define MAX_HELD_BYTES (64 * 1024 * 1024) /* rows held before the newest are chosen */

/* ---------------------------------------------------------------- connecting */

/* Keeps the last failure that the library had to tell: what it returns is a mere timeout. */
static void
note_logs(Probe *probe)
{
	char line[sizeof(probe->last_log)];
	int level;

	while (consumer_next_log(probe->consumer, &level, line, sizeof(line)))
		if (level <= 3)
			strlcpy(probe->last_log, line, sizeof(probe->last_log));
}

static bool
open_consumer(Probe *probe)
{
	const SourceConfig *config = probe->config;
	ConsumerError error;

	probe->consumer =
		consumer_open(config->properties, config->n_properties, config->topic, MEMORY_KB, &error);
	return probe->consumer != NULL || probe_fail(probe, &error);
}

/* One question to the brokers: fills in what it is about, or an error. */
typedef bool (*Question)(Probe *probe, int timeout_ms, void *arg, ConsumerError *error);

/* Asks until there is an answer, another fault than an unreachable broker, or no time left. */
static bool
ask(Probe *probe, Question question, void *arg)
{
	ConsumerError error = {CONSUMER_UNREACHABLE, "no time was left to ask the brokers"};
	int ms;

	while ((ms = probe_time_left(probe, SLICE_MS)) > 0)
	{
		bool ok = question(probe, ms, arg, &error);

		host_check_interrupts();
		note_logs(probe);
		if (ok)
			return true;
		if (error.fault != CONSUMER_UNREACHABLE)
			break;
	}
	return probe_fail(probe, &error);
}

static bool
ask_partitions(Probe *probe, int timeout_ms, void *arg, ConsumerError *error)
{
	return consumer_partition_count(probe->consumer, timeout_ms, arg, error);
}

typedef struct Brokers
{
	char list[1024]; /* host:port, host:port */
} Brokers;

static bool
ask_brokers(Probe *probe, int timeout_ms, void *arg, ConsumerError *error)
{
	Brokers *brokers = arg;

	return consumer_brokers(probe->consumer, timeout_ms, brokers->list, sizeof(brokers->list), error);
}

typedef struct Range
{
	int partition;
	int64 low;
	int64 high;
} Range;

static bool
ask_range(Probe *probe, int timeout_ms, void *arg, ConsumerError *error)
{
	Range *range = arg;

	return consumer_log_range(probe->consumer, range->partition, timeout_ms, &range->low, &range->high,
							  error);
}

/* ---------------------------------------------------------------- check */

static void
append_number(StringInfo row, const char *name, int64 number)
{
	probe_json_name(row, name);
	appendStringInfo(row, INT64_FORMAT, number);
}

static void
append_text(StringInfo row, const char *name, const char *text, size_t len)
{
	probe_json_name(row, name);
	probe_json_text(row, text, len);
}

static void
send_partition(Probe *probe, const Brokers *brokers, const Range *range, bool reached)
{
	StringInfoData row;

	initStringInfo(&row);
	appendStringInfoChar(&row, '{');
	append_text(&row, "brokers", brokers->list, strlen(brokers->list));
	append_number(&row, "partition", range->partition);
	if (reached)
	{
		append_number(&row, "low", range->low);
		append_number(&row, "high", range->high);
	}
	else
		append_text(&row, "reason", probe->error.message, strlen(probe->error.message));
	appendStringInfoChar(&row, '}');
	probe_send(probe, PROBE_ROW, row.data, row.len);
	pfree(row.data);
}

bool
probe_check(Probe *probe)
{
	Brokers brokers;
	int n;

	if (!open_consumer(probe) || !ask(probe, ask_partitions, &n) || !ask(probe, ask_brokers, &brokers))
		return false;
	for (int i = 0; i < n; i++)
	{
		Range range = {.partition = i};
		bool reached = ask(probe, ask_range, &range);

		send_partition(probe, &brokers, &range, reached);
	}
	return true;
}

/* ---------------------------------------------------------------- preview */

/* A message that was read, ready to be sent. */
typedef struct Seen
{
	int64 timestamp;
	int partition;
	int64 offset;
	char *json;
} Seen;

typedef struct Preview
{
	int n_partitions;
	Range *ranges; /* from the first offset wanted to the end as it was at the beginning */
	int *taken;    /* of each partition */
	int n_open;    /* partitions that more is wanted of */
	bool *done;
	Seen *seen;
	int n_seen;
	int room;
	size_t bytes;
} Preview;

/* Where to begin in a partition: never outside of its log. */
static int64
first_wanted(const Probe *probe, const Range *range)
{
	int64 first = range->low;

	if (probe->request->start == PROBE_LATEST)
		first = range->high - probe->request->n;
	else if (probe->request->start == PROBE_NEXT && range->partition < probe->n_next_offsets)
		first = probe->next_offsets[range->partition];
	return Min(Max(first, range->low), range->high);
}

static bool
find_ranges(Probe *probe, Preview *preview)
{
	if (!ask(probe, ask_partitions, &preview->n_partitions))
		return false;
	preview->ranges = palloc0(sizeof(Range) * preview->n_partitions);
	preview->taken = palloc0(sizeof(int) * preview->n_partitions);
	preview->done = palloc0(sizeof(bool) * preview->n_partitions);
	for (int i = 0; i < preview->n_partitions; i++)
	{
		preview->ranges[i].partition = i;
		if (!ask(probe, ask_range, &preview->ranges[i]))
			return false;
		preview->ranges[i].low = first_wanted(probe, &preview->ranges[i]);
	}
	return true;
}

static bool
assign(Probe *probe, Preview *preview)
{
	int32 *partitions = palloc(sizeof(int32) * preview->n_partitions);
	int64 *offsets = palloc(sizeof(int64) * preview->n_partitions);
	ConsumerError error;

	for (int i = 0; i < preview->n_partitions; i++)
	{
		preview->done[i] = preview->ranges[i].low >= preview->ranges[i].high;
		if (preview->done[i])
			continue;
		partitions[preview->n_open] = i;
		offsets[preview->n_open++] = preview->ranges[i].low;
	}
	return preview->n_open == 0 ||
		   consumer_assign(probe->consumer, partitions, offsets, preview->n_open, &error) ||
		   probe_fail(probe, &error);
}

/* Bytes of a message: as text if they are some, else in hexadecimal; cut, if they are many. */
static void
append_bytes(StringInfo row, const char *name, const char *data, size_t len)
{
	size_t shown = Min(len, MAX_ROW_BYTES);

	if (data == NULL)
		return;
	if (shown == len && pg_verify_mbstr(PG_UTF8, data, (int) len, true))
	{
		append_text(row, name, data, len);
		return;
	}
	probe_json_name(row, psprintf("%s_hex", name));
	appendStringInfoChar(row, '"');
	for (size_t i = 0; i < shown; i++)
		appendStringInfo(row, "%02x", (unsigned char) data[i]);
	appendStringInfoChar(row, '"');
}

static char *
describe(Probe *probe, const ConsumerEvent *message)
{
	StringInfoData row;
	TkEvent event;

	initStringInfo(&row);
	appendStringInfoChar(&row, '{');
	append_number(&row, "partition", message->partition);
	append_number(&row, "offset", message->offset);
	if (message->timestamp >= 0)
		append_number(&row, "kafka_time", message->timestamp);
	append_bytes(&row, "key", message->key, message->key_len);
	append_bytes(&row, "payload", message->payload, message->payload_len);
	append_number(&row, "payload_bytes", message->payload_len);
	tk_extract(probe->extractor, message->payload, message->payload_len, message->timestamp, host_now(),
			   &event);
	probe_json_event(&row, probe, &event);
	appendStringInfoChar(&row, '}');
	return row.data;
}

static void
close_partition(Preview *preview, int partition)
{
	if (preview->done[partition])
		return;
	preview->done[partition] = true;
	preview->n_open--;
}

static void
take_message(Probe *probe, Preview *preview, const ConsumerEvent *message)
{
	int partition = message->partition;
	Seen *seen;

	if (preview->done[partition] || message->offset >= preview->ranges[partition].high)
	{
		close_partition(preview, partition);
		return;
	}
	if (preview->n_seen == preview->room)
	{
		preview->room = Max(preview->room * 2, 64);
		preview->seen = preview->seen == NULL ? palloc(sizeof(Seen) * preview->room)
											  : repalloc(preview->seen, sizeof(Seen) * preview->room);
	}
	seen = &preview->seen[preview->n_seen++];
	*seen = (Seen){message->timestamp, partition, message->offset, describe(probe, message)};
	preview->bytes += strlen(seen->json);
	if (++preview->taken[partition] == probe->request->n ||
		message->offset + 1 >= preview->ranges[partition].high)
		close_partition(preview, partition);
}

static bool
take_events(Probe *probe, Preview *preview, const ConsumerEvent *events, int n)
{
	for (int i = 0; i < n; i++)
	{
		const ConsumerEvent *event = &events[i];

		if (event->kind == CONSUMER_MESSAGE)
			take_message(probe, preview, event);
		else if (event->kind == CONSUMER_END)
			close_partition(preview, event->partition);
		else if (event->fault != CONSUMER_UNREACHABLE)
		{
			host_error(&probe->error, ERRCODE_CONNECTION_FAILURE, "%s", event->message);
			return false;
		}
	}
	return true;
}

/* Until every partition has given what is wanted of it.  What came in time is shown if time runs out. */
static bool
read_messages(Probe *probe, Preview *preview)
{
	while (preview->n_open > 0 && probe_time_left(probe, SLICE_MS) > 0 && preview->bytes < MAX_HELD_BYTES)
	{
		const ConsumerEvent *events;
		int n = consumer_read(probe->consumer, probe->request->n, &events);

		if (n > 0 && !take_events(probe, preview, events, n))
			return false;
		note_logs(probe);
		host_check_interrupts();
		if (n == 0)
			host_wait(10);
	}
	if (preview->n_open == 0 || preview->n_seen > 0)
		return true;
	return probe_fail(probe, &(ConsumerError){CONSUMER_UNREACHABLE, "no message came in time"});
}

/* By Kafka's time. */
static int
compare_seen(const void *a, const void *b)
{
	const Seen *x = a;
	const Seen *y = b;

	if (x->timestamp != y->timestamp)
		return x->timestamp < y->timestamp ? -1 : 1;
	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

bool
probe_preview(Probe *probe)
{
	Preview preview = {0};
	int first;
	int last;

	if (!open_consumer(probe) || !find_ranges(probe, &preview) || !assign(probe, &preview) ||
		!read_messages(probe, &preview))
		return false;
	if (preview.n_seen > 1)
		qsort(preview.seen, preview.n_seen, sizeof(Seen), compare_seen);
	first = probe->request->start == PROBE_LATEST ? Max(preview.n_seen - probe->request->n, 0) : 0;
	last = Min(first + probe->request->n, preview.n_seen);
	for (int i = first; i < last; i++)
		probe_send(probe, PROBE_ROW, preview.seen[i].json, strlen(preview.seen[i].json));
	return true;
}
