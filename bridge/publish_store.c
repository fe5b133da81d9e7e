/*
 * publish_store.c - what the publisher reads from and writes to the database (see publish_store.h).
 *
 * Keys are read through a cursor and handed on row by row, each in a memory context that is reset for the
 * next: a window may have many more keys than have changed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "publish_store.h"
#include "spi_util.h"

#define FETCH_ROWS 64

/* ---- the sink and its windows ---- */

bool
publish_store_read_sink(int32 sink_id, PublishSink *sink, MemoryContext context)
{
	static SpiStatement statement = {
		"SELECT s.name, s.server, s.owner, s.incarnation, hashtextextended(s::text, 0), "
		"hashtextextended(concat_ws(' ', s.server, f.srvoptions, u.umoptions), 0), "
		"coalesce(p.keys_published, 0), coalesce(topk.us(s.sweep_interval), 0) "
		"FROM topk.sink s LEFT JOIN pg_foreign_server f ON f.srvname = s.server "
		"LEFT JOIN LATERAL (SELECT u.umoptions FROM pg_user_mapping u WHERE u.umserver = f.oid "
		"AND u.umuser IN (s.owner, 0) ORDER BY u.umuser DESC LIMIT 1) u ON true "
		"LEFT JOIN topk.publisher p USING (sink_id) WHERE s.sink_id = $1 AND s.enabled",
		1,
		{INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum(sink_id)};

	if (!host_extension_exists() || spi_run(&statement, values, NULL) == 0)
		return false;
	sink->name = spi_text(0, 1, context);
	sink->server = spi_text(0, 2, context);
	sink->owner = DatumGetObjectId(spi_datum(0, 3));
	sink->incarnation = spi_int64(0, 4);
	sink->version = spi_int64(0, 5);
	sink->address = spi_int64(0, 6);
	sink->keys_published = spi_int64(0, 7);
	sink->sweep_interval = spi_int64(0, 8);
	return true;
}

static int64
to_expiry(TimestampTz expire_at)
{
	return TIMESTAMP_IS_NOEND(expire_at) ? MIRROR_NEVER : host_from_timestamp(expire_at);
}

int
publish_store_read_windows(int32 sink_id, PublishWindow **windows, MemoryContext context)
{
	static SpiStatement statement = {
		"SELECT window_id, window_start, final, published IS NOT DISTINCT FROM revision, revision, "
		"expire_at, "
		"hashtextextended(change_tag, 0) FROM topk.sink_windows($1) ORDER BY final DESC, window_start DESC",
		1,
		{INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum(sink_id)};
	int n = (int) spi_run(&statement, values, NULL);

	*windows = MemoryContextAlloc(context, Max(n, 1) * sizeof(PublishWindow));
	for (int i = 0; i < n; i++)
	{
		PublishWindow *window = *windows + i;

		window->window_id = spi_int32(i, 1);
		window->start = DatumGetTimestampTz(spi_datum(i, 2));
		window->final = spi_bool(i, 3);
		window->saved = window->final && spi_bool(i, 4);
		window->revision = spi_int32(i, 5);
		window->expire_at = to_expiry(DatumGetTimestampTz(spi_datum(i, 6)));
		window->tag = spi_int64(i, 7);
	}
	return n;
}

int64
publish_store_draw_sequence(void)
{
	static SpiStatement statement = {"SELECT nextval('topk.publish_sequence')", 0, {0}, NULL};

	spi_run(&statement, NULL, NULL);
	return spi_int64(0, 1);
}

/* ---- keys ---- */

static MirrorText
to_mirror_text(Datum value)
{
	text *detoasted = DatumGetTextPP(value);

	return (MirrorText){VARDATA_ANY(detoasted), VARSIZE_ANY_EXHDR(detoasted)};
}

/* The elements of a text[] without NULLs, in the current memory context. */
static const MirrorText *
to_mirror_texts(Datum array, size_t *n)
{
	Datum *elements;
	int n_elements;
	MirrorText *texts;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  &n_elements);
	texts = palloc(Max(n_elements, 1) * sizeof(MirrorText));
	for (int i = 0; i < n_elements; i++)
		texts[i] = to_mirror_text(elements[i]);
	*n = n_elements;
	return texts;
}

static const int64 *
to_scores(Datum array, size_t expected)
{
	Datum *elements;
	int n;
	int64 *scores;

	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, NULL, &n);
	if ((size_t) n != expected)
		elog(ERROR, "%d scores for %zu members", n, expected);
	scores = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		scores[i] = DatumGetInt64(elements[i]);
	return scores;
}

