/*
 * topk_accessors.c
 *		Facts about a sketch, and about one item in it; read from the stored form where it lies,
 *		or from its header alone.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "topk_item.h"
#include "topk_value.h"

#define ESTIMATE_COLUMNS 3 /* estimate, lower_bound, upper_bound */

TOPK_FUNCTION(topk_total);
TOPK_FUNCTION(topk_max_error);
TOPK_FUNCTION(topk_capacity);
TOPK_FUNCTION(topk_k);
TOPK_FUNCTION(topk_is_exact);
TOPK_FUNCTION(topk_item_type);
TOPK_FUNCTION(topk_capacity_for);
TOPK_FUNCTION(topk_estimate_text);
TOPK_FUNCTION(topk_estimate_bigint);
TOPK_FUNCTION(topk_estimate_uuid);

/* What these need is in the header of the value. */
static TkSummary
GetSummary(FunctionCallInfo fcinfo)
{
	return TopkSummary(PG_GETARG_DATUM(0));
}

Datum
topk_total(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSummary(fcinfo).total);
}

Datum
topk_max_error(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSummary(fcinfo).max_error);
}

Datum
topk_capacity(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) GetSummary(fcinfo).capacity);
}

Datum
topk_k(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) GetSummary(fcinfo).k);
}

Datum
topk_is_exact(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(GetSummary(fcinfo).exact);
}

Datum
topk_item_type(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(tk_kind_name(GetSummary(fcinfo).kind)));
}

Datum
topk_capacity_for(PG_FUNCTION_ARGS)
{
	uint32 capacity;

	if (tk_capacity_for_epsilon(PG_GETARG_FLOAT8(0), &capacity) != TK_OK)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("epsilon must be less than 1 and at least 1/%d", TK_MAX_CAPACITY + 1));
	PG_RETURN_INT32((int32) capacity);
}

/* Bounds of one item's weight, as a record. An item without an entry weighs from 0 to max_error. */
static Datum
EstimateItem(FunctionCallInfo fcinfo, TkKind kind)
{
	TopkReader reader;
	TupleDesc desc;
	TopkKeyRoom room;
	TopkKey key;
	uint64_t lower;
	uint64_t upper;
	Datum values[ESTIMATE_COLUMNS];
	bool nulls[ESTIMATE_COLUMNS] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	TopkOpen(&reader, PG_GETARG_DATUM(0));
	TopkCheckKinds(reader.view.summary.kind, kind);
	key = TopkKeyFromDatum(kind, PG_GETARG_DATUM(1), room);
	tk_view_estimate(&reader.view, key.data, key.len, &lower, &upper);
	values[0] = Int64GetDatum((int64) upper);
	values[1] = Int64GetDatum((int64) lower);
	values[2] = Int64GetDatum((int64) upper);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
topk_estimate_text(PG_FUNCTION_ARGS)
{
	return EstimateItem(fcinfo, TK_KIND_TEXT);
}

Datum
topk_estimate_bigint(PG_FUNCTION_ARGS)
{
	return EstimateItem(fcinfo, TK_KIND_BIGINT);
}

Datum
topk_estimate_uuid(PG_FUNCTION_ARGS)
{
	return EstimateItem(fcinfo, TK_KIND_UUID);
}
