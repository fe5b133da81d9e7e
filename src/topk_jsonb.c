/*
 * topk_jsonb.c
 *		The cast from topk to jsonb: what the accessors say, as one document.
 *
 *		{"k": 100, "capacity": 300, "total": 12, "max_error": 0, "exact": true, "item_type": "text",
 *		 "items": [{"rank": 1, "item": "a", "estimate": 9, "lower_bound": 9, "upper_bound": 9,
 *					"guaranteed": true}, ...]}
 *
 * The items are the top k, as topk_items lists them. bigint items are numbers, all others strings.
 */
#include "compat.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "topk_item.h"
#include "topk_value.h"

TOPK_FUNCTION(topk_to_jsonb);

static void
PushKey(JsonbParseState **state, const char *name)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = (char *) name;
	key.val.string.len = (int) strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
}

static void
PushNumber(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue value = {.type = jbvNumeric};

	PushKey(state, name);
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
PushBool(JsonbParseState **state, const char *name, bool boolean)
{
	JsonbValue value = {.type = jbvBool};

	PushKey(state, name);
	value.val.boolean = boolean;
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* The string must live until the document is finished. */
static void
PushString(JsonbParseState **state, const char *name, char *string, int len)
{
	JsonbValue value = {.type = jbvString};

	PushKey(state, name);
	value.val.string.val = string;
	value.val.string.len = len;
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
PushItem(JsonbParseState **state, TkKind kind, int rank, const TkItem *item)
{
	char *string;
	int len;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	PushNumber(state, "rank", rank);
	if (kind == TK_KIND_BIGINT)
		PushNumber(state, "item", tk_bigint_value(item->key));
	else
	{
		string = TopkItemString(kind, item, &len);
		PushString(state, "item", string, len);
	}
	PushNumber(state, "estimate", (int64) item->upper);
	PushNumber(state, "lower_bound", (int64) item->lower);
	PushNumber(state, "upper_bound", (int64) item->upper);
	PushBool(state, "guaranteed", item->guaranteed);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
PushItems(JsonbParseState **state, const TkView *view)
{
	TkAllocator allocator = TopkAllocator(CurrentMemoryContext);
	TkItem *items;
	size_t count;

	TopkCheck(tk_view_items(view, &allocator, view->summary.k, &items, &count));
	PushKey(state, "items");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (size_t i = 0; i < count; i++)
		PushItem(state, view->summary.kind, (int) i + 1, &items[i]);
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

Datum
topk_to_jsonb(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;
	JsonbValue *document;
	TopkReader reader;
	TkSummary *summary = &reader.view.summary;
	char *kind;

	TopkOpen(&reader, PG_GETARG_DATUM(0));
	kind = pstrdup(tk_kind_name(summary->kind));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushNumber(&state, "k", summary->k);
	PushNumber(&state, "capacity", summary->capacity);
	PushNumber(&state, "total", (int64) summary->total);
	PushNumber(&state, "max_error", (int64) summary->max_error);
	PushBool(&state, "exact", summary->exact);
	PushString(&state, "item_type", kind, (int) strlen(kind));
	PushItems(&state, &reader.view);
	document = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(document));
}
