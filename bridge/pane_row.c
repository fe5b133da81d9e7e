/*
 * pane_row.c - what the store holds of a pane: exact pieces, or the whole (see pane.h).
 *
 * The pane's sketch has all updates from the first on, so that it is a function of their order alone; while
 * there are few, each is counted in the newest piece as well.  A piece ends with the flush that finds it
 * large enough, or when its sketch would have to purge; what comes next begins another.
 */
#include "pane_set.h"

#define MIN_PIECE_ENTRIES 64           /* fewer are cheap to write again */
#define MOST_EXACT_PER_WORKING_ENTRY 6 /* where pieces and a row written anew cost about the same WAL */

uint64_t
tk_most_exact(uint32_t capacity)
{
	return (uint64_t) MOST_EXACT_PER_WORKING_ENTRY * tk_working_entries(capacity);
}

bool
tk_row_is_sealed(const TkPane *pane, const TkRow *row)
{
	if (pane->sealed || pane->whole)
		return pane->sealed;
	return row != pane->rows || tk_sketch_count(row->sketch) >= MIN_PIECE_ENTRIES;
}

/* ---- making and forgetting ---- */

/* Owns the sketch from here on, unless it is the pane's. */
static TkStatus
add_row(TkPaneSet *set, TkPane *pane, TkSketch *sketch)
{
	uint64_t incarnation = pane->incarnation;
	bool first = pane->rows == NULL && pane->pieces == 0;
	TkStatus status = first ? TK_OK : tk_pane_draw_incarnation(set, &incarnation);
	TkRow *row = status == TK_OK ? tk_counted_zalloc(&set->memory, sizeof(TkRow)) : NULL;

	if (row == NULL)
	{
		if (sketch != pane->sketch)
			tk_sketch_free(sketch);
		return status == TK_OK ? TK_NO_MEMORY : status;
	}
	row->incarnation = incarnation;
	row->sketch = sketch;
	row->changed = true;
	row->next = pane->rows;
	pane->rows = row;
	return TK_OK;
}

static void
free_rows(TkPaneSet *set, const TkPane *pane, TkRow *row)
{
	while (row != NULL)
	{
		TkRow *next = row->next;

		if (row->sketch != pane->sketch)
			tk_sketch_free(row->sketch);
		tk_counted_free(&set->memory, row);
		row = next;
	}
}

void
tk_rows_free(TkPaneSet *set, TkPane *pane)
{
	free_rows(set, pane, pane->rows);
	pane->rows = NULL;
}

/* ---- counting ---- */

static TkStatus
become_whole(TkPaneSet *set, TkPane *pane)
{
	TkStatus status = add_row(set, pane, pane->sketch);

	if (status != TK_OK)
		return status;
	free_rows(set, pane, pane->rows->next);
	pane->rows->next = NULL;
	pane->whole = true;
	return TK_OK;
}

static TkStatus
begin_piece(TkPaneSet *set, TkPane *pane)
{
	const TkFamily *family = pane->list->family;
	TkSketch *sketch;
	TkStatus status =
		tk_sketch_create(&set->memory.allocator, TK_KIND_TEXT, family->k, family->capacity, &sketch);

	return status == TK_OK ? add_row(set, pane, sketch) : status;
}

TkStatus
tk_rows_part(TkPane *pane)
{
	TkRow *row = pane->rows;

	if (pane->whole || row == NULL || row->sketch != pane->sketch)
		return TK_OK;
	return tk_sketch_clone(pane->sketch, NULL, &row->sketch);
}

/* The newest piece, with room for one more entry. */
static TkStatus
prepare_piece(TkPaneSet *set, TkPane *pane)
{
	TkStatus status = TK_OK;

	if (pane->rows == NULL)
		return pane->pieces == 0 ? add_row(set, pane, pane->sketch) : begin_piece(set, pane);
	if (tk_sketch_count(pane->rows->sketch) < tk_working_entries(pane->list->family->capacity))
		return TK_OK;
	status = tk_rows_part(pane);
	return status == TK_OK ? begin_piece(set, pane) : status;
}

TkStatus
tk_rows_count(TkPaneSet *set, TkPane *pane, const TkText *item, uint64_t hash, uint64_t weight)
{
	TkStatus status;

	if (++pane->updates > pane->list->family->most_exact)
		return become_whole(set, pane);
	status = prepare_piece(set, pane);
	if (status != TK_OK)
		return status;
	pane->rows->changed = true;
	if (pane->rows->sketch == pane->sketch)
		return TK_OK;
	return tk_sketch_update_hashed(pane->rows->sketch, item->data, item->len, hash, weight);
}

TkStatus
tk_rows_copy(TkPaneSet *set, TkPane *pane, const TkPane *from)
{
	TkStatus status = TK_OK;

	if (pane->whole)
		return TK_OK;
	pane->updates += from->updates;
	if (from->whole || pane->updates > pane->list->family->most_exact)
		return become_whole(set, pane);
	for (const TkRow *row = from->rows; row != NULL && status == TK_OK; row = row->next)
	{
		TkSketch *copy;

		status = tk_sketch_clone(row->sketch, NULL, &copy);
		if (status == TK_OK)
			status = add_row(set, pane, copy);
	}
	return status;
}

/* ---- flushing ---- */

void
tk_rows_flushed(TkPaneSet *set, TkPane *pane)
{
	TkRow *newest = pane->rows;

	if (newest == NULL)
		return;
	for (const TkRow *row = newest; row != NULL; row = row->next)
		pane->pieces += !row->written;
	if (pane->whole)
		pane->pieces = 0;
	free_rows(set, pane, newest->next);
	newest->next = NULL;
	newest->changed = false;
	newest->written = true;
	if (tk_row_is_sealed(pane, newest))
		tk_rows_free(set, pane);
}