/* A row of the mirror functions, which all have the same columns. */
static void
to_mirror_key(uint64 row, MirrorKey *key)
{
	size_t n_texts;

	key->zset = spi_is_null(row, 1) ? (MirrorText){NULL, 0} : to_mirror_text(spi_datum(row, 1));
	key->hash = to_mirror_text(spi_datum(row, 2));
	key->members = to_mirror_texts(spi_datum(row, 3), &key->n_members);
	key->scores = to_scores(spi_datum(row, 4), key->n_members);
	key->fields = to_mirror_texts(spi_datum(row, 5), &n_texts);
	key->n_fields = n_texts / 2;
	key->expire_at = to_expiry(DatumGetTimestampTz(spi_datum(row, 6)));
}

static void
hand_rows_on(PublishKeyReader reader, void *arg, MemoryContext row_context)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64 n = SPI_processed;

	for (uint64 row = 0; row < n; row++)
	{
		MirrorKey key;

		MemoryContextReset(row_context);
		MemoryContextSwitchTo(row_context);
		to_mirror_key(row, &key);
		reader(arg, &key);
	}
	SPI_freetuptable(rows);
}

static void
read_keys(SpiStatement *statement, Datum *values, PublishKeyReader reader, void *arg)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext row_context = AllocSetContextCreate(old, "topk key", ALLOCSET_DEFAULT_SIZES);
	Portal portal = SPI_cursor_open(NULL, spi_prepare(statement), values, NULL, false);

	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		hand_rows_on(reader, arg, row_context);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_context);
}

void
publish_store_read_window(int32 sink_id, const PublishWindow *window, PublishKeyReader reader, void *arg)
{
	static SpiStatement statement = {
		"SELECT * FROM topk.mirror_window($1, $2, $3)", 3, {INT4OID, INT4OID, TIMESTAMPTZOID}, NULL};
	Datum values[] = {Int32GetDatum(sink_id), Int32GetDatum(window->window_id),
					  TimestampTzGetDatum(window->start)};

	read_keys(&statement, values, reader, arg);
}

void
publish_store_read_global(int32 sink_id, PublishKeyReader reader, void *arg)
{
	static SpiStatement statement = {"SELECT * FROM topk.mirror_global($1)", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(sink_id)};

	read_keys(&statement, values, reader, arg);
}

void
publish_store_read_items(int32 sink_id, PublishKeyReader reader, void *arg)
{
	static SpiStatement statement = {"SELECT * FROM topk.mirror_items($1)", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(sink_id)};

	read_keys(&statement, values, reader, arg);
}

/* ---- what was published ---- */

