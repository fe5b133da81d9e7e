/*
 * encode.c
 *		Writing the stored form (wire.h) of a trimmed copy, or of the working state.
 *
 * The copy is never made: trimming only picks entries and takes one number off each, so a list of
 * references to the entries that stay, and that number, are all that is needed. The state is not touched.
 */
#include "wire.h"

static void
add_ref(const TkSketch *s, uint32_t position, TkCut *cut)
{
	TkRef *ref = &cut->refs[cut->count++];

	ref->major = s->entries[position].excess;
	ref->minor = 0;
	ref->key = tk_entry_key(s, position);
	ref->len = tk_entry_length(s, position);
	ref->position = position;
}

/*
 * Choose what a purge to `keep` entries would leave: those above the (keep+1)-th largest excess, and of
 * those at it the smallest keys. `values` and `ties` are scratch for a number for each entry.
 */
static void
choose_heaviest(const TkSketch *s, uint32_t keep, uint64_t *values, uint32_t *ties, TkCut *cut)
{
	uint32_t tied = 0;
	uint32_t room;

	for (uint32_t position = 0; position < s->count; position++)
		values[position] = s->entries[position].excess;
	cut->raise = tk_select(values, s->count, s->count - 1 - keep);
	for (uint32_t position = 0; position < s->count; position++)
	{
		if (s->entries[position].excess > cut->raise)
			add_ref(s, position, cut);
		else if (s->entries[position].excess == cut->raise)
			ties[tied++] = position;
	}
	room = keep - cut->count;
	tk_select_keys(s, ties, tied, room, values);
	for (uint32_t i = 0; i < room; i++)
		add_ref(s, ties[i], cut);
}

/*
 * Choose and sort the entries that trimming to `keep` would leave. cut->refs is one block of `alloc`,
 * owned by the caller, and NULL if there are no entries.
 */
TkStatus
tk_cut(const TkSketch *s, uint32_t keep, const TkAllocator *alloc, TkCut *cut)
{
	TkRef *spare;

	memset(cut, 0, sizeof(*cut));
	if (s->count == 0)
		return TK_OK;
	cut->refs = tk_alloc(alloc, 2 * (size_t) s->count * sizeof(*cut->refs));
	if (cut->refs == NULL)
		return TK_NO_MEMORY;
	spare = cut->refs + s->count;
	if (s->count > keep)
	{
		uint64_t *values = (uint64_t *) (void *) spare;

		choose_heaviest(s, keep, values, (uint32_t *) (void *) (values + s->count), cut);
	}
	else
		for (uint32_t position = 0; position < s->count; position++)
			add_ref(s, position, cut);
	tk_sort_refs(cut->refs, spare, cut->count);
	return TK_OK;
}

/* What is to be written, with each number and length known. */
typedef struct Plan
{
	const TkSketch *s;
	TkCut cut;
	uint64_t theta;
	uint8_t flags;
} Plan;

static size_t
varint_bytes(uint64_t value)
{
	size_t bytes = 1;

	for (; value >= 0x80; value >>= 7)
		bytes++;
	return bytes;
}

static uint64_t
excess_step(const Plan *plan, uint32_t i)
{
	const TkRef *refs = plan->cut.refs;

	return i == 0 ? refs[0].major - plan->cut.raise : refs[i - 1].major - refs[i].major;
}

static uint64_t
gap_of(const Plan *plan, uint32_t i)
{
	return tk_entry_gap(plan->s, plan->cut.refs[i].position) + plan->cut.raise;
}

static bool
has_one_length(const Plan *plan)
{
	const TkRef *refs = plan->cut.refs;

	for (uint32_t i = 1; i < plan->cut.count; i++)
		if (refs[i].len != refs[0].len)
			return false;
	return plan->s->kind == TK_KIND_TEXT && plan->cut.count > 0;
}

static bool
writes_lengths(const Plan *plan)
{
	return plan->s->kind == TK_KIND_TEXT && (plan->flags & TK_WIRE_ONE_LENGTH) == 0;
}

