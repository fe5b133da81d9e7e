/*
 * topk_items.c
 *		The ranked lists that a sketch gives: topk_items and its typed forms, topk_heavy_hitters.
 *
 * All are read from the stored form where it lies, into a tuplestore.
 */
#include "compat.h"

#include <math.h>

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "topk_item.h"
#include "topk_value.h"

#define ITEM_COLUMNS 6         /* rank, item, estimate, lower_bound, upper_bound, guaranteed */
#define HEAVY_HITTER_COLUMNS 7 /* ... and complete */

TOPK_FUNCTION(topk_items);
TOPK_FUNCTION(topk_items_bigint);
TOPK_FUNCTION(topk_items_uuid);
TOPK_FUNCTION(topk_heavy_hitters);
TOPK_FUNCTION(topk_heavy_hitters_complete);

/* The `limit` highest items of a value, in the current memory context; keys point into the value. */
static TkItem *
RankItems(const TopkReader *reader, size_t limit, size_t *count)
{
	TkAllocator allocator = TopkAllocator(CurrentMemoryContext);
	TkItem *items;

	TopkCheck(tk_view_items(&reader->view, &allocator, limit, &items, count));
	return items;
}

static void
FillRow(Datum *values, size_t index, const TkItem *item, Datum key)
{
	values[0] = Int32GetDatum((int32) index + 1);
	values[1] = key;
	values[2] = Int64GetDatum((int64) item->upper);
	values[3] = Int64GetDatum((int64) item->lower);
	values[4] = Int64GetDatum((int64) item->upper);
	values[5] = BoolGetDatum(item->guaranteed);
}

/* ---- topk_items ------------------------------------------------------------------------------ */

/* How many items a caller asks for: as many as the sketch was made for, unless he says. */
static size_t
GetLimit(FunctionCallInfo fcinfo, const TopkReader *reader)
{
	int32 n;

	if (PG_ARGISNULL(1))
		return reader->view.summary.k;
	n = PG_GETARG_INT32(1);
	if (n < 0)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("n must not be negative"));
	return (size_t) n;
}

static Datum
ListItems(FunctionCallInfo fcinfo, TkKind column_kind)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TopkReader reader;
	TkItem *items;
	size_t count;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	TopkOpen(&reader, PG_GETARG_DATUM(0));
	if (column_kind != TK_KIND_TEXT)
		TopkCheckKinds(reader.view.summary.kind, column_kind);
	items = RankItems(&reader, GetLimit(fcinfo, &reader), &count);
	for (size_t i = 0; i < count; i++)
	{
		Datum values[ITEM_COLUMNS];
		bool nulls[ITEM_COLUMNS] = {false};

		FillRow(values, i, &items[i],
				column_kind == TK_KIND_TEXT
					? PointerGetDatum(TopkItemText(reader.view.summary.kind, &items[i]))
					: TopkItemDatum(column_kind, &items[i]));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
topk_items(PG_FUNCTION_ARGS)
{
	return ListItems(fcinfo, TK_KIND_TEXT);
}

Datum
topk_items_bigint(PG_FUNCTION_ARGS)
{
	return ListItems(fcinfo, TK_KIND_BIGINT);
}

Datum
topk_items_uuid(PG_FUNCTION_ARGS)
{
	return ListItems(fcinfo, TK_KIND_UUID);
}

/* ---- heavy hitters --------------------------------------------------------------------------- */

/* The weight that an item must exceed to be heavy. */
static double
GetThreshold(const TkSummary *summary, double share)
{
	if (isnan(share) || share < 0.0 || share > 1.0)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("share must be between 0 and 1"));
	return share * (double) summary->total;
}

/* No item without an entry weighs more than max_error. */
static bool
IsComplete(const TkSummary *summary, double threshold)
{
	return threshold >= (double) summary->max_error;
}

/* All items that may exceed the share; guaranteed are those that do. */
Datum
topk_heavy_hitters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TopkReader reader;
	TkItem *items;
	size_t count;
	double threshold;

	InitMaterializedSRF(fcinfo, 0);
	TopkOpen(&reader, PG_GETARG_DATUM(0));
	threshold = GetThreshold(&reader.view.summary, PG_GETARG_FLOAT8(1));
	items = RankItems(&reader, SIZE_MAX, &count);
	for (size_t i = 0; i < count && (double) items[i].upper > threshold; i++)
	{
		Datum values[HEAVY_HITTER_COLUMNS];
		bool nulls[HEAVY_HITTER_COLUMNS] = {false};

		items[i].guaranteed = (double) items[i].lower > threshold;
		FillRow(values, i, &items[i], PointerGetDatum(TopkItemText(reader.view.summary.kind, &items[i])));
		values[ITEM_COLUMNS] = BoolGetDatum(IsComplete(&reader.view.summary, threshold));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
topk_heavy_hitters_complete(PG_FUNCTION_ARGS)
{
	TkSummary summary = TopkSummary(PG_GETARG_DATUM(0));

	PG_RETURN_BOOL(IsComplete(&summary, GetThreshold(&summary, PG_GETARG_FLOAT8(1))));
}