static Datum
to_array(Datum *elements, int n, Oid type)
{
	if (type == TIMESTAMPTZOID)
		return PointerGetDatum(
			construct_array(elements, n, type, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return PointerGetDatum(construct_array(elements, n, type, sizeof(int32), true, TYPALIGN_INT));
}

void
publish_store_save_windows(int32 sink_id, const PublishWindow *const *windows, int n)
{
	/* a window whose row is gone meanwhile has no publication either */
	static SpiStatement statement = {
		"INSERT INTO topk.publication AS p (sink_id, window_id, window_start, revision) "
		"SELECT $1, w.id, w.start, w.revision FROM unnest($2, $3, $4) AS w(id, start, revision) "
		"WHERE EXISTS (SELECT FROM topk.win_state s WHERE s.window_id = w.id AND s.window_start = w.start) "
		"ON CONFLICT (sink_id, window_id, window_start) DO UPDATE SET revision = excluded.revision",
		4,
		{INT4OID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID},
		NULL};
	Datum *ids = palloc(n * sizeof(Datum));
	Datum *starts = palloc(n * sizeof(Datum));
	Datum *revisions = palloc(n * sizeof(Datum));
	Datum values[4];

	for (int i = 0; i < n; i++)
	{
		ids[i] = Int32GetDatum(windows[i]->window_id);
		starts[i] = TimestampTzGetDatum(windows[i]->start);
		revisions[i] = Int32GetDatum(windows[i]->revision);
	}
	values[0] = Int32GetDatum(sink_id);
	values[1] = to_array(ids, n, INT4OID);
	values[2] = to_array(starts, n, TIMESTAMPTZOID);
	values[3] = to_array(revisions, n, INT4OID);
	spi_run(&statement, values, NULL);
}

void
publish_store_forget_windows(int32 sink_id)
{
	static SpiStatement statement = {"DELETE FROM topk.publication WHERE sink_id = $1", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(sink_id)};

	spi_run(&statement, values, NULL);
}

/* Messages were cut to a length in bytes, maybe inside a character. */
static Datum
to_message(const char *message)
{
	int len = (int) strlen(message);

	return PointerGetDatum(cstring_to_text_with_len(message, pg_mbcliplen(message, len, len)));
}

/* NULL for 0, of which spi_run is told by a mark. */
static Datum
to_time(int64 us, char *null)
{
	*null = us == 0 ? 'n' : ' ';
	return us == 0 ? (Datum) 0 : TimestampTzGetDatum(host_to_timestamp(us));
}

static Datum
to_optional(const char *string, char *null)
{
	*null = string == NULL ? 'n' : ' ';
	return string == NULL ? (Datum) 0 : to_message(string);
}

void
publish_store_save_status(int32 sink_id, const PublishStatus *status)
{
	static SpiStatement statement = {
		"INSERT INTO topk.publisher AS p (sink_id, pid, state, keys_published, last_publish_at, last_error, "
		"last_error_at, mode, address, windows_waiting, waiting_since, last_resync_at, keys_mended) "
		"SELECT k.sink_id, $2, $3, $4, CASE WHEN $5 THEN now() END, $6, CASE WHEN $6 IS NOT NULL THEN now() "
		"END, "
		"$7, $8, $9, $10, $11, $12 FROM topk.sink k WHERE k.sink_id = $1 "
		"ON CONFLICT (sink_id) DO UPDATE SET pid = excluded.pid, state = excluded.state, "
		"keys_published = greatest(p.keys_published, excluded.keys_published), "
		"last_publish_at = coalesce(excluded.last_publish_at, p.last_publish_at), "
		"last_error = excluded.last_error, last_error_at = excluded.last_error_at, "
		"mode = excluded.mode, address = coalesce(excluded.address, p.address), "
		"windows_waiting = excluded.windows_waiting, waiting_since = excluded.waiting_since, "
		"last_resync_at = coalesce(excluded.last_resync_at, p.last_resync_at), "
		"keys_mended = p.keys_mended + excluded.keys_mended",
		12,
		{INT4OID, INT4OID, TEXTOID, INT8OID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID,
		 TIMESTAMPTZOID, INT8OID},
		NULL};
	char nulls[] = "            ";
	Datum values[] = {Int32GetDatum(sink_id),
					  Int32GetDatum(MyProcPid),
					  CStringGetTextDatum(status->state),
					  Int64GetDatum(status->keys_published),
					  BoolGetDatum(status->published),
					  to_optional(status->error, &nulls[5]),
					  to_optional(status->mode, &nulls[6]),
					  to_optional(status->address, &nulls[7]),
					  Int32GetDatum(status->n_waiting),
					  to_time(status->waiting_since, &nulls[9]),
					  to_time(status->resynced_at, &nulls[10]),
					  Int64GetDatum(status->n_lost)};

	spi_run(&statement, values, nulls);
}
