/*
 * store_letter.c - the part of a flush that keeps messages as they came (see store.h): those that could not
 * be read in topk.dead_letter, and, if the source says so, those that were too late in topk.late_event.
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
