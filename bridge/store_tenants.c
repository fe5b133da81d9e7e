/*
 * store_tenants.c - who is let in, and meters (see store_tenants.h).
 *
 * What the store tells is put into the pane set as it is read.  That is idempotent, so a step that fails
 * halfway does no harm: the days and tenants that it told of are closed last.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/memutils.h"

#include "fail_point.h"
#include "spi_util.h"
#include "store_tenants.h"

static Datum
text_datum(const char *text, size_t len)
{
	return PointerGetDatum(cstring_to_text_with_len(text, (int) len));
}

static Datum
text_array(Datum *values, int n)
{
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
day_datum(int32 day)
{
	return DateADTGetDatum(day - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE));
}

static void
check_status(TkStatus status)
{
	if (status != TK_OK)
		ereport(ERROR,
				errcode(status == TK_NO_MEMORY ? ERRCODE_OUT_OF_MEMORY : ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("could not take over tenants or values: %s", tk_status_text(status)));
}

/* A text column, in the memory context of the step. */
static TkText
row_text(uint64 row, int column)
{
	char *text = spi_text(row, column, CurrentMemoryContext);

	return (TkText){text, strlen(text)};
}

/* ---------------------------------------------------------------- tenants */

void
store_admit_tenants(void *arg)
{
	static SpiStatement statement = {
		"SELECT topk.admit_tenants($1, $2, $3)", 3, {INT4OID, TEXTARRAYOID, INT4OID}, NULL};
	StoreTenants *admit = arg;
	const SourceConfig *config = admit->session->config;
	Datum *names = palloc(sizeof(Datum) * admit->n);
	const TkTenant *tenant = admit->first;
	Datum values[3];

	for (int i = 0; i < admit->n; i++, tenant = tenant->next_new)
		names[i] = text_datum(tenant->name, tenant->name_len);
	values[0] = Int32GetDatum(config->source_id);
	values[1] = text_array(names, admit->n);
	values[2] = Int32GetDatum((int32) config->limits.max_tenants);
	if (spi_run(&statement, values, NULL) != (uint64) admit->n)
		elog(ERROR, "not every tenant was answered for");
	for (int i = 0; i < admit->n; i++)
		admit->granted[i] = spi_bool(i, 1);
}

void
store_know_tenants(void *arg)
{
	static SpiStatement statement = {
		"SELECT tenant FROM topk.tenant_seen WHERE source_id = $1", 1, {INT4OID}, NULL};
	StoreSession *session = arg;
	Datum values[] = {Int32GetDatum(session->config->source_id)};
	uint64 n = spi_run(&statement, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		TkText name = row_text(i, 1);

		check_status(tk_tenant_know(session->panes, &name));
	}
	tk_tenant_close(session->panes);
}

/* ---------------------------------------------------------------- values */

/* The arguments of topk.admit_values, a column for each. */
static void
claim_arrays(const StoreClaims *claims, Datum values[])
{
	Datum *columns[6];
	const TkListDay *entry = claims->first;

	for (int c = 0; c < lengthof(columns); c++)
		columns[c] = palloc(sizeof(Datum) * claims->n);
	for (int i = 0; i < claims->n; i++, entry = entry->next_new)
	{
		const TkList *list = entry->list;
		const TkFamily *family = list->family;

		columns[0][i] = text_datum(family->tenant, family->tenant_len);
		columns[1][i] = CStringGetTextDatum(family->item_type);
		columns[2][i] = CStringGetTextDatum(family->dimensions[list->dimension]);
		columns[3][i] = text_datum(list->value, list->value_len);
		columns[4][i] = day_datum(entry->day);
		columns[5][i] = Int32GetDatum((int32) family->owner->rules->max_values);
	}
	for (int c = 0; c < 4; c++)
		values[1 + c] = text_array(columns[c], claims->n);
	values[5] = PointerGetDatum(construct_array(columns[4], claims->n, DATEOID, 4, true, TYPALIGN_INT));
	values[6] = PointerGetDatum(construct_array(columns[5], claims->n, INT4OID, 4, true, TYPALIGN_INT));
}

void
store_admit_values(void *arg)
{
	static SpiStatement statement = {
		"SELECT topk.admit_values($1, $2, $3, $4, $5, $6, $7)",
		7,
		{INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, DATEARRAYOID, INT4ARRAYOID},
		NULL};
	StoreClaims *claims = arg;
	Datum values[7];

	values[0] = Int32GetDatum(claims->session->config->source_id);
	claim_arrays(claims, values);
	if (spi_run(&statement, values, NULL) != (uint64) claims->n)
		elog(ERROR, "not every value was answered for");
	for (int i = 0; i < claims->n; i++)
		claims->ids[i] = spi_is_null(i, 1) ? 0 : spi_int64(i, 1);
	FAIL_POINT("intern_before_commit");
}

void
store_close_day(void *arg)
{
	static SpiStatement statement = {"SELECT list_id, value FROM topk.close_day($1, $2, $3, $4, $5)",
									 5,
									 {INT4OID, TEXTOID, TEXTOID, TEXTOID, DATEOID},
									 NULL};
	StoreDay *close = arg;
	TkDimensionDay *day = close->day;
	TkFamily *family = day->family;
	Datum values[] = {Int32GetDatum(close->session->config->source_id),
					  text_datum(family->tenant, family->tenant_len), CStringGetTextDatum(family->item_type),
					  CStringGetTextDatum(family->dimensions[day->dimension]), day_datum(day->day)};
	uint64 n = spi_run(&statement, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		TkText value = row_text(i, 2);

		check_status(
			tk_guard_know(close->session->panes, family, day->dimension, day->day, &value, spi_int64(i, 1)));
	}
}