static void
plan_flags(Plan *plan)
{
	plan->flags = 0;
	if (plan->theta == 0)
		plan->flags |= TK_WIRE_EXACT;
	if (plan->cut.count > plan->s->capacity)
		plan->flags |= TK_WIRE_PARTIAL;
	if (has_one_length(plan))
		plan->flags |= TK_WIRE_ONE_LENGTH;
}

/* The exact size of what write_columns and write_header will write. */
static uint64_t
plan_bytes(const Plan *plan)
{
	const TkSketch *s = plan->s;
	uint64_t bytes = TK_WIRE_FIXED_BYTES + varint_bytes(s->k) + varint_bytes(s->capacity);

	bytes += varint_bytes(s->total) + varint_bytes(plan->theta) + varint_bytes(plan->cut.count);
	if (plan->flags & TK_WIRE_ONE_LENGTH)
		bytes += varint_bytes(plan->cut.refs[0].len);
	for (uint32_t i = 0; i < plan->cut.count; i++)
	{
		bytes += varint_bytes(excess_step(plan, i)) + plan->cut.refs[i].len;
		if (plan->theta > 0)
			bytes += varint_bytes(gap_of(plan, i));
		if (writes_lengths(plan))
			bytes += varint_bytes(plan->cut.refs[i].len);
	}
	return bytes;
}

static uint8_t *
write_header(const Plan *plan, uint8_t *at)
{
	*at++ = TK_WIRE_VERSION;
	*at++ = plan->flags;
	*at++ = (uint8_t) plan->s->kind;
	at = tk_varint_put(at, plan->s->k);
	at = tk_varint_put(at, plan->s->capacity);
	at = tk_varint_put(at, plan->s->total);
	at = tk_varint_put(at, plan->theta);
	return tk_varint_put(at, plan->cut.count);
}

static uint8_t *
write_columns(const Plan *plan, uint8_t *at)
{
	const TkRef *refs = plan->cut.refs;
	uint32_t count = plan->cut.count;

	for (uint32_t i = 0; i < count; i++)
		at = tk_varint_put(at, excess_step(plan, i));
	for (uint32_t i = 0; i < count && plan->theta > 0; i++)
		at = tk_varint_put(at, gap_of(plan, i));
	if (plan->flags & TK_WIRE_ONE_LENGTH)
		at = tk_varint_put(at, refs[0].len);
	for (uint32_t i = 0; i < count && writes_lengths(plan); i++)
		at = tk_varint_put(at, refs[i].len);
	for (uint32_t i = 0; i < count; i++)
	{
		if (refs[i].len > 0)
			memcpy(at, refs[i].key, refs[i].len);
		at += refs[i].len;
	}
	return at;
}

static TkStatus
write_plan(const Plan *plan, const TkAllocator *alloc, size_t headroom, void **block, size_t *len)
{
	uint64_t bytes = plan_bytes(plan);
	uint8_t *start;

	if (headroom > TK_MAX_ENCODED_BYTES || bytes > TK_MAX_ENCODED_BYTES - headroom)
		return TK_TOO_LARGE;
	start = tk_alloc(alloc, headroom + (size_t) bytes);
	if (start == NULL)
		return TK_NO_MEMORY;
	write_columns(plan, write_header(plan, start + headroom));
	*block = start;
	*len = (size_t) bytes;
	return TK_OK;
}

TkStatus
tk_sketch_encode(const TkSketch *s, TkEncodeMode mode, const TkAllocator *alloc, size_t headroom,
				 void **block, size_t *len)
{
	const TkAllocator *from = alloc != NULL ? alloc : &s->alloc;
	Plan plan = {.s = s};
	TkStatus status;

	*block = NULL;
	if (mode != TK_FINAL && mode != TK_PARTIAL)
		return TK_BAD_ARGUMENT;
	status = tk_cut(s, mode == TK_FINAL ? s->capacity : s->working, from, &plan.cut);
	if (status != TK_OK)
		return status;
	plan.theta = s->theta + plan.cut.raise;
	plan_flags(&plan);
	status = write_plan(&plan, from, headroom, block, len);
	tk_release(from, plan.cut.refs);
	return status;
}
