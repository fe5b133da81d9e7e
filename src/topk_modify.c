/*
 * topk_modify.c
 *		Functions that make a new sketch of given ones: topk_add and topk || topk.
 *
 * Values do not change; each function decodes its argument, works on the copy and encodes that. For many
 * items or sketches the aggregates do the same without a round trip for each.
 */
#include "compat.h"

#include "topk_item.h"
#include "topk_value.h"

TOPK_FUNCTION(topk_add_text);
TOPK_FUNCTION(topk_add_bigint);
TOPK_FUNCTION(topk_add_uuid);
TOPK_FUNCTION(topk_union);

static TkSketch *
CreateDefault(TkKind kind)
{
	TkAllocator allocator = TopkAllocator(CurrentMemoryContext);
	TkSketch *sketch;

	TopkCheck(tk_sketch_create(&allocator, kind, TK_DEFAULT_K, TopkDefaultCapacity(TK_DEFAULT_K), &sketch));
	return sketch;
}

/*
 * Count one item. Like the aggregates it ignores NULL items and NULL or zero weights, and like them it makes
 * something of nothing: NULL is a sketch that has not begun, so that UPDATE t SET s = topk_add(s, item) does.
 */
static Datum
AddItem(FunctionCallInfo fcinfo, TkKind kind)
{
	int64 weight = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	TkSketch *sketch;
	TopkKeyRoom room;
	TopkKey key;
	Datum result;

	TopkCheckWeight(weight);
	if (PG_ARGISNULL(1) || weight == 0)
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	sketch = PG_ARGISNULL(0) ? CreateDefault(kind) : TopkDecode(PG_GETARG_DATUM(0), CurrentMemoryContext);
	TopkCheckKinds(tk_sketch_kind(sketch), kind);
	key = TopkKeyFromDatum(kind, PG_GETARG_DATUM(1), room);
	TopkCheck(tk_sketch_update(sketch, key.data, key.len, (uint64) weight));
	result = TopkEncode(sketch, TK_FINAL);
	tk_sketch_free(sketch);
	return result;
}

Datum
topk_add_text(PG_FUNCTION_ARGS)
{
	return AddItem(fcinfo, TK_KIND_TEXT);
}

Datum
topk_add_bigint(PG_FUNCTION_ARGS)
{
	return AddItem(fcinfo, TK_KIND_BIGINT);
}

Datum
topk_add_uuid(PG_FUNCTION_ARGS)
{
	return AddItem(fcinfo, TK_KIND_UUID);
}

Datum
topk_union(PG_FUNCTION_ARGS)
{
	TkSketch *sketch = TopkDecode(PG_GETARG_DATUM(0), CurrentMemoryContext);
	Datum result;

	TopkMergeValue(sketch, PG_GETARG_DATUM(1));
	result = TopkEncode(sketch, TK_FINAL);
	tk_sketch_free(sketch);
	return result;
}
