/*
 * config_tenants.c - reads topk.tenant, with what a tenant does not set filled in (see config_tenants.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "config_tenants.h"
#include "spi_util.h"

static void
load_dimensions(TkTenantRules *rules, uint64 row, int column, MemoryContext context)
{
	Datum *elements;
	const char **names;

	rules->n_dimensions = -1;
	if (spi_is_null(row, column))
		return;
	deconstruct_array(DatumGetArrayTypeP(spi_datum(row, column)), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  NULL, &rules->n_dimensions);
	names = MemoryContextAlloc(context, sizeof(char *) * Max(rules->n_dimensions, 1));
	for (int i = 0; i < rules->n_dimensions; i++)
		names[i] = MemoryContextStrdup(context, TextDatumGetCString(elements[i]));
	rules->dimensions = names;
}

static void
load_rules(TkTenantRules *rules, uint64 row, MemoryContext context)
{
	rules->tenant = spi_text(row, 1, context);
	rules->enabled = spi_bool(row, 2);
	rules->k = (uint32) spi_int32(row, 3);
	rules->capacity = (uint32) spi_int32(row, 4);
	load_dimensions(rules, row, 5, context);
	rules->items_per_second = spi_is_null(row, 6) ? 0 : spi_int64(row, 6);
	rules->max_values = (uint32) spi_int32(row, 7);
}

void
config_load_tenants(int32 source_id, TkLimits *limits, MemoryContext context)
{
	static SpiStatement statement = {
		"SELECT t.tenant, t.enabled, t.k, t.capacity, t.dimensions, t.items_per_second, t.max_values, "
		"s.max_tenants "
		"FROM topk.source s, topk.tenant_settings(s.source_id) t WHERE s.source_id = $1 "
		"ORDER BY t.tenant COLLATE \"C\" NULLS LAST",
		1,
		{INT4OID},
		NULL};
	Datum values[] = {Int32GetDatum(source_id)};
	uint64 n = spi_run(&statement, values, NULL);
	TkTenantRules *listed = MemoryContextAllocZero(context, sizeof(TkTenantRules) * Max(n, 1));

	if (n == 0)
		elog(ERROR, "source %d has no settings for tenants that are not listed", source_id);
	limits->listed = listed;
	limits->n_listed = (int) n - 1;
	for (int i = 0; i < limits->n_listed; i++)
		load_rules(&listed[i], (uint64) i, context);
	load_rules(&limits->unlisted, n - 1, context);
	limits->max_tenants = (uint32) spi_int32(n - 1, 8);
}
