/*
 * store.c - claims, list ids and flushes (see store.h).
 *
 * The flush is one transaction: partitions first, in ascending order, each only where offset and epoch are
 * what this worker last saw, so that one that was replaced without knowing it moves none; then the panes
 * (store_pane.c) and tenants' meters; then dead letters and late events (store_letter.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fail_point.h"
#include "publish_wake.h"
#include "sketch_memory.h"
#include "spi_util.h"
#include "store.h"
#include "store_tenants.h"

#define NOTE_TIMEOUT_MS 5000 /* for what only tells people */

/* ---------------------------------------------------------------- claim */

static Datum
int8_array(const StoreSession *session, bool high)
{
	Datum *values = palloc(sizeof(Datum) * Max(session->n_partitions, 1));

	for (int i = 0; i < session->n_partitions; i++)
		values[i] = Int64GetDatum(high ? session->partitions[i].log_end : session->partitions[i].low);
	return PointerGetDatum(
		construct_array(values, session->n_partitions, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
take_partition(StorePartition *partition, uint64 row)
{
	if (partition->partition != spi_int32(row, 1))
		elog(ERROR, "claim returned partition %d instead of %d", spi_int32(row, 1), partition->partition);
	partition->epoch = spi_int64(row, 2);
	partition->stored_offset = partition->next_offset = spi_int64(row, 3);
	tk_clock_init(&partition->clock);
	tk_clock_restore(&partition->clock, store_time_or_none(row, 4), store_time_or_none(row, 5));
	partition->last_message_time = store_time_or_none(row, 6);
	memset(&partition->counts, 0, sizeof(StoreCounts));
	partition->changed = true;
}

void
store_forget_idle(int32 source_id, int worker)
{
	static SpiStatement statement = {"SELECT topk.forget_idle($1, $2)", 2, {INT4OID, INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(source_id), Int32GetDatum(worker)};

	spi_run(&statement, values, NULL);
}

/* A claim records its configuration as adopted, so it must still be the one that the session has loaded. */
static void
check_version(const SourceConfig *config)
{
	static SpiStatement statement = {
		"SELECT FROM topk.source s JOIN topk.source_state st USING (source_id) WHERE s.source_id = $1 AND "
		"st.config_version = $2 FOR KEY SHARE OF s FOR SHARE OF st",
		2,
		{INT4OID, INT8OID},
		NULL};
	Datum values[] = {Int32GetDatum(config->source_id), Int64GetDatum(config->version)};

	if (spi_run(&statement, values, NULL) != 1)
		store_fenced("the configuration");
}

void
store_claim(void *arg)
{
	static SpiStatement claim = {"SELECT partition, epoch, next_offset, max_event_time, watermark, "
								 "last_message_time FROM topk.claim_partitions($1, $2, $3, $4, $5)",
								 5,
								 {INT4OID, INT4OID, INT4ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
								 NULL};
	static SpiStatement run = {"SELECT nextval('topk.run')", 0, {0}, NULL};
	StoreSession *session = arg;
	Datum values[] = {Int32GetDatum(session->config->source_id), Int32GetDatum(session->worker),
					  store_partition_array(session), int8_array(session, false), int8_array(session, true)};
	uint64 n;

	store_limit_step(session);
	check_version(session->config);
	store_do_seeks(session);
	n = spi_run(&claim, values, NULL);
	if (n != (uint64) session->n_partitions)
		elog(ERROR, "claim returned " UINT64_FORMAT " partitions instead of %d", n, session->n_partitions);
	for (uint64 i = 0; i < n; i++)
		take_partition(&session->partitions[i], i);
	spi_run(&run, NULL, NULL);
	session->run = (int32) spi_int64(0, 1);
	FAIL_POINT("claim_before_commit");
}

/* ---------------------------------------------------------------- lists */

static Datum
text_datum(const char *text, size_t len)
{
	return PointerGetDatum(cstring_to_text_with_len(text, (int) len));
}

/* The names and shareability of the dimensions that the family's tenant has. */
static void
family_arrays(const TkFamily *family, Datum *names, Datum *shareable)
{
	Datum *name = palloc(sizeof(Datum) * Max(family->n_dimensions, 1));
	Datum *may_share = palloc(sizeof(Datum) * Max(family->n_dimensions, 1));
	int n = 0;

	for (int i = 0; i < family->n_dimensions; i++)
	{
		if (family->across[i]->left_out)
			continue;
		name[n] = CStringGetTextDatum(family->dimensions[i]);
		may_share[n++] = BoolGetDatum(family->shareable[i]);
	}
	*names = PointerGetDatum(construct_array(name, n, TEXTOID, -1, false, TYPALIGN_INT));
	*shareable = PointerGetDatum(construct_array(may_share, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

void
store_intern_family(void *arg)
{
	static SpiStatement statement = {
		"SELECT f.all_id, a.id FROM topk.intern_family($1, $2, $3, $4, $5, $6) f "
		"LEFT JOIN LATERAL unnest(f.across_ids) WITH ORDINALITY AS a(id, n) ON true ORDER BY a.n",
		6,
		{INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTARRAYOID, BOOLARRAYOID},
		NULL};
	StoreFamily *intern = arg;
	TkFamily *family = intern->family;
	Datum values[6];
	uint64 row = 0;

	values[0] = Int32GetDatum(intern->session->config->source_id);
	values[1] = Int64GetDatum(intern->session->config->version);
	values[2] = text_datum(family->tenant, family->tenant_len);
	values[3] = CStringGetTextDatum(family->item_type);
	family_arrays(family, &values[4], &values[5]);
	store_limit_step(intern->session);
	spi_run(&statement, values, NULL);
	if (spi_is_null(0, 1))
		store_fenced("the configuration");
	intern->all_id = spi_int64(0, 1);
	for (int i = 0; i < family->n_dimensions; i++)
	{
		if (family->across[i]->left_out)
			continue;
		intern->across_ids[i] = spi_is_null(row, 2) ? 0 : spi_int64(row, 2);
		row++;
		if (intern->across_ids[i] == 0 && !family->shareable[i])
			elog(ERROR, "the list across dimension \"%s\" is shared and must not be", family->dimensions[i]);
	}
	FAIL_POINT("intern_before_commit");
}

void
store_intern_lists(void *arg)
{
	static SpiStatement statement = {"SELECT topk.intern_list($1, $2, $3, $4, $5, NULL)",
									 5,
									 {INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
									 NULL};
	StoreLists *lists = arg;
	TkList *list = lists->first;

	store_limit_step(lists->session);
	for (int i = 0; i < lists->n; i++, list = list->next_new)
	{
		const TkFamily *family = list->family;
		Datum values[] = {
			Int32GetDatum(lists->session->config->source_id), text_datum(family->tenant, family->tenant_len),
			CStringGetTextDatum(family->item_type), CStringGetTextDatum(family->dimensions[list->dimension]),
			text_datum(list->value, list->value_len)};

		spi_run(&statement, values, NULL);
		lists->ids[i] = spi_int64(0, 1);
		SPI_freetuptable(SPI_tuptable);
	}
	FAIL_POINT("intern_before_commit");
}

/* ---------------------------------------------------------------- flush */

static void
flush_partition(const StoreSession *session, const StorePartition *p)
{
	static SpiStatement statement = {
		"UPDATE topk.partition SET next_offset = $5, log_end = $6, max_event_time = $7, watermark = $8, "
		"at_end_since = $9, "
		"idle = $10, events = events + $11, counted = counted + $12, late = late + $13, too_late = too_late "
		"+ $14, "
		"dead_letters = dead_letters + $15, no_rule = no_rule + $16, no_item = no_item + $17, filtered = "
		"filtered + $18, tombstones = tombstones + $19, over_quota = over_quota + $20, tenant_disabled = "
		"tenant_disabled + $21, last_message_time = $22, "
		"updated_at = now() WHERE source_id = $1 AND partition = $2 AND epoch = $3 AND next_offset = $4",
		22,
		{INT4OID,        INT4OID, INT8OID, INT8OID, INT8OID, INT8OID,       TIMESTAMPTZOID, TIMESTAMPTZOID,
		 TIMESTAMPTZOID, BOOLOID, INT8OID, INT8OID, INT8OID, INT8OID,       INT8OID,        INT8OID,
		 INT8OID,        INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID},
		NULL};
	const StoreCounts *c = &p->counts;
	char nulls[] = "                      ";
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  Int32GetDatum(p->partition),
					  Int64GetDatum(p->epoch),
					  Int64GetDatum(p->stored_offset),
					  Int64GetDatum(p->next_offset),
					  Int64GetDatum(p->log_end),
					  store_time_datum(p->clock.max_event_time, &nulls[6]),
					  store_time_datum(p->clock.watermark, &nulls[7]),
					  store_time_datum(p->clock.at_end_since, &nulls[8]),
					  BoolGetDatum(p->clock.idle),
					  Int64GetDatum(c->events),
					  Int64GetDatum(c->counted),
					  Int64GetDatum(c->late),
					  Int64GetDatum(c->too_late),
					  Int64GetDatum(c->dead_letters),
					  Int64GetDatum(c->no_rule),
					  Int64GetDatum(c->no_item),
					  Int64GetDatum(c->filtered),
					  Int64GetDatum(c->tombstones),
					  Int64GetDatum(c->over_quota),
					  Int64GetDatum(c->tenant_disabled),
					  store_time_datum(p->last_message_time, &nulls[21])};

	if (spi_run(&statement, values, nulls) != 1)
		store_fenced("a partition");
}

/* Each worker has a row of its own for a rule, so that none waits for another. */
static void
flush_rule_counts(const StoreSession *session, int64 rule_id, const StoreRuleCounts *c)
{
	static SpiStatement statement = {
		"INSERT INTO topk.rule_count AS r (rule_id, worker, counted, items, filtered, no_item) "
		"VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (rule_id, worker) DO UPDATE SET counted = r.counted + "
		"$3, "
		"items = r.items + $4, filtered = r.filtered + $5, no_item = r.no_item + $6",
		6,
		{INT4OID, INT4OID, INT8OID, INT8OID, INT8OID, INT8OID},
		NULL};
	Datum values[] = {Int32GetDatum((int32) rule_id), Int32GetDatum(session->worker),
					  Int64GetDatum(c->counted),      Int64GetDatum(c->items),
					  Int64GetDatum(c->filtered),     Int64GetDatum(c->no_item)};

	if ((c->counted | c->filtered | c->no_item) != 0)
		spi_run(&statement, values, NULL);
}

static void
flush_worker(const StoreSession *session)
{
	static SpiStatement statement = {
		"INSERT INTO topk.worker AS w (source_id, worker, pid, state, config_version, started_at, "
		"last_flush_at, last_flush_ms, "
		"panes, memory_bytes, run, sealed_until) VALUES ($1, $2, $3, 'running', $4, now(), now(), $5, $6, "
		"$7, $8, $9) "
		"ON CONFLICT (source_id, worker) DO UPDATE SET pid = $3, state = 'running', config_version = $4, "
		"last_flush_at = now(), "
		"last_flush_ms = $5, panes = $6, memory_bytes = $7, run = $8, sealed_until = $9, last_error = NULL, "
		"last_error_at = NULL",
		9,
		{INT4OID, INT4OID, INT4OID, INT8OID, FLOAT8OID, INT4OID, INT8OID, INT4OID, TIMESTAMPTZOID},
		NULL};
	char nulls[] = "         ";
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  Int32GetDatum(session->worker),
					  Int32GetDatum(MyProcPid),
					  Int64GetDatum(session->config->version),
					  Float8GetDatum(session->last_flush_ms),
					  Int32GetDatum(tk_pane_count(session->panes)),
					  Int64GetDatum((int64) tk_pane_set_bytes(session->panes)),
					  Int32GetDatum(session->run),
					  store_time_datum(session->sealed_until, &nulls[8])};

	spi_run(&statement, values, nulls);
}

void
store_flush(void *arg)
{
	const StoreSession *session = arg;

	store_limit_step(session);
	FAIL_POINT("flush_begin");
	for (int i = 0; i < session->n_partitions; i++)
		if (session->partitions[i].changed)
			flush_partition(session, &session->partitions[i]);
	FAIL_POINT("flush_after_partitions");
	for (int i = 0; i < session->n_partitions; i++)
		store_flush_pane_offsets(session, &session->partitions[i]);
	store_flush_panes(session);
	store_flush_meters(session);
	store_flush_letters(session);
	for (int i = 0; i < session->config->extract.n_rules; i++)
		flush_rule_counts(session, session->config->extract.rules[i].rule_id, &session->rule_counts[i]);
	store_flush_retries(session);
	flush_worker(session);
	FAIL_POINT("flush_before_commit");
}

/* ---------------------------------------------------------------- between flushes */

void
store_read_news(void *arg)
{
	static SpiStatement statement = {
		"SELECT st.config_version <> $2 OR $4 <> (SELECT coalesce(sum(p.epoch), 0) FROM topk.partition p "
		"WHERE p.source_id = $1 AND p.partition = ANY ($3)), EXISTS (SELECT FROM topk.dead_letter_row d "
		"WHERE "
		"d.source_id = $1 AND "
		"d.partition = ANY ($3) AND d.queued), " PUBLISH_WAKE_PIDS
		" FROM topk.source_state st WHERE st.source_id = $1",
		4,
		{INT4OID, INT8OID, INT4ARRAYOID, INT8OID},
		NULL};
	StoreNews *news = arg;
	const StoreSession *session = news->session;
	int64 epochs = 0;
	Datum values[] = {Int32GetDatum(session->config->source_id), Int64GetDatum(session->config->version),
					  store_partition_array(session), (Datum) 0};
	bool gone;

	for (int i = 0; i < session->n_partitions; i++)
		epochs += session->partitions[i].epoch;
	values[3] = Int64GetDatum(epochs);
	store_limit_step(session);
	gone = spi_run(&statement, values, NULL) == 0;
	news->changed = gone || spi_bool(0, 1);
	news->letters_queued = !gone && spi_bool(0, 2);
	if (!gone)
		publish_wake_learn(spi_datum(0, 3));
}

void
store_pause(void *arg)
{
	static SpiStatement statement = {"SELECT topk.pause_for($1, $2)", 2, {INT4OID, TEXTOID}, NULL};
	StorePause *pause = arg;
	Datum values[] = {Int32GetDatum(pause->source_id), CStringGetTextDatum(pause->reason)};

	spi_run(&statement, values, NULL);
}

void
store_note_state(void *arg)
{
	static SpiStatement statement = {
		"INSERT INTO topk.worker AS w (source_id, worker, pid, state, config_version, started_at, "
		"last_error, last_error_at) "
		"SELECT $1, $2, $3, $4, $5, now(), $6, CASE WHEN $6 IS NOT NULL THEN now() END "
		"WHERE EXISTS (SELECT FROM topk.source WHERE source_id = $1) "
		"ON CONFLICT (source_id, worker) DO UPDATE SET pid = $3, state = $4, config_version = coalesce($5, "
		"w.config_version), "
		"started_at = CASE WHEN w.pid = $3 THEN w.started_at ELSE now() END, "
		"last_error = coalesce($6, w.last_error), last_error_at = coalesce(excluded.last_error_at, "
		"w.last_error_at)",
		6,
		{INT4OID, INT4OID, INT4OID, TEXTOID, INT8OID, TEXTOID},
		NULL};
	const StoreState *state = arg;
	char nulls[] = "      ";
	Datum values[] = {
		Int32GetDatum(state->source_id),   Int32GetDatum(state->worker),         Int32GetDatum(MyProcPid),
		CStringGetTextDatum(state->state), Int64GetDatum(state->config_version), (Datum) 0};

	nulls[4] = state->config_version == 0 ? 'n' : ' ';
	nulls[5] = state->error == NULL ? 'n' : ' ';
	if (state->error != NULL)
		values[5] = CStringGetTextDatum(state->error->message);
	host_limit_step(NOTE_TIMEOUT_MS);
	if (host_extension_exists())
		spi_run(&statement, values, nulls);
}
