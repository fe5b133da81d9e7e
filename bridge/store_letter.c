/*
 * store_letter.c - messages that are kept as they came (see store.h): those that could not be read in
 * topk.dead_letter, and, if the source says so, those that were too late in topk.late_event.  A flush writes
 * them, and removes the dead letters that were read again.
 *
 * There can be many, so they come by COPY, which writes a page of rows at once:
 *
 *     PGCOPY\n\377\r\n\0   int32 flags = 0   int32 extension = 0
 *     for each letter:  int16 columns,  for each column: int32 length (-1: NULL), bytes
 *     int16 -1
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "libpq/pqformat.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "spi_util.h"
#include "store.h"

static const char signature[] = "PGCOPY\n\377\r\n"; /* its closing zero is part of it */

/* A table that keeps letters. */
typedef struct LetterTable
{
	const char *name;
	bool dead;               /* which letters it keeps */
	const char *columns[12]; /* as encode() writes them, and NULL */
	void (*encode)(StringInfo row, const StoreSession *session, const StoreLetter *letter);
} LetterTable;

/* The COPY that is under way.  COPY calls back without an argument. */
static struct
{
	const StoreSession *session;
	const LetterTable *table;
	const StoreLetter *next;
	bool ended;          /* the trailer is in the buffer */
	StringInfoData data; /* of one letter; what is before data.cursor has been taken */
} copying;

/* ---- rows ---- */

static void
put_int4(StringInfo row, int32 value)
{
	pq_sendint32(row, sizeof(value));
	pq_sendint32(row, (uint32) value);
}

static void
put_int8(StringInfo row, int64 value)
{
	pq_sendint32(row, sizeof(value));
	pq_sendint64(row, (uint64) value);
}

/* text or bytea; the database's encoding is that of its messages, so text is as it came */
static void
put_bytes(StringInfo row, const char *bytes, size_t len)
{
	pq_sendint32(row, (uint32) len);
	appendBinaryStringInfo(row, bytes, (int) len);
}

static void
put_text(StringInfo row, const char *text)
{
	put_bytes(row, text, strlen(text));
}

static void
put_null(StringInfo row)
{
	pq_sendint32(row, (uint32) -1);
}

static void
put_nullable(StringInfo row, const char *bytes, size_t len)
{
	if (bytes == NULL)
		put_null(row);
	else
		put_bytes(row, bytes, len);
}

/* What both tables have: source_id, partition, kafka_offset, key, payload, payload_bytes. */
static void
put_message(StringInfo row, const StoreSession *session, const StoreLetter *letter)
{
	put_int4(row, session->config->source_id);
	put_int4(row, letter->partition);
	put_int8(row, letter->offset);
	put_nullable(row, letter->key, letter->key_len);
	put_nullable(row, letter->payload, letter->payload_len);
	put_int8(row, (int64) letter->payload_bytes);
}

static void
encode_dead_letter(StringInfo row, const StoreSession *session, const StoreLetter *letter)
{
	put_message(row, session, letter);
	put_text(row, session->config->topic);
	put_text(row, tk_reason_name(letter->reason));
	if (letter->kafka_time < 0)
		put_null(row);
	else
		put_int8(row, host_to_timestamp(letter->kafka_time));
}

static void
encode_late_event(StringInfo row, const StoreSession *session, const StoreLetter *letter)
{
	put_message(row, session, letter);
	put_int8(row, host_to_timestamp(letter->event_time));
	put_int8(row, host_to_timestamp(letter->watermark));
	put_bytes(row, letter->tenant.data, letter->tenant.len);
	put_text(row, letter->event_type);
}

static const LetterTable letter_tables[] = {
	{"dead_letter",
	 true,
	 {"source_id", "partition", "kafka_offset", "key", "payload", "payload_bytes", "topic", "reason",
	  "kafka_time"},
	 encode_dead_letter},
	{"late_event",
	 false,
	 {"source_id", "partition", "kafka_offset", "key", "payload", "payload_bytes", "event_time", "watermark",
	  "tenant", "event_type"},
	 encode_late_event},
};

/* ---- COPY ---- */

static int
n_columns(const LetterTable *table)
{
	int n = 0;

	while (table->columns[n] != NULL)
		n++;
	return n;
}

static const StoreLetter *
skip_others(const LetterTable *table, const StoreLetter *letter)
{
	while (letter != NULL && (letter->reason != TK_REASON_NONE) != table->dead)
		letter = letter->next;
	return letter;
}

/* Puts the next letter, or the trailer, into the empty buffer. */
static void
encode_next(void)
{
	const StoreLetter *letter = copying.next;

	resetStringInfo(&copying.data);
	copying.ended = letter == NULL;
	if (copying.ended)
	{
		pq_sendint16(&copying.data, (uint16) -1);
		return;
	}
	pq_sendint16(&copying.data, (uint16) n_columns(copying.table));
	copying.table->encode(&copying.data, copying.session, letter);
	copying.next = skip_others(copying.table, letter->next);
}

/* COPY asks for at least `least` bytes, unless it is the end, and takes at most `most`. */
static int
give_bytes(void *target, int least, int most)
{
	int given = 0;

	while (given < least)
	{
		int left = copying.data.len - copying.data.cursor;
		int n = Min(left, most - given);

		if (left == 0 && copying.ended)
			break;
		memcpy((char *) target + given, copying.data.data + copying.data.cursor, n);
		copying.data.cursor += n;
		given += n;
		if (n == left && !copying.ended)
			encode_next();
	}
	return given;
}

static void
begin_copying(const StoreSession *session, const LetterTable *table, const StoreLetter *first)
{
	copying.session = session;
	copying.table = table;
	copying.next = first;
	copying.ended = false;
	initStringInfo(&copying.data);
	appendBinaryStringInfo(&copying.data, signature, sizeof(signature));
	pq_sendint32(&copying.data, 0);
	pq_sendint32(&copying.data, 0);
}

static List *
names_of(const LetterTable *table)
{
	List *names = NIL;

	for (int i = 0; i < n_columns(table); i++)
		names = lappend(names, makeString(pstrdup(table->columns[i])));
	return names;
}

static void
copy_letters(const StoreSession *session, const LetterTable *table)
{
	const StoreLetter *first = skip_others(table, session->letters);
	List *options = list_make1(makeDefElem("format", (Node *) makeString(pstrdup("binary")), -1));
	ParseState *parse;
	Relation relation;
	CopyFromState copy;

	if (first == NULL)
		return;
	begin_copying(session, table, first);
	parse = make_parsestate(NULL);
	relation = table_openrv(makeRangeVar(pstrdup("topk"), pstrdup(table->name), -1), RowExclusiveLock);
	(void) addRangeTableEntryForRelation(parse, relation, RowExclusiveLock, NULL, false, false);
	copy = BeginCopyFrom(parse, relation, NULL, NULL, false, give_bytes, names_of(table), options);
	(void) CopyFrom(copy);
	EndCopyFrom(copy);
	table_close(relation, NoLock);
	free_parsestate(parse);
	pfree(copying.data.data);
}

void
store_flush_letters(const StoreSession *session)
{
	for (int i = 0; i < (int) lengthof(letter_tables); i++)
		copy_letters(session, &letter_tables[i]);
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
