/*
 * merge.c
 *		Adding one sketch to another, be it in memory or stored.
 *
 * Excess, gap, theta and total each add, and a key that one side lacks adds nothing (internal.h says
 * why), so a merge looks at the source's entries only. All memory is got first; then the entries are
 * found or made; only then is anything added. So a merge that fails, even on a stored source that turns
 * out to hold a key twice, leaves the destination as it was.
 */
#include "table.h"

/* What a merge needs and decides before it changes anything. */
typedef struct Merge
{
	uint64_t theta;
	uint32_t capacity;
	uint32_t k;
	uint64_t most; /* no more entries than this can come of it */
	void *scratch; /* for the purge; NULL if there can be none */
	uint8_t *seen; /* a mark for each destination entry that a source entry has met */
} Merge;

/* The smallest capacity among those that are not exact; if both are exact, the largest. */
static uint32_t
merged_capacity(const TkSketch *dst, const TkSummary *src)
{
	bool smallest = dst->theta > 0 && src->max_error > 0;

	if (dst->theta > 0 && !smallest)
		return dst->capacity;
	if (src->max_error > 0 && !smallest)
		return src->capacity;
	if (smallest)
		return dst->capacity < src->capacity ? dst->capacity : src->capacity;
	return dst->capacity > src->capacity ? dst->capacity : src->capacity;
}

/* The most entries that a merge leaves without a purge. */
static uint64_t
merge_limit(uint32_t capacity)
{
	return (uint64_t) TK_MERGE_SLACK * tk_working_entries(capacity);
}

static TkStatus
check_merge(const TkSketch *dst, const TkSummary *src)
{
	if (dst->kind != src->kind)
		return TK_KIND_MISMATCH;
	return src->total > TK_MAX_TOTAL - dst->total ? TK_OVERFLOW : TK_OK;
}

static void
plan_merge(const TkSketch *dst, const TkSummary *src, Merge *merge)
{
	memset(merge, 0, sizeof(*merge));
	merge->theta = dst->theta + src->max_error;
	merge->capacity = merged_capacity(dst, src);
	merge->k = dst->k > src->k ? dst->k : src->k;
	if (merge->k > merge->capacity)
		merge->k = merge->capacity;
	merge->most = (uint64_t) dst->count + src->count;
}

/* Get all memory, so that what follows can fail for one reason only: a source that holds a key twice. */
static TkStatus
prepare_merge(TkSketch *dst, const TkSummary *src, uint64_t key_bytes, Merge *merge)
{
	TkStatus status = tk_table_reserve(dst, src->count, key_bytes);

	if (status == TK_OK && merge->theta > 0)
		status = tk_table_need_gaps(dst);
	if (status == TK_OK && merge->most > merge_limit(merge->capacity))
		status = tk_purge_prepare(dst, merge->most, &merge->scratch);
	if (status == TK_OK && src->count > 0)
	{
		merge->seen = tk_alloc(&dst->alloc, (size_t) merge->most);
		if (merge->seen == NULL)
			return TK_NO_MEMORY;
		memset(merge->seen, 0, (size_t) merge->most);
	}
	return status;
}

/* Find or make the entry of each incoming key. TK_CORRUPT if two incoming keys are one. */
static TkStatus
place_entries(TkSketch *dst, TkIncoming *in, uint32_t count, uint8_t *seen)
{
	/* room has been reserved, so appending moves nothing; a copy that is never written stays in registers */
	const TkSketch table = *dst;
	uint8_t twice = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t hash = in[i].at;
		uint32_t position = tk_table_find(&table, in[i].key, in[i].len, hash);

		if (position == TK_NOT_FOUND)
			position = tk_table_append(dst, in[i].key, in[i].len, hash);
		twice |= seen[position];
		seen[position] = 1;
		in[i].at = position;
	}
	return twice ? TK_CORRUPT : TK_OK;
}

static void
add_entries(TkSketch *dst, const TkIncoming *in, uint32_t count, bool with_gaps)
{
	for (uint32_t i = 0; i < count; i++)
		dst->entries[in[i].at].excess += in[i].excess;
	for (uint32_t i = 0; i < count && with_gaps; i++)
		dst->gaps[in[i].at] += in[i].gap;
}

