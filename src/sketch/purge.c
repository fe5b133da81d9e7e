/*
 * purge.c
 *		Leaving only the heaviest entries, and so raising theta: when the working entries are full, and
 *		when a finished sketch is trimmed.
 *
 * With r entries to keep, d is the (r+1)-th largest excess. Theta rises by d; the entries above d stay
 * and lose d of their excess, which their gap gains (their bounds stay what they were); those below d
 * leave, and what they may have weighed goes into the filter. Of those at d the ones with the smallest
 * keys stay, up to r in all: without them flat data would keep almost nothing. Each of the r+1 largest
 * lost d, so that the potential of the proof (sum of excess + (m+1) theta <= n) holds for every r >= m.
 */
#include "internal.h"

/* How many entries a purge of a working state keeps. */
uint32_t
tk_purge_rank(const TkSketch *s)
{
	return s->working - s->working / 4;
}

/* Scratch: a value (8 bytes), a position (4) and a mark (1) for each entry. */
size_t
tk_purge_scratch_bytes(uint64_t count)
{
	return (size_t) count * (sizeof(uint64_t) + sizeof(uint32_t) + sizeof(uint8_t));
}

/* Get all the memory that a purge of up to `count` entries needs, so that it cannot fail. */
TkStatus
tk_purge_prepare(TkSketch *s, uint64_t count, void **scratch)
{
	TkStatus status = tk_table_need_gaps(s);

	*scratch = NULL;
	if (status != TK_OK)
		return status;
	*scratch = tk_alloc(&s->alloc, tk_purge_scratch_bytes(count));
	return *scratch != NULL ? TK_OK : TK_NO_MEMORY;
}

/* Mark the entries that stay: those above `raise`, and of those at it the smallest keys up to `keep` in all.
 */
static void
mark_staying(const TkSketch *s, uint32_t keep, uint64_t raise, uint64_t *values, uint32_t *ties,
			 uint8_t *stays)
{
	uint32_t above = 0;
	uint32_t tied = 0;
	uint32_t room;

	for (uint32_t position = 0; position < s->count; position++)
	{
		uint64_t excess = s->entries[position].excess;

		stays[position] = excess > raise;
		above += excess > raise;
		ties[tied] = position;
		tied += excess == raise;
	}
	room = keep - above;
	tk_select_keys(s, ties, tied, room, values);
	for (uint32_t i = 0; i < room; i++)
		stays[ties[i]] = 1;
}

/* What leaving entries may have weighed goes into the filter. */
static void
raise_filter(TkSketch *s, const uint8_t *stays)
{
	for (uint32_t position = 0; position < s->count; position++)
		if (!stays[position])
			tk_filter_raise(s, s->entries[position].hash, s->entries[position].excess + s->theta);
}

/* The positions of those that stay; returns their number. */
static uint32_t
list_staying(const TkSketch *s, const uint8_t *stays, uint32_t *list)
{
	uint32_t listed = 0;

	for (uint32_t position = 0; position < s->count; position++)
	{
		list[listed] = position;
		listed += stays[position];
	}
	return listed;
}

/* Copy an entry and its key to where the ones that stay end. Never overtakes what is still to be read. */
static void
keep_entry(TkSketch *s, uint32_t position, uint32_t to, uint64_t raise)
{
	TkEntry entry = s->entries[position];
	uint32_t prefix = s->key_width == 0 ? TK_LENGTH_BYTES : 0;
	uint32_t bytes = tk_entry_length(s, position) + prefix;

	tk_bytes_move_down(s->arena + s->arena_used, s->arena + entry.key_at - prefix, bytes);
	entry.key_at = s->arena_used + prefix;
	entry.excess -= raise;
	s->entries[to] = entry;
	s->gaps[to] = s->gaps[position] + raise;
	s->arena_used += bytes;
}

/*
 * Keep `keep` entries (fewer than there are). Cannot fail: the caller has prepared the scratch, and made
 * a filter first if this sketch is to have one.
 */
void
tk_purge(TkSketch *s, uint32_t keep, void *scratch)
{
	uint64_t *values = scratch;
	uint32_t *ties = (uint32_t *) (void *) (values + s->count);
	uint8_t *stays = (uint8_t *) (ties + s->count);
	uint32_t kept;
	uint64_t raise;

	for (uint32_t position = 0; position < s->count; position++)
		values[position] = s->entries[position].excess;
	raise = tk_select(values, s->count, s->count - 1 - keep);
	mark_staying(s, keep, raise, values, ties, stays);
	tk_filter_fit(s, s->theta + raise);
	if (tk_has_filter(s))
		raise_filter(s, stays);
	kept = list_staying(s, stays, ties);
	s->arena_used = 0;
	for (uint32_t i = 0; i < kept; i++)
		keep_entry(s, ties[i], i, raise);
	s->count = kept;
	s->theta += raise;
	tk_table_reindex(s);
}

TkStatus
tk_sketch_trim(TkSketch *s)
{
	void *scratch;
	TkStatus status;

	if (s->count <= s->capacity)
		return TK_OK;
	status = tk_purge_prepare(s, s->count, &scratch);
	if (status != TK_OK)
		return status;
	tk_purge(s, s->capacity, scratch);
	tk_release(&s->alloc, scratch);
	return TK_OK;
}
