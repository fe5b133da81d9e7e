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

/* text and bytea are laid out alike */
static Datum
bytes_datum(const char *bytes, size_t len, char *null)
{
	*null = bytes == NULL ? 'n' : ' ';
	return bytes == NULL ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(bytes, (int) len));
}

static void
flush_dead_letter(const StoreSession *session, const StoreLetter *letter)
{
	static SpiStatement statement = {
		"INSERT INTO topk.dead_letter (source_id, topic, partition, kafka_offset, key, payload, "
		"payload_bytes, reason, kafka_time) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		9,
		{INT4OID, TEXTOID, INT4OID, INT8OID, BYTEAOID, BYTEAOID, INT8OID, TEXTOID, TIMESTAMPTZOID},
		NULL};
	char nulls[] = "         ";
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  CStringGetTextDatum(session->config->topic),
					  Int32GetDatum(letter->partition),
					  Int64GetDatum(letter->offset),
					  bytes_datum(letter->key, letter->key_len, &nulls[4]),
					  bytes_datum(letter->payload, letter->payload_len, &nulls[5]),
					  Int64GetDatum((int64) letter->payload_bytes),
					  CStringGetTextDatum(tk_reason_name(letter->reason)),
					  letter->kafka_time < 0 ? (Datum) 0
											 : TimestampTzGetDatum(host_to_timestamp(letter->kafka_time))};

	nulls[8] = letter->kafka_time < 0 ? 'n' : ' ';
	spi_run(&statement, values, nulls);
}

static void
flush_late_event(const StoreSession *session, const StoreLetter *letter)
{
	static SpiStatement statement = {
		"INSERT INTO topk.late_event (source_id, partition, kafka_offset, event_time, watermark, tenant, "
		"event_type, key, payload, payload_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		10,
		{INT4OID, INT4OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, BYTEAOID, BYTEAOID,
		 INT8OID},
		NULL};
	char nulls[] = "          ";
	Datum values[] = {
		Int32GetDatum(session->config->source_id),
		Int32GetDatum(letter->partition),
		Int64GetDatum(letter->offset),
		TimestampTzGetDatum(host_to_timestamp(letter->event_time)),
		TimestampTzGetDatum(host_to_timestamp(letter->watermark)),
		PointerGetDatum(cstring_to_text_with_len(letter->tenant.data, (int) letter->tenant.len)),
		CStringGetTextDatum(letter->event_type),
		bytes_datum(letter->key, letter->key_len, &nulls[7]),
		bytes_datum(letter->payload, letter->payload_len, &nulls[8]),
		Int64GetDatum((int64) letter->payload_bytes)};

	spi_run(&statement, values, nulls);
}

void
store_flush_letters(const StoreSession *session)
{
	for (const StoreLetter *letter = session->letters; letter != NULL; letter = letter->next)
	{
		if (letter->reason == TK_REASON_NONE)
			flush_late_event(session, letter);
		else
			flush_dead_letter(session, letter);
	}
}

/* ---------------------------------------------------------------- dead letters that are read again */

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
flush_retry(const StoreRetry *retry)
{
	static SpiStatement done = {
		"DELETE FROM topk.dead_letter WHERE dead_letter_id = $1 AND queued", 1, {INT8OID}, NULL};
	static SpiStatement dead = {
		"UPDATE topk.dead_letter SET queued = false, retries = retries + 1, reason = $2 "
		"WHERE dead_letter_id = $1 AND queued",
		2,
		{INT8OID, TEXTOID},
		NULL};
	Datum values[] = {Int64GetDatum(retry->dead_letter_id),
					  CStringGetTextDatum(tk_reason_name(retry->reason))};

	if (spi_run(retry->reason == TK_REASON_NONE ? &done : &dead, values, NULL) != 1)
		store_fenced("a dead letter");
}

void
store_flush_retries(const StoreSession *session)
{
	for (const StoreRetry *retry = session->retries; retry != NULL; retry = retry->next)
		flush_retry(retry);
}
