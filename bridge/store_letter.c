/*
 * store_letter.c - messages that are kept as they came (see store.h): those that could not be read in
 * topk.dead_letter, and, if the source says so, those that were too late in topk.late_event.  A flush writes
 * them, and removes the dead letters that were read again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "spi_util.h"
#include "store.h"
#include "store_insert.h"

#define MOST_COLUMNS 10

/* A row for the table of dead letters, or of late events; and texts that many rows have. */
typedef struct LetterRow
{
	const StoreSession *session;
	int n;
	Datum values[MOST_COLUMNS];
	bool nulls[MOST_COLUMNS];
	Datum topic;
	Datum reasons[TK_N_REASONS]; /* 0: not needed so far */
	const char *event_type;      /* that of the last row */
	Datum event_type_text;
} LetterRow;

/* A table that keeps letters. */
typedef struct LetterTable
{
	const char *name;
	bool dead;                             /* which letters it keeps */
	const char *columns[MOST_COLUMNS + 1]; /* as fill() puts them, and NULL */
	void (*fill)(LetterRow *row, const StoreLetter *letter);
} LetterTable;

/* ---- rows ---- */

static void
put(LetterRow *row, Datum value)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = false;
}

static void
put_null(LetterRow *row)
{
	row->values[row->n] = (Datum) 0;
	row->nulls[row->n++] = true;
}

static void
put_bytes(LetterRow *row, const bytea *bytes)
{
	if (bytes == NULL)
		put_null(row);
	else
		put(row, PointerGetDatum(bytes));
}

static void
put_time(LetterRow *row, int64 us)
{
	put(row, TimestampTzGetDatum(host_to_timestamp(us)));
}

/* What both tables have: source_id, partition, kafka_offset, key, payload, payload_bytes. */
static void
put_message(LetterRow *row, const StoreLetter *letter)
{
	put(row, Int32GetDatum(row->session->config->source_id));
	put(row, Int32GetDatum(letter->partition));
	put(row, Int64GetDatum(letter->offset));
	put_bytes(row, letter->key);
	put_bytes(row, letter->payload);
	put(row, Int64GetDatum((int64) letter->payload_bytes));
}

static Datum
reason_text(LetterRow *row, TkReason reason)
{
	if (row->reasons[reason] == (Datum) 0)
		row->reasons[reason] = CStringGetTextDatum(tk_reason_name(reason));
	return row->reasons[reason];
}

static Datum
event_type_text(LetterRow *row, const char *event_type)
{
	if (row->event_type != event_type)
		row->event_type_text = CStringGetTextDatum(event_type);
	row->event_type = event_type;
	return row->event_type_text;
}

static void
fill_dead_letter(LetterRow *row, const StoreLetter *letter)
{
	put_message(row, letter);
	put(row, row->topic);
	put(row, reason_text(row, letter->reason));
	if (letter->kafka_time < 0)
		put_null(row);
	else
		put_time(row, letter->kafka_time);
}

static void
fill_late_event(LetterRow *row, const StoreLetter *letter)
{
	put_message(row, letter);
	put_time(row, letter->event_time);
	put_time(row, letter->watermark);
	put(row, PointerGetDatum(letter->tenant));
	put(row, event_type_text(row, letter->event_type));
}

static const LetterTable letter_tables[] = {
	{"dead_letter",
	 true,
	 {"source_id", "partition", "kafka_offset", "key", "payload", "payload_bytes", "topic", "reason",
	  "kafka_time"},
	 fill_dead_letter},
	{"late_event",
	 false,
	 {"source_id", "partition", "kafka_offset", "key", "payload", "payload_bytes", "event_time", "watermark",
	  "tenant", "event_type"},
	 fill_late_event},
};

static const StoreLetter *
skip_others(const LetterTable *table, const StoreLetter *letter)
{
	while (letter != NULL && (letter->reason != TK_REASON_NONE) != table->dead)
		letter = letter->next;
	return letter;
}

static void
insert_letters(const StoreSession *session, const LetterTable *table)
{
	const StoreLetter *letter = skip_others(table, session->letters);
	LetterRow row = {.session = session};
	StoreInsert *insert;

	if (letter == NULL)
		return;
	row.topic = CStringGetTextDatum(session->config->topic);
	insert = store_insert_begin(table->name, table->columns);
	for (; letter != NULL; letter = skip_others(table, letter->next))
	{
		row.n = 0;
		table->fill(&row, letter);
		store_insert_row(insert, row.values, row.nulls);
	}
	store_insert_end(insert);
}

void
store_flush_letters(const StoreSession *session)
{
	for (int i = 0; i < (int) lengthof(letter_tables); i++)
		insert_letters(session, &letter_tables[i]);
}

/* ---- dead letters that are read again ---- */

static StoreRetry *
copy_retry(uint64 row, MemoryContext context)
{
	StoreRetry *retry = MemoryContextAllocZero(context, sizeof(StoreRetry));
	bytea *payload = DatumGetByteaPP(spi_datum(row, 3));

	retry->dead_letter_id = spi_int64(row, 1);
	retry->partition = spi_int32(row, 2);
	retry->payload_len = VARSIZE_ANY_EXHDR(payload);
	retry->payload =
		memcpy(MemoryContextAlloc(context, retry->payload_len + 1), VARDATA_ANY(payload), retry->payload_len);
	retry->kafka_time = store_time_or_none(row, 4);
	if (retry->kafka_time == TK_NO_TIME)
		retry->kafka_time = -1;
	return retry;
}

void
store_read_retries(void *arg)
{
	static SpiStatement statement = {"SELECT dead_letter_id, partition, payload, kafka_time FROM "
									 "topk.dead_letter WHERE source_id = $1 AND "
									 "partition = ANY ($2) AND queued ORDER BY dead_letter_id LIMIT 500",
									 2,
									 {INT4OID, INT4ARRAYOID},
									 NULL};
	StoreRetries *retries = arg;
	StoreRetry **next = &retries->first;
	Datum values[] = {Int32GetDatum(retries->session->config->source_id),
					  store_partition_array(retries->session)};

	store_limit_step(retries->session);
	retries->n = (int) spi_run(&statement, values, NULL);
	for (int i = 0; i < retries->n; i++)
	{
		*next = copy_retry(i, retries->context);
		next = &(*next)->next;
	}
}

/* A letter that was purged or read by somebody else meanwhile must not be counted: the flush fails. */
static void
flush_retry(const StoreSession *session, const StoreRetry *retry)
{
	static SpiStatement done = {
		"DELETE FROM topk.dead_letter WHERE source_id = $1 AND dead_letter_id = $2 AND queued",
		2,
		{INT4OID, INT8OID},
		NULL};
	static SpiStatement dead = {
		"UPDATE topk.dead_letter SET queued = false, retries = retries + 1, reason = $3 "
		"WHERE source_id = $1 AND dead_letter_id = $2 AND queued",
		3,
		{INT4OID, INT8OID, TEXTOID},
		NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id), Int64GetDatum(retry->dead_letter_id),
					  CStringGetTextDatum(tk_reason_name(retry->reason))};

	if (spi_run(retry->reason == TK_REASON_NONE ? &done : &dead, values, NULL) != 1)
		store_fenced("a dead letter");
}

void
store_flush_retries(const StoreSession *session)
{
	for (const StoreRetry *retry = session->retries; retry != NULL; retry = retry->next)
		flush_retry(session, retry);
}