/* ---------------------------------------------------------------- at the beginning of a session */

static int
slot_of(const StoreSession *session, int32 partition)
{
	for (int i = 0; i < session->n_partitions; i++)
		if (session->partitions[i].partition == partition)
			return i;
	return -1;
}

static void
load_tenants(StoreSession *session)
{
	static SpiStatement statement = {
		"SELECT count(*) >= $2 FROM topk.tenant_seen WHERE source_id = $1", 2, {INT4OID, INT4OID}, NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  Int32GetDatum((int32) session->config->limits.max_tenants)};

	spi_run(&statement, values, NULL);
	if (spi_bool(0, 1))
		store_know_tenants(session);
}

/* Days behind what this worker may still count in are left out. */
static int32
first_day(const StoreSession *session)
{
	int64 lowest = INT64_MAX;

	for (int i = 0; i < session->n_partitions; i++)
		if (session->partitions[i].clock.watermark != TK_NO_TIME)
			lowest = Min(lowest, session->partitions[i].clock.watermark);
	return lowest == INT64_MAX ? 0 : (int32) (lowest / TK_US_PER_DAY) - 1;
}

static void
load_days(StoreSession *session)
{
	static SpiStatement statement = {
		"SELECT tenant, item_type, dimension, day, list_id, value FROM topk.closed_days($1, $2)",
		2,
		{INT4OID, DATEOID},
		NULL};
	Datum values[] = {Int32GetDatum(session->config->source_id), day_datum(first_day(session))};
	uint64 n = spi_run(&statement, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		TkText tenant = row_text(i, 1);
		TkText value = row_text(i, 6);
		int32 number = DatumGetDateADT(spi_datum(i, 4)) + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
		TkStatus status;
		TkDimensionDay *day = tk_guard_find_day(session->panes, &tenant, row_text(i, 2).data,
												row_text(i, 3).data, number, &status);

		check_status(status);
		if (day == NULL)
			continue;
		check_status(
			tk_guard_know(session->panes, day->family, day->dimension, number, &value, spi_int64(i, 5)));
		tk_guard_close(day);
	}
}

void
store_load_limits(void *arg)
{
	StoreSession *session = arg;

	load_tenants(session);
	load_days(session);
}

/* Only a meter of the second in which its partition stands still matters. */
void
store_load_meters(void *arg)
{
	static SpiStatement statement = {
		"SELECT u.partition, u.tenant, u.quota_second, u.quota_used FROM topk.tenant_use u "
		"JOIN topk.partition p USING (source_id, partition) WHERE u.source_id = $1 "
		"AND u.quota_second = floor(extract(epoch FROM p.max_event_time))::bigint",
		1,
		{INT4OID},
		NULL};
	StoreSession *session = arg;
	Datum values[] = {Int32GetDatum(session->config->source_id)};
	uint64 n = tk_limits_meter(&session->config->limits) ? spi_run(&statement, values, NULL) : 0;

	for (uint64 i = 0; i < n; i++)
	{
		int slot = slot_of(session, spi_int32(i, 1));
		TkText tenant = row_text(i, 2);

		if (slot >= 0)
			check_status(tk_tenant_restore(session->panes, &tenant, slot, spi_int64(i, 3), spi_int64(i, 4)));
	}
}

/* ---------------------------------------------------------------- in the flush */

static void
flush_meter(const StoreSession *session, const TkTenant *tenant, int slot)
{
	static SpiStatement statement = {
		"INSERT INTO topk.tenant_use AS u (source_id, partition, tenant, counted, over_quota, disabled, "
		"quota_second, "
		"quota_used) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
		"ON CONFLICT (source_id, partition, tenant) DO UPDATE SET counted = u.counted + $4, "
		"over_quota = u.over_quota + $5, disabled = u.disabled + $6, quota_second = $7, quota_used = $8",
		8,
		{INT4OID, INT4OID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID},
		NULL};
	const TkMeter *meter = &tenant->meters[slot];
	char nulls[] = "        ";
	Datum values[] = {Int32GetDatum(session->config->source_id),
					  Int32GetDatum(session->partitions[slot].partition),
					  text_datum(tenant->name, tenant->name_len),
					  Int64GetDatum(meter->counted),
					  Int64GetDatum(meter->over_quota),
					  Int64GetDatum(meter->disabled),
					  Int64GetDatum(meter->second),
					  Int64GetDatum(meter->used)};

	if (meter->second == TK_NO_TIME)
		nulls[6] = 'n';
	spi_run(&statement, values, nulls);
}

void
store_flush_meters(const StoreSession *session)
{
	const TkTenant *tenant = NULL;

	while ((tenant = tk_tenant_next_changed(session->panes, tenant)) != NULL)
		for (int i = 0; i < session->n_partitions; i++)
			if (tenant->meters[i].changed)
				flush_meter(session, tenant, i);
}
