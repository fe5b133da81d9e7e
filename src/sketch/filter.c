/*
 * filter.c
 *		The admission filter: a row of F cells, each an upper bound for every key without an entry that
 *		hashes to it, and never above theta.
 *
 * It exists in memory only, from the first purge of an updated sketch on. It can be dropped at any time,
 * since theta bounds the same keys; so nothing here can fail: where memory is short there is no filter,
 * and the sketch is as right as before, only less accurate.
 */
#include "internal.h"

void
tk_filter_drop(TkSketch *s)
{
	tk_release(&s->alloc, s->filter32);
	tk_release(&s->alloc, s->filter64);
	s->filter32 = NULL;
	s->filter64 = NULL;
}

static size_t
filter_cells(const TkSketch *s)
{
	return (size_t) s->filter_mask + 1;
}

size_t
tk_filter_bytes(const TkSketch *s)
{
	if (s->filter32 != NULL)
		return filter_cells(s) * sizeof(uint32_t);
	return s->filter64 != NULL ? filter_cells(s) * sizeof(uint64_t) : 0;
}

/* One less than the smallest power of two that is at least 16 W. */
static uint32_t
filter_mask_for(uint32_t working)
{
	uint32_t cells = 1;

	while (cells < working * TK_FILTER_CELLS_PER_ENTRY)
		cells *= 2;
	return cells - 1;
}

/* Have a filter that says what theta says: a fresh one, each cell at theta. */
void
tk_filter_create(TkSketch *s)
{
	bool narrow = s->theta <= UINT32_MAX;
	size_t cells;

	if (tk_has_filter(s))
		return;
	s->filter_mask = filter_mask_for(s->working);
	cells = filter_cells(s);
	if (narrow)
		s->filter32 = tk_alloc(&s->alloc, cells * sizeof(uint32_t));
	else
		s->filter64 = tk_alloc(&s->alloc, cells * sizeof(uint64_t));
	for (size_t cell = 0; cell < cells && s->filter32 != NULL; cell++)
		s->filter32[cell] = (uint32_t) s->theta;
	for (size_t cell = 0; cell < cells && s->filter64 != NULL; cell++)
		s->filter64[cell] = s->theta;
}

/* Theta is about to become this: widen the cells if values up to it do not fit them. */
void
tk_filter_fit(TkSketch *s, uint64_t theta)
{
	uint32_t *narrow = s->filter32;
	size_t cells = filter_cells(s);

	if (narrow == NULL || theta <= UINT32_MAX)
		return;
	s->filter32 = NULL;
	s->filter64 = tk_alloc(&s->alloc, cells * sizeof(uint64_t));
	for (size_t cell = 0; cell < cells && s->filter64 != NULL; cell++)
		s->filter64[cell] = narrow[cell];
	tk_release(&s->alloc, narrow);
}

/* A key with this hash and at most this weight loses its entry. The cells are wide enough. */
void
tk_filter_raise(TkSketch *s, uint32_t hash, uint64_t value)
{
	uint32_t cell = hash & s->filter_mask;

	if (s->filter32 != NULL && s->filter32[cell] < value)
		s->filter32[cell] = (uint32_t) value;
	if (s->filter64 != NULL && s->filter64[cell] < value)
		s->filter64[cell] = value;
}

/* The bound that `src` gives for all keys of one cell of a filter with this mask. */
static uint64_t
cell_bound(const TkSketch *src, uint32_t cell, uint32_t mask)
{
	uint64_t bound = 0;
	uint64_t cells = tk_has_filter(src) ? filter_cells(src) : 1;

	/* a coarser cell is made of several finer ones; a finer one lies in one coarser one */
	for (uint64_t part = cell; part == cell || part < cells; part += (uint64_t) mask + 1)
	{
		uint64_t value = tk_filter_value(src, (uint32_t) part);

		bound = value > bound ? value : bound;
	}
	return bound;
}

/* The usual case, two narrow filters of one size: cell by cell. False if it is another. */
static bool
add_alike(TkSketch *dst, const TkSketch *src)
{
	size_t cells = filter_cells(dst);

	if (dst->filter32 == NULL || src->filter32 == NULL || dst->filter_mask != src->filter_mask)
		return false;
	for (size_t cell = 0; cell < cells; cell++)
		dst->filter32[cell] += src->filter32[cell];
	return true;
}

/*
 * Before a merge adds the thetas: make the filter of dst bound the keys of both sides. A key without an
 * entry in the merged sketch has none on either side, so the two bounds add.
 */
void
tk_filter_merge(TkSketch *dst, const TkSketch *src)
{
	uint32_t mask;

	if (tk_has_filter(src))
		tk_filter_create(dst);
	tk_filter_fit(dst, dst->theta + src->theta);
	if (!tk_has_filter(dst) || src->theta == 0)
		return;
	if (add_alike(dst, src))
		return;
	mask = dst->filter_mask;
	for (uint32_t cell = 0; cell <= mask && dst->filter32 != NULL; cell++)
		dst->filter32[cell] += (uint32_t) cell_bound(src, cell, mask);
	for (uint32_t cell = 0; cell <= mask && dst->filter64 != NULL; cell++)
		dst->filter64[cell] += cell_bound(src, cell, mask);
}
