/*
 * store_letter.c - messages that are kept as they came (see store.h): those that could not be read in
 * topk.dead_letter, and, if the source says so, those that were too late in topk.late_event.  A flush writes
 * them, and removes the dead letters that were read again.
 *
 * Dead letters are gathered by partition and reason into blocks (store_block.h); what is too large for one,
 * or is alone, becomes a row.  Of one partition and reason, ids are in the order of the offsets.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "spi_util.h"
#include "store.h"
#include "store_block.h"
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

/* ---- late events ---- */

static const StoreLetter *
skip(const StoreLetter *letter, bool dead)
{
	while (letter != NULL && (letter->reason != TK_REASON_NONE) == dead)
		letter = letter->next;
	return letter;
}

static void
flush_late_events(const StoreSession *session)
{
	static const char *const columns[] = {
		"source_id",  "partition", "kafka_offset", "key",        "payload", "payload_bytes",
		"event_time", "watermark", "tenant",       "event_type", NULL};
	const StoreLetter *letter = skip(session->letters, true);
	LetterRow row = {.session = session};
	StoreInsert *insert;

	if (letter == NULL)
		return;
	insert = store_insert_begin("late_event", columns, STORE_INSERT_ROWS);
	for (; letter != NULL; letter = skip(letter->next, true))
	{
		row.n = 0;
		fill_late_event(&row, letter);
		store_insert_row(insert, row.values, row.nulls);
	}
	store_insert_end(insert);
}

/* ---- dead letters ---- */

/* One that becomes a row. */
typedef struct SingleLetter
{
	const StoreLetter *letter;
	int64 id;
	struct SingleLetter *next;
} SingleLetter;

/* The dead letters of a flush, on their way into blocks and rows. */
typedef struct DeadLetters
{
	const StoreSession *session;
	Oid ids;              /* the sequence */
	StoreBlock **pending; /* [n_partitions * TK_N_REASONS]; NULL: no letter */
	int slot;             /* of the last letter's partition in the session */
	StoreBlock *blocks, **next_block;
	SingleLetter *singles, **next_single;
} DeadLetters;

static int64
next_id(const DeadLetters *dead)
{
	return nextval_internal(dead->ids, true);
}

static void
keep_single(DeadLetters *dead, const StoreLetter *letter)
{
	SingleLetter *single = palloc(sizeof(SingleLetter));

	*single = (SingleLetter){letter, next_id(dead), NULL};
	*dead->next_single = single;
	dead->next_single = &single->next;
}

/* Nothing is added to the block any more.  It gets its id before any later letter does, so that ids follow
 * offsets.
 */
static void
settle(DeadLetters *dead, StoreBlock **pending, int least)
{
	StoreBlock *block = *pending;

	if (block == NULL)
		return;
	*pending = NULL;
	if (block->n < least)
	{
		for (int i = 0; i < block->n; i++)
			keep_single(dead, block->letters[i]);
		return;
	}
	block->id = next_id(dead);
	*dead->next_block = block;
	dead->next_block = &block->next;
}

static int
compare_partitions(const void *number, const void *partition)
{
	int32 a = *(const int32 *) number;
	int32 b = ((const StorePartition *) partition)->partition;

	return (a > b) - (a < b);
}

/* Letters come from one partition many at a time. */
static int
find_slot(const DeadLetters *dead, int32 number)
{
	const StoreSession *session = dead->session;
	const StorePartition *found;

	if (session->partitions[dead->slot].partition == number)
		return dead->slot;
	found = bsearch(&number, session->partitions, session->n_partitions, sizeof(StorePartition),
					compare_partitions);
	if (found == NULL)
		elog(ERROR, "a letter of partition %d, which is not this worker's", number);
	return (int) (found - session->partitions);
}

static void
gather(DeadLetters *dead, const StoreLetter *letter)
{
	StoreBlock **pending;

	dead->slot = find_slot(dead, letter->partition);
	pending = &dead->pending[dead->slot * TK_N_REASONS + letter->reason];
	if (!store_block_takes(letter))
	{
		settle(dead, pending, STORE_BLOCK_LEAST);
		keep_single(dead, letter);
		return;
	}
	if (*pending != NULL && !store_block_has_room(*pending, letter))
		settle(dead, pending, 1);
	if (*pending == NULL)
		*pending = palloc0(sizeof(StoreBlock));
	store_block_add(*pending, letter);
}

static void
gather_all(DeadLetters *dead, const StoreLetter *letter)
{
	int n_pending = dead->session->n_partitions * TK_N_REASONS;

	dead->ids = RangeVarGetRelid(makeRangeVar(pstrdup("topk"), pstrdup("dead_letter_id"), -1), NoLock, false);
	dead->pending = palloc0(sizeof(StoreBlock *) * n_pending);
	dead->next_block = &dead->blocks;
	dead->next_single = &dead->singles;
	for (; letter != NULL; letter = skip(letter->next, false))
		gather(dead, letter);
	for (int i = 0; i < n_pending; i++)
		settle(dead, &dead->pending[i], STORE_BLOCK_LEAST);
}

static void
insert_singles(LetterRow *row, const SingleLetter *single)
{
	static const char *const columns[] = {
		"source_id", "partition",  "kafka_offset",   "key", "payload", "payload_bytes", "topic",
		"reason",    "kafka_time", "dead_letter_id", NULL};
	StoreInsert *insert = store_insert_begin("dead_letter_row", columns, STORE_INSERT_ROWS);

	for (; single != NULL; single = single->next)
	{
		row->n = 0;
		fill_dead_letter(row, single->letter);
		put(row, Int64GetDatum(single->id));
		store_insert_row(insert, row->values, row->nulls);
	}
	store_insert_end(insert);
}

static void
insert_blocks(LetterRow *row, const StoreBlock *block)
{
	StoreInsert *insert = store_block_begin();

	for (; block != NULL; block = block->next)
		store_block_write(insert, row->session, block, row->topic,
						  reason_text(row, block->letters[0]->reason));
	store_insert_end(insert);
}

static void
flush_dead_letters(const StoreSession *session)
{
	const StoreLetter *letter = skip(session->letters, false);
	LetterRow row = {.session = session};
	DeadLetters dead = {.session = session};

	if (letter == NULL)
		return;
	row.topic = CStringGetTextDatum(session->config->topic);
	gather_all(&dead, letter);
	if (dead.blocks != NULL)
		insert_blocks(&row, dead.blocks);
	if (dead.singles != NULL)
		insert_singles(&row, dead.singles);
}

void
store_flush_letters(const StoreSession *session)
{
	flush_dead_letters(session);
	flush_late_events(session);
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
									 "topk.dead_letter_row WHERE source_id = $1 AND "
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
		"DELETE FROM topk.dead_letter_row WHERE source_id = $1 AND dead_letter_id = $2 AND queued",
		2,
		{INT4OID, INT8OID},
		NULL};
	static SpiStatement dead = {
		"UPDATE topk.dead_letter_row SET queued = false, retries = retries + 1, reason = $3 "
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
