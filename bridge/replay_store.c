/*
 * replay_store.c - the statements of a replay (see replay_store.h); what they do is in sql/bridge_replay.sql.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "replay_store.h"
#include "spi_util.h"

static void
over(void)
{
	ereport(ERROR, errcode(REPLAY_OVER), errmsg("the replay is over"));
}

/* ---------------------------------------------------------------- the beginning */

void
replay_draw_run(void *arg)
{
	static SpiStatement statement = {"SELECT nextval('topk.run')", 0, {0}, NULL};
	ReplayStore *store = arg;

	spi_run(&statement, NULL, NULL);
	store->session.run = (int32) spi_int64(0, 1);
}

static void
load_letters(ReplayStore *store)
{
	static SpiStatement statement = {
		"SELECT partition, kafka_offset FROM topk.dead_letter_row WHERE source_id = $1 UNION ALL "
		"SELECT partition, unnest(kafka_offsets) FROM topk.dead_letter_block WHERE source_id = $1 ORDER BY "
		"1, 2",
		1,
		{INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum(store->config->source_id)};
	uint64 n = spi_run(&statement, values, NULL);

	store->n_letters = (int) n;
	store->letters = MemoryContextAllocHuge(store->context, sizeof(ReplayLetter) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		store->letters[i] = (ReplayLetter){spi_int32(i, 1), spi_int64(i, 2), false};
	SPI_freetuptable(SPI_tuptable);
}

static int
compare_letters(const void *a, const void *b)
{
	const ReplayLetter *x = a;
	const ReplayLetter *y = b;

	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

void
replay_note_counted(ReplayStore *store, int32 partition, int64 offset)
{
	const ReplayLetter key = {partition, offset, false};
	ReplayLetter *letter;

	if (store->n_letters == 0)
		return;
	letter = bsearch(&key, store->letters, store->n_letters, sizeof(ReplayLetter), compare_letters);
	if (letter != NULL)
		letter->counted = true;
}

void
replay_begin(void *arg)
{
	static SpiStatement statement = {"SELECT source_id, from_time, to_time, config_version, obstacle FROM "
									 "topk.begin_replay($1, $2)",
									 2,
									 {INT4OID, INT4OID},
									 NULL};
	ReplayStore *store = arg;
	Datum values[] = {Int32GetDatum(store->replay_id), Int32GetDatum(MyProcPid)};
	int32 source_id;
	int64 version;

	if (!host_extension_exists() || spi_run(&statement, values, NULL) == 0)
		over();
	source_id = spi_int32(0, 1);
	store->from = store_time_or_none(0, 2);
	store->until = store_time_or_none(0, 3);
	version = spi_int64(0, 4);
	store->obstacle = spi_text(0, 5, store->context);
	store->config = config_load(source_id, store->context);
	if (store->config == NULL || store->config->version != version)
		store_fenced("the configuration");
	if (store->config->properties == NULL)
		config_load_server(store->config, store->context); /* it is paused */
	store->session.config = store->config;
	load_letters(store);
	replay_draw_run(store);
}

/* ---------------------------------------------------------------- what to read */

/* When the offsets of one partition were read: a note for each pane that began there. */
static void
load_readings(ReplayStore *store, ReplayRange *range)
{
	static SpiStatement statement = {
		"SELECT first_offset, read_at FROM topk.pane_offset WHERE source_id = $1 AND partition = $2 "
		"AND first_offset >= $3 AND first_offset < $4 ORDER BY first_offset",
		4,
		{INT4OID, INT4OID, INT8OID, INT8OID},
		NULL};
	Datum values[] = {Int32GetDatum(store->config->source_id), Int32GetDatum(range->partition),
					  Int64GetDatum(range->begin), Int64GetDatum(range->end)};
	uint64 n = range->begin < range->end ? spi_run(&statement, values, NULL) : 0;

	range->n_readings = (int) n;
	range->readings = MemoryContextAllocHuge(store->context, sizeof(ReplayReading) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		range->readings[i] = (ReplayReading){spi_int64(i, 1), store_time_or_none(i, 2)};
	if (n > 0)
		SPI_freetuptable(SPI_tuptable);
}

void
replay_load_ranges(void *arg)
{
	static SpiStatement statement = {"SELECT partition, first_offset, end_offset, max_event_time, watermark "
									 "FROM topk.replay_ranges($1)",
									 1,
									 {INT4OID},
									 NULL};
	ReplayStore *store = arg;
	Datum values[] = {Int32GetDatum(store->replay_id)};
	int n = (int) spi_run(&statement, values, NULL);

	if (n == 0)
		over();
	store->n_ranges = n;
	store->ranges = MemoryContextAllocZero(store->context, sizeof(ReplayRange) * n);
	for (int i = 0; i < n; i++)
	{
		ReplayRange *range = &store->ranges[i];

		range->partition = spi_int32(i, 1);
		range->begin = spi_int64(i, 2);
		range->end = spi_int64(i, 3);
		tk_clock_init(&range->clock);
		tk_clock_restore(&range->clock, store_time_or_none(i, 4), store_time_or_none(i, 5));
	}
	for (int i = 0; i < n; i++)
		load_readings(store, &store->ranges[i]);
}

/* ---------------------------------------------------------------- staging */

static void
stage_row(const ReplayStore *store, const TkPane *pane, const TkRow *row)
{
	static SpiStatement statement = {"INSERT INTO topk.replay_pane VALUES ($1, $2, $3, $4, $5)",
									 5,
									 {INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID, InvalidOid},
									 NULL};
	Datum values[] = {Int32GetDatum(store->replay_id), TimestampTzGetDatum(host_to_timestamp(pane->start)),
					  Int64GetDatum(pane->list->list_id), Int64GetDatum((int64) row->incarnation),
					  store_sketch_datum(pane, row)};

	statement.types[4] = store_sketch_type();
	spi_run(&statement, values, NULL);
}

static void
stage_panes(ReplayStore *store)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "topk pane", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	size_t cursor = 0;
	TkPane *pane;

	store->staged = 0;
	while ((pane = tk_pane_next_dirty(store->session.panes, &cursor)) != NULL)
	{
		for (const TkRow *row = pane->sealed ? pane->rows : NULL; row != NULL; row = row->next)
		{
			stage_row(store, pane, row);
			store->staged++;
			MemoryContextReset(context);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Also tells whether the job goes on: its row is locked until the panes are committed. */
static void
stage_progress(const ReplayStore *store)
{
	static SpiStatement statement = {
		"UPDATE topk.replay_job SET state = $2, offsets_read = $3, offsets_total = $4, counted = counted + "
		"$5, late = late + $6, too_late = too_late + $7, error = NULL WHERE replay_id = $1 AND finished_at "
		"IS NULL",
		7,
		{INT4OID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID},
		NULL};
	StoreCounts sum = {0};
	int64 total = 0;

	for (int i = 0; i < store->session.n_partitions; i++)
	{
		const StoreCounts *counts = &store->session.partitions[i].counts;

		sum.counted += counts->counted;
		sum.late += counts->late;
		sum.too_late += counts->too_late;
		total += store->ranges[i].end - store->ranges[i].begin;
	}
	{
		Datum values[] = {Int32GetDatum(store->replay_id),    CStringGetTextDatum(store->state),
						  Int64GetDatum(store->offsets_read), Int64GetDatum(total),
						  Int64GetDatum(sum.counted),         Int64GetDatum(sum.late),
						  Int64GetDatum(sum.too_late)};

		if (spi_run(&statement, values, NULL) != 1)
			over();
	}
}

void
replay_stage(void *arg)
{
	ReplayStore *store = arg;

	stage_progress(store);
	stage_panes(store);
}

void
replay_make_leaves(void *arg)
{
	static SpiStatement statement = {"SELECT topk.make_leaves($1)", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(((ReplayStore *) arg)->config->source_id)};

	spi_run(&statement, values, NULL);
}

void
replay_merge(void *arg)
{
	static SpiStatement statement = {
		"SELECT topk.merge_replay($1, $2, $3)", 3, {INT4OID, TIMESTAMPTZOID, INT4OID}, NULL};
	ReplayStore *store = arg;
	bool all = store->reached == INT64_MAX;
	char nulls[] = {' ', all ? 'n' : ' ', ' ', '\0'};
	Datum values[] = {Int32GetDatum(store->replay_id),
					  all ? (Datum) 0 : TimestampTzGetDatum(host_to_timestamp(store->reached)),
					  Int32GetDatum(REPLAY_MERGE_ROWS)};

	spi_run(&statement, values, nulls);
	store->merged = spi_int64(0, 1);
}

/* ---------------------------------------------------------------- the swap */

void
replay_hold(void *arg)
{
	static SpiStatement statement = {"SELECT topk.hold_replay($1, $2)", 2, {INT4OID, INT4OID}, NULL};
	const ReplayStore *store = arg;
	Datum values[] = {Int32GetDatum(store->replay_id), Int32GetDatum(store->hold_seconds)};

	spi_run(&statement, values, NULL);
	if (!spi_bool(0, 1))
		over();
}

void
replay_release(void *arg)
{
	static SpiStatement statement = {
		"UPDATE topk.replay_job SET held_until = NULL WHERE replay_id = $1", 1, {INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(((ReplayStore *) arg)->replay_id)};

	spi_run(&statement, values, NULL);
}

typedef enum RangeColumn
{
	RANGE_PARTITION,
	RANGE_BEGIN,
	RANGE_END
} RangeColumn;

static Datum
range_array(const ReplayStore *store, RangeColumn column)
{
	Datum *values = palloc(sizeof(Datum) * store->n_ranges);

	for (int i = 0; i < store->n_ranges; i++)
	{
		const ReplayRange *range = &store->ranges[i];

		values[i] = column == RANGE_PARTITION
						? Int32GetDatum(range->partition)
						: Int64GetDatum(column == RANGE_BEGIN ? range->begin : range->end);
	}
	if (column == RANGE_PARTITION)
		return PointerGetDatum(construct_array(values, store->n_ranges, INT4OID, 4, true, TYPALIGN_INT));
	return PointerGetDatum(
		construct_array(values, store->n_ranges, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The dead letters that were counted: their partitions, or their offsets. */
static Datum
letter_array(const ReplayStore *store, bool offsets)
{
	Datum *values = palloc(sizeof(Datum) * Max(store->n_letters, 1));
	int n = 0;

	for (int i = 0; i < store->n_letters; i++)
		if (store->letters[i].counted)
			values[n++] = offsets ? Int64GetDatum(store->letters[i].offset)
								  : Int32GetDatum(store->letters[i].partition);
	if (offsets)
		return PointerGetDatum(construct_array(values, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return PointerGetDatum(construct_array(values, n, INT4OID, 4, true, TYPALIGN_INT));
}

void
replay_swap(void *arg)
{
	static SpiStatement statement = {
		"SELECT topk.swap_replay($1, $2, $3, $4, $5, $6)",
		6,
		{INT4OID, INT4ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT8ARRAYOID},
		NULL};
	ReplayStore *store = arg;
	Datum values[] = {Int32GetDatum(store->replay_id), range_array(store, RANGE_PARTITION),
					  range_array(store, RANGE_BEGIN), range_array(store, RANGE_END),
					  letter_array(store, false),      letter_array(store, true)};
	const char *result;

	spi_run(&statement, values, NULL);
	result = spi_text(0, 1, CurrentMemoryContext);
	if (strcmp(result, "done") == 0)
		store->swap = SWAP_DONE;
	else if (strcmp(result, "over") == 0)
		store->swap = SWAP_OVER;
	else
		store->swap = strcmp(result, "behind") == 0 ? SWAP_BEHIND : SWAP_CHANGED;
}

void
replay_note_error(void *arg)
{
	static SpiStatement statement = {
		"UPDATE topk.replay_job SET error = $2, held_until = NULL, state = CASE WHEN $3 THEN 'failed' ELSE "
		"state END, finished_at = CASE WHEN $3 THEN now() END WHERE replay_id = $1 AND finished_at IS NULL",
		3,
		{INT4OID, TEXTOID, BOOLOID},
		NULL};
	const ReplayNote *note = arg;
	Datum values[] = {Int32GetDatum(note->replay_id), CStringGetTextDatum(note->error->message),
					  BoolGetDatum(note->failed)};

	if (host_extension_exists())
		spi_run(&statement, values, NULL);
}
