/*
 * topk_datasketches.c
 *		Exchange with Apache DataSketches: their frequent-items sketches of strings and of longs, as bytea.
 *
 * Their bytes do not say which of the two they hold, so the caller does.
 */
#include "compat.h"

#include "utils/builtins.h"

#include "topk_value.h"

TOPK_FUNCTION(topk_to_datasketches);
TOPK_FUNCTION(topk_from_datasketches);

Datum
topk_to_datasketches(PG_FUNCTION_ARGS)
{
	TkSketch *sketch = TopkDecode(PG_GETARG_DATUM(0), CurrentMemoryContext);
	TkAllocator allocator = TopkAllocator(CurrentMemoryContext);
	void *bytes;
	size_t len;

	if (tk_sketch_kind(sketch) == TK_KIND_UUID)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("DataSketches has no frequent-items sketch of %s items", tk_kind_name(TK_KIND_UUID)),
				errhint("Count the items as text."));
	TopkCheck(tk_sketch_to_datasketches(sketch, &allocator, VARHDRSZ, &bytes, &len));
	SET_VARSIZE(bytes, VARHDRSZ + len);
	tk_sketch_free(sketch);
	PG_RETURN_BYTEA_P(bytes);
}

static TkKind
GetKind(text *name)
{
	char *string = text_to_cstring(name);

	if (strcmp(string, tk_kind_name(TK_KIND_TEXT)) == 0)
		return TK_KIND_TEXT;
	if (strcmp(string, tk_kind_name(TK_KIND_BIGINT)) == 0)
		return TK_KIND_BIGINT;
	ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("item type must be text or bigint"));
	pg_unreachable();
}

Datum
topk_from_datasketches(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	TkAllocator allocator = TopkAllocator(CurrentMemoryContext);
	TkSketch *sketch;
	TkStatus status;

	status = tk_sketch_from_datasketches(&allocator, GetKind(PG_GETARG_TEXT_PP(1)), TK_DEFAULT_K,
										 VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &sketch);
	if (status != TK_OK)
		ereport(ERROR, errcode(TopkSqlState(status, TOPK_BINARY)),
				errmsg("invalid DataSketches frequent-items sketch: %s", tk_status_text(status)));
	return TopkEncode(sketch, TK_FINAL);
}