/* The numbers of the merged sketch, and the purge if it holds too much. */
static void
finish_merge(TkSketch *dst, const TkSummary *src, const Merge *merge)
{
	dst->total += src->total;
	dst->theta = merge->theta;
	dst->k = merge->k;
	dst->capacity = merge->capacity;
	dst->working = tk_working_entries(merge->capacity);
	if (dst->count > merge_limit(dst->capacity))
		tk_purge(dst, tk_purge_rank(dst), merge->scratch);
}

static void
merge_filters(TkSketch *dst, const TkSummary *src, const TkSketch *source)
{
	TkSketch plain;

	if (source == NULL)
	{
		/* a stored sketch has no filter: for all its keys theta speaks */
		memset(&plain, 0, sizeof(plain));
		plain.theta = src->max_error;
		source = &plain;
	}
	tk_filter_merge(dst, source);
}

/*
 * Merge entries with hashes into dst. `source` is the sketch that they come from, for its filter; NULL if
 * they were stored.
 */
static TkStatus
merge_entries(TkSketch *dst, const TkSummary *src, const TkSketch *source, TkIncoming *in, uint64_t key_bytes)
{
	uint32_t count_before = dst->count;
	uint32_t arena_before = dst->arena_used;
	Merge merge;
	TkStatus status = check_merge(dst, src);

	if (status != TK_OK)
		return status;
	plan_merge(dst, src, &merge);
	status = prepare_merge(dst, src, key_bytes, &merge);
	if (status == TK_OK)
	{
		status = place_entries(dst, in, src->count, merge.seen);
		if (status != TK_OK)
		{
			dst->count = count_before;
			dst->arena_used = arena_before;
			tk_table_reindex(dst);
		}
	}
	if (status == TK_OK)
	{
		merge_filters(dst, src, source);
		add_entries(dst, in, src->count, src->max_error > 0);
		finish_merge(dst, src, &merge);
	}
	tk_release(&dst->alloc, merge.scratch);
	tk_release(&dst->alloc, merge.seen);
	return status;
}

TkStatus
tk_merge_incoming(TkSketch *dst, const TkSummary *src, TkIncoming *in, uint64_t key_bytes)
{
	return merge_entries(dst, src, NULL, in, key_bytes);
}

/* The entries of a sketch as incoming ones; returns the sum of their keys' lengths. */
static uint64_t
list_entries(const TkSketch *src, TkIncoming *in)
{
	uint64_t key_bytes = 0;

	for (uint32_t i = 0; i < src->count; i++)
	{
		in[i].key = tk_entry_key(src, i);
		in[i].len = tk_entry_length(src, i);
		in[i].excess = src->entries[i].excess;
		in[i].gap = tk_entry_gap(src, i);
		in[i].at = src->entries[i].hash;
		key_bytes += in[i].len;
	}
	return key_bytes;
}

/* A sketch merged with itself: every number doubles. */
static TkStatus
merge_with_itself(TkSketch *s)
{
	if (s->total > TK_MAX_TOTAL - s->total)
		return TK_OVERFLOW;
	tk_filter_merge(s, s);
	for (uint32_t i = 0; i < s->count; i++)
		s->entries[i].excess *= 2;
	for (uint32_t i = 0; i < s->count && s->gaps != NULL; i++)
		s->gaps[i] *= 2;
	s->total *= 2;
	s->theta *= 2;
	return TK_OK;
}

TkStatus
tk_sketch_merge(TkSketch *dst, const TkSketch *src)
{
	TkSummary summary;
	TkIncoming *in = NULL;
	TkStatus status;
	uint64_t key_bytes;

	if (dst == src)
		return merge_with_itself(dst);
	if (src->count > 0)
	{
		in = tk_alloc(&dst->alloc, src->count * sizeof(*in));
		if (in == NULL)
			return TK_NO_MEMORY;
	}
	key_bytes = list_entries(src, in);
	tk_sketch_summary(src, &summary);
	status = merge_entries(dst, &summary, src, in, key_bytes);
	tk_release(&dst->alloc, in);
	return status;
}

TkStatus
tk_sketch_merge_encoded(TkSketch *dst, const void *bytes, size_t len)
{
	TkSummary summary;
	TkIncoming *in;
	uint64_t key_bytes;
	TkStatus status = tk_decode_incoming(&dst->alloc, bytes, len, &summary, &in, &key_bytes);

	if (status != TK_OK)
		return status;
	status = tk_merge_incoming(dst, &summary, in, key_bytes);
	tk_release(&dst->alloc, in);
	return status;
}
