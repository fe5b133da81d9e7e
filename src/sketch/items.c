/*
 * items.c
 *		What a query sees: bounds of one key, and the items by rank.
 */
#include "table.h"

bool
tk_sketch_estimate(const TkSketch *s, const void *key, size_t len, uint64_t *lower, uint64_t *upper)
{
	uint32_t position = TK_NOT_FOUND;

	if (len - s->key_min <= s->key_span)
		position = tk_table_find(s, key, (uint32_t) len, (uint32_t) tk_hash_bytes(key, len));
	if (position == TK_NOT_FOUND)
	{
		*lower = 0;
		*upper = s->theta;
		return false;
	}
	*lower = s->entries[position].excess + tk_entry_gap(s, position);
	*upper = s->entries[position].excess + s->theta;
	return true;
}

/*
 * Is the item at `rank` (from 0) certainly among the top k? At least theta, so that no key without an
 * entry beats it, and fewer than k other entries have an upper bound above its lower one. The refs are
 * sorted by upper bound (major), so the upper bound at one place tells: the item itself is among those
 * that exceed its lower bound exactly if its bounds differ.
 */
static bool
is_guaranteed(const TkSummary *summary, const TkRef *refs, const TkRef *item)
{
	uint32_t rivals = summary->k + (item->major > item->minor) - 1;

	if (item->minor < summary->max_error)
		return false;
	return rivals >= summary->count || refs[rivals].major <= item->minor;
}

/* Rank the references (major: upper, minor: lower) and hand out the first of them as items. */
TkStatus
tk_items_from_refs(const TkSummary *summary, TkRef *refs, TkRef *spare, const TkAllocator *alloc,
				   size_t limit, TkItem **items, size_t *count)
{
	size_t listed = limit < summary->count ? limit : summary->count;
	TkItem *list = tk_alloc(alloc, listed * sizeof(*list));

	if (list == NULL)
		return TK_NO_MEMORY;
	tk_sort_refs(refs, spare, summary->count);
	for (size_t rank = 0; rank < listed; rank++)
	{
		list[rank].key = refs[rank].key;
		list[rank].key_len = refs[rank].len;
		list[rank].upper = refs[rank].major;
		list[rank].lower = refs[rank].minor;
		list[rank].guaranteed = is_guaranteed(summary, refs, &refs[rank]);
	}
	*items = list;
	*count = listed;
	return TK_OK;
}

TkStatus
tk_sketch_items(const TkSketch *s, const TkAllocator *alloc, size_t limit, TkItem **items, size_t *count)
{
	TkSummary summary;
	TkRef *refs;
	TkStatus status;

	*items = NULL;
	*count = 0;
	if (s->count == 0 || limit == 0)
		return TK_OK;
	refs = tk_alloc(alloc, 2 * (size_t) s->count * sizeof(*refs));
	if (refs == NULL)
		return TK_NO_MEMORY;
	for (uint32_t position = 0; position < s->count; position++)
	{
		refs[position].major = s->entries[position].excess + s->theta;
		refs[position].minor = s->entries[position].excess + tk_entry_gap(s, position);
		refs[position].key = tk_entry_key(s, position);
		refs[position].len = tk_entry_length(s, position);
		refs[position].position = position;
	}
	tk_sketch_summary(s, &summary);
	status = tk_items_from_refs(&summary, refs, refs + s->count, alloc, limit, items, count);
	tk_release(alloc, refs);
	return status;
}
