/*
 * store_offset.c - what the store keeps about offsets beyond the next one: seeks, and where panes lie in the
 * log (see store.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "spi_util.h"
#include "store.h"

/* ---------------------------------------------------------------- shared by the store's files */

void
store_limit_step(const StoreSession *session)
{
	host_limit_step(session->config->flush_timeout / 1000);
}

void
store_fenced(const char *what)
{
	ereport(ERROR, errcode(STORE_FENCED), errmsg("%s changed hands", what));
}

Datum
store_partition_array(const StoreSession *session)
{
	Datum *values = palloc(sizeof(Datum) * Max(session->n_partitions, 1));

	for (int i = 0; i < session->n_partitions; i++)
		values[i] = Int32GetDatum(session->partitions[i].partition);
	return PointerGetDatum(construct_array(values, session->n_partitions, INT4OID, 4, true, TYPALIGN_INT));
}

int64
store_time_or_none(uint64 row, int column)
{
	return spi_is_null(row, column) ? TK_NO_TIME
									: host_from_timestamp(DatumGetTimestampTz(spi_datum(row, column)));
}

Datum
store_time_datum(int64 us, char *null)
{
	*null = us == TK_NO_TIME ? 'n' : ' ';
	return us == TK_NO_TIME ? (Datum) 0 : TimestampTzGetDatum(host_to_timestamp(us));
}

/* ---------------------------------------------------------------- seeks */

void
store_load_seeks(void *arg)
{
	static SpiStatement statement = {"SELECT seek_id, partition, to_position = 'latest', at FROM "
									 "topk.seek_log WHERE source_id = $1 AND to_offset IS NULL",
									 1,
									 {INT4OID},
									 NULL};
	StoreSession *session = arg;
	Datum values[] = {Int32GetDatum(session->config->source_id)};
	uint64 n = spi_run(&statement, values, NULL);

	for (int i = 0; i < session->n_partitions; i++)
		for (uint64 row = 0; row < n; row++)
		{
			StoreSeek *seek = &session->partitions[i].seek;

			if (spi_int32(row, 2) != session->partitions[i].partition)
				continue;
			seek->id = spi_int64(row, 1);
			seek->to_latest = !spi_is_null(row, 3) && spi_bool(row, 3);
			seek->time = store_time_or_none(row, 4);
			seek->has_time = seek->time != TK_NO_TIME;
		}
}

/* What Kafka said becomes the stored offset; a seek that came meanwhile is a reason to begin again. */
void
store_do_seeks(const StoreSession *session)
{
	static SpiStatement resolve = {"SELECT topk.resolve_seek($1, $2)", 2, {INT8OID, INT8OID}, NULL};
	static SpiStatement left = {"SELECT FROM topk.seek_log WHERE source_id = $1 AND partition = ANY ($2) AND "
								"to_offset IS NULL",
								2,
								{INT4OID, INT4ARRAYOID},
								NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id), store_partition_array(session)};

	for (int i = 0; i < session->n_partitions; i++)
	{
		const StoreSeek *seek = &session->partitions[i].seek;
		Datum resolved[] = {Int64GetDatum(seek->id), Int64GetDatum(seek->offset)};

		if (seek->id != 0)
			spi_run(&resolve, resolved, NULL);
	}
	if (spi_run(&left, values, NULL) > 0)
		store_fenced("a stored offset");
}

/* The log of a partition is another one than was read. */
void
store_forget_log(void *arg)
{
	static SpiStatement statement = {"SELECT topk.forget_pane_offsets($1, $2)", 2, {INT4OID, INT4OID}, NULL};
	const StoreLostLog *lost = arg;
	Datum values[] = {Int32GetDatum(lost->source_id), Int32GetDatum(lost->partition)};

	spi_run(&statement, values, NULL);
}

void
store_look_for_change(void *arg)
{
	static SpiStatement statement = {
		"SELECT st.config_version, (SELECT sum(p.epoch)::bigint FROM topk.partition p WHERE p.source_id = $1 "
		"AND p.partition % s.workers = $2 AND p.partition < $3) FROM topk.source_state st JOIN topk.source s "
		"USING (source_id) "
		"WHERE st.source_id = $1",
		3,
		{INT4OID, INT4OID, INT4OID},
		NULL};
	StoreVersion *version = arg;
	Datum values[] = {Int32GetDatum(version->source_id), Int32GetDatum(version->worker),
					  Int32GetDatum(version->topic_partitions)};
	bool exists = host_extension_exists() && spi_run(&statement, values, NULL) == 1;

	version->config_version = exists ? spi_int64(0, 1) : 0;
	version->epochs = !exists || spi_is_null(0, 2) ? 0 : spi_int64(0, 2);
}

/* ---------------------------------------------------------------- where panes lie */

/* Widens what is known of each pane's offsets. */
void
store_flush_pane_offsets(const StoreSession *session, const StorePartition *p)
{
	static SpiStatement statement = {
		"INSERT INTO topk.pane_offset AS o VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
		"ON CONFLICT (source_id, partition, pane) DO UPDATE SET last_offset = greatest(o.last_offset, $5), "
		"(first_offset, max_event_time, watermark, read_at) = (SELECT * FROM (VALUES "
		"(o.first_offset, o.max_event_time, o.watermark, o.read_at), ($4, $6, $7, $8)) v(at) ORDER BY at "
		"LIMIT 1)",
		8,
		{INT4OID, INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
		NULL};

	for (int i = 0; i < p->pane_offsets.n; i++)
	{
		const TkPaneOffset *o = &p->pane_offsets.entries[i];
		char nulls[] = "        ";
		Datum values[] = {Int32GetDatum(session->config->source_id),
						  Int32GetDatum(p->partition),
						  TimestampTzGetDatum(host_to_timestamp(o->pane)),
						  Int64GetDatum(o->first),
						  Int64GetDatum(o->last),
						  store_time_datum(o->max_event_time, &nulls[5]),
						  store_time_datum(o->watermark, &nulls[6]),
						  TimestampTzGetDatum(host_to_timestamp(o->read_at))};

		spi_run(&statement, values, nulls);
	}
}
