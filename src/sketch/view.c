/*
 * view.c
 *		Answers from stored bytes where they lie: no hash table, no copy of keys.
 */
#include "wire.h"

TkStatus
tk_view_open(const void *bytes, size_t len, TkView *view)
{
	TkWire wire;
	TkStatus status = tk_wire_header(bytes, len, len, &wire);

	if (status != TK_OK)
		return status;
	memset(view, 0, sizeof(*view));
	view->summary = wire.summary;
	view->excess = wire.at;
	view->end = wire.end;
	if (!tk_wire_excess(&wire, NULL))
		return TK_CORRUPT;
	view->gaps = wire.summary.max_error > 0 ? wire.at : NULL;
	if (!tk_wire_gaps(&wire, NULL))
		return TK_CORRUPT;
	view->lengths = wire.at;
	if (!tk_wire_lengths(&wire, NULL))
		return TK_CORRUPT;
	view->varying = wire.varying;
	view->key_width = wire.width;
	view->keys = wire.at;
	return TK_OK;
}

TkStatus
tk_view_summary(const void *bytes, size_t at_hand, size_t len, TkSummary *summary)
{
	TkWire wire;
	TkStatus status;

	if (at_hand > len || at_hand < (len < TK_SUMMARY_BYTES ? len : TK_SUMMARY_BYTES))
		return TK_BAD_ARGUMENT;
	status = tk_wire_header(bytes, at_hand, len, &wire);
	if (status == TK_OK)
		*summary = wire.summary;
	return status;
}

/* A place in all columns at once. */
typedef struct Cursor
{
	const TkView *view;
	const uint8_t *excess_at;
	const uint8_t *gap_at;
	const uint8_t *length_at;
	uint32_t index;
	uint64_t excess;
	uint64_t gap;
	uint64_t length;
	const uint8_t *key;
} Cursor;

static void
cursor_start(Cursor *cursor, const TkView *view)
{
	memset(cursor, 0, sizeof(*cursor));
	cursor->view = view;
	cursor->excess_at = view->excess;
	cursor->gap_at = view->gaps;
	cursor->length_at = view->lengths;
	cursor->key = view->keys;
}

/* Step to the next entry; false when there is none. Opening has checked all that is read here. */
static bool
cursor_next(Cursor *cursor)
{
	const TkView *view = cursor->view;
	uint64_t value = 0;

	if (cursor->index == view->summary.count)
		return false;
	cursor->key += cursor->length;
	cursor->excess_at = tk_varint_get(cursor->excess_at, view->end, &value);
	cursor->excess = cursor->index == 0 ? value : cursor->excess - value;
	if (view->gaps != NULL)
		cursor->gap_at = tk_varint_get(cursor->gap_at, view->end, &cursor->gap);
	cursor->length = view->key_width;
	if (view->varying)
		cursor->length_at = tk_varint_get(cursor->length_at, view->end, &cursor->length);
	cursor->index++;
	return true;
}

bool
tk_view_estimate(const TkView *view, const void *key, size_t len, uint64_t *lower, uint64_t *upper)
{
	Cursor cursor;

	cursor_start(&cursor, view);
	while (cursor_next(&cursor))
	{
		if (cursor.length != len || !tk_bytes_equal(cursor.key, key, len))
			continue;
		*lower = cursor.excess + cursor.gap;
		*upper = cursor.excess + view->summary.max_error;
		return true;
	}
	*lower = 0;
	*upper = view->summary.max_error;
	return false;
}

TkStatus
tk_view_items(const TkView *view, const TkAllocator *alloc, size_t limit, TkItem **items, size_t *count)
{
	TkRef *refs;
	TkStatus status;
	Cursor cursor;
	uint32_t entries = view->summary.count;

	*items = NULL;
	*count = 0;
	if (entries == 0 || limit == 0)
		return TK_OK;
	refs = tk_alloc(alloc, 2 * (size_t) entries * sizeof(*refs));
	if (refs == NULL)
		return TK_NO_MEMORY;
	cursor_start(&cursor, view);
	for (TkRef *ref = refs; cursor_next(&cursor); ref++)
	{
		ref->major = cursor.excess + view->summary.max_error;
		ref->minor = cursor.excess + cursor.gap;
		ref->key = cursor.key;
		ref->len = (uint32_t) cursor.length;
		ref->position = cursor.index - 1;
	}
	status = tk_items_from_refs(&view->summary, refs, refs + entries, alloc, limit, items, count);
	tk_release(alloc, refs);
	return status;
}
