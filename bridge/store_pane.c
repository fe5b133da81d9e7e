/*
 * store_pane.c - the part of a flush that writes changed panes to topk.live (see store.h).
 *
 * A row's first write is an INSERT, the next ones an UPDATE of a row that must still be there and unsealed;
 * pieces that a whole pane takes the place of must all be there.  So a worker that was replaced without
 * knowing it cannot add to a pane that a closer may have counted already.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "sketch_memory.h"
#include "spi_util.h"
#include "store.h"

/* The type of topk.live.sketch, whatever schema it is in. */
Oid
store_sketch_type(void)
{
	static Oid type = InvalidOid;

	static SpiStatement statement = {
		"SELECT atttypid FROM pg_attribute WHERE attrelid = 'topk.live'::regclass AND attname = 'sketch'",
		0,
		{0},
		NULL};

	if (!OidIsValid(type))
	{
		if (spi_run(&statement, NULL, NULL) != 1)
			elog(ERROR, "topk.live has no column sketch");
		type = DatumGetObjectId(spi_datum(0, 1));
	}
	return type;
}

/* A row's stored form as a datum, a piece's with all its entries; in the current memory context. */
Datum
store_sketch_datum(const TkPane *pane, const TkRow *row)
{
	TkAllocator allocator = sketch_memory(CurrentMemoryContext);
	void *block;
	size_t len;
	TkStatus status = tk_sketch_encode(row->sketch, pane->whole ? TK_FINAL : TK_PARTIAL, &allocator, VARHDRSZ,
									   &block, &len);

	if (status != TK_OK)
		ereport(ERROR,
				errcode(status == TK_NO_MEMORY ? ERRCODE_OUT_OF_MEMORY : ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("could not encode a sketch: %s", tk_status_text(status)));
	SET_VARSIZE(block, VARHDRSZ + len);
	return PointerGetDatum(block);
}

/* The pieces of a pane that is written whole from now on; all of them, or a closer has counted some. */
static void
delete_pieces(const StoreSession *session, const TkPane *pane)
{
	static SpiStatement statement = {
		"DELETE FROM topk.live WHERE source_id = $1 AND pane = $2 AND list_id = $3 "
		"AND incarnation >= $4 AND incarnation < $5",
		5,
		{INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID},
		NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  TimestampTzGetDatum(host_to_timestamp(pane->start)), Int64GetDatum(pane->list->list_id),
					  Int64GetDatum((int64) pane->incarnation),
					  Int64GetDatum((int64) pane->rows->incarnation)};

	if (spi_run(&statement, values, NULL) != pane->pieces)
		store_fenced("a piece of a pane");
}

static void
insert_row(const StoreSession *session, const TkPane *pane, const TkRow *row)
{
	static SpiStatement statement = {
		"INSERT INTO topk.live (source_id, pane, list_id, incarnation, worker, sealed, version, sketch) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, topk.compress($8))",
		8,
		{INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID, INT4OID, BOOLOID, INT8OID, InvalidOid},
		NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  TimestampTzGetDatum(host_to_timestamp(pane->start)),
					  Int64GetDatum(pane->list->list_id),
					  Int64GetDatum((int64) row->incarnation),
					  Int32GetDatum(session->worker),
					  BoolGetDatum(tk_row_is_sealed(pane, row)),
					  Int64GetDatum(session->flushes + 1),
					  store_sketch_datum(pane, row)};

	statement.types[7] = store_sketch_type();
	spi_run(&statement, values, NULL);
}

static void
update_row(const StoreSession *session, const TkPane *pane, const TkRow *row)
{
	static SpiStatement statement = {
		"UPDATE topk.live SET sealed = $5, version = $6, sketch = topk.compress($7) "
		"WHERE source_id = $1 AND pane = $2 AND list_id = $3 AND incarnation = $4 AND NOT sealed",
		7,
		{INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID, BOOLOID, INT8OID, InvalidOid},
		NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  TimestampTzGetDatum(host_to_timestamp(pane->start)),
					  Int64GetDatum(pane->list->list_id),
					  Int64GetDatum((int64) row->incarnation),
					  BoolGetDatum(tk_row_is_sealed(pane, row)),
					  Int64GetDatum(session->flushes + 1),
					  store_sketch_datum(pane, row)};

	statement.types[6] = store_sketch_type();
	if (spi_run(&statement, values, NULL) != 1)
		store_fenced("a pane");
}

/* Nothing was added since it was written: only the mark is. */
static void
seal_row(const StoreSession *session, const TkPane *pane, const TkRow *row)
{
	static SpiStatement statement = {"UPDATE topk.live SET sealed = true WHERE source_id = $1 AND pane = $2 "
									 "AND list_id = $3 AND incarnation = $4 "
									 "AND NOT sealed",
									 4,
									 {INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID},
									 NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  TimestampTzGetDatum(host_to_timestamp(pane->start)), Int64GetDatum(pane->list->list_id),
					  Int64GetDatum((int64) row->incarnation)};

	if (spi_run(&statement, values, NULL) != 1)
		store_fenced("a pane");
}

static void
flush_rows(const StoreSession *session, const TkPane *pane, MemoryContext context)
{
	if (pane->whole && pane->pieces > 0)
		delete_pieces(session, pane);
	for (const TkRow *row = pane->rows; row != NULL; row = row->next)
	{
		if (!row->written)
			insert_row(session, pane, row);
		else if (row->changed)
			update_row(session, pane, row);
		else if (tk_row_is_sealed(pane, row))
			seal_row(session, pane, row);
		MemoryContextReset(context);
	}
}

void
store_flush_panes(const StoreSession *session)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "topk pane", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	size_t cursor = 0;
	TkPane *pane;

	while ((pane = tk_pane_next_dirty(session->panes, &cursor)) != NULL)
		flush_rows(session, pane, context);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
