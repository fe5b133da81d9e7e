/*
 * merge.c
 *		Adding one sketch to another, be it in memory or stored.
 *
 * Excess, gap, theta and total each add, and a key that one side lacks adds nothing (internal.h says
 * why), so a merge looks at the source's entries only. All memory is got first; then the entries are
 * found or made, and added to. What can still fail, a stored source that turns out to hold a key twice,
 * is undone, so that a merge that fails leaves the destination as it was.
 */
#include "table.h"

/* What a merge needs and decides before it changes anything. */
typedef struct Merge
{
	uint64_t theta;
	uint32_t capacity;
	uint32_t k;
	bool with_gaps;        /* the source has gaps */
	uint32_t count_before; /* entries and bytes of keys in the destination */
	uint32_t arena_before;
	uint64_t most;    /* no more entries than this can come of it */
	void *scratch;    /* for the purge; NULL if there can be none */
	uint32_t *places; /* positions of the incoming entries in the destination; owns the next two */
	uint32_t *absent; /* numbers of incoming entries */
	uint8_t *seen;    /* a mark for each destination entry that an incoming one has met */
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
	merge->with_gaps = src->max_error > 0;
	merge->count_before = dst->count;
	merge->arena_before = dst->arena_used;
	merge->most = (uint64_t) dst->count + src->count;
}

/* Memory for where the incoming entries go. */
static TkStatus
prepare_places(const TkSketch *dst, uint32_t count, Merge *merge)
{
	size_t list = count * sizeof(uint32_t);

	if (count == 0)
		return TK_OK;
	merge->places = tk_alloc(&dst->alloc, 2 * list + (size_t) merge->most);
	if (merge->places == NULL)
		return TK_NO_MEMORY;
	merge->absent = merge->places + count;
	merge->seen = (uint8_t *) (merge->absent + count);
	memset(merge->seen, 0, (size_t) merge->most);
	return TK_OK;
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
	if (status == TK_OK)
		status = prepare_places(dst, src->count, merge);
	return status;
}

/*
 * Guess each key's entry: the first with its tag in its own bucket, which is nearly always right if the
 * key has one; else any. There must be an entry. No branch, so that many loads are under way at once.
 */
static void
guess_places(const TkSketch *dst, const TkIncoming *in, uint32_t count, uint32_t *places)
{
	const TkSketch table = *dst;

	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t bucket = in[i].hash & table.bucket_mask;
		uint32_t slots = tk_bucket_match(&table.buckets[bucket], tk_hash_tag(in[i].hash));

		places[i] = tk_slot_position(&table, bucket, tk_first_slot(slots | TK_LAST_SLOT));
	}
}

/* List the incoming entries whose guess was wrong; returns their number. */
static uint32_t
list_absent(const TkSketch *dst, const TkIncoming *in, uint32_t count, const uint32_t *places,
			uint32_t *absent)
{
	const TkSketch table = *dst;
	uint32_t listed = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		absent[listed] = i;
		listed += !tk_entry_has_key(&table, places[i], in[i].key, in[i].len);
	}
	return listed;
}

/* Find or make the entry of each incoming key. */
static void
place_entries(TkSketch *dst, const TkIncoming *in, uint32_t count, const Merge *merge)
{
	bool empty = dst->count == 0;
	uint32_t absent = count;

	if (!empty)
	{
		guess_places(dst, in, count, merge->places);
		absent = list_absent(dst, in, count, merge->places, merge->absent);
	}
	for (uint32_t i = 0; i < absent; i++)
	{
		uint32_t at = empty ? i : merge->absent[i];
		uint32_t place = tk_table_find(dst, in[at].key, in[at].len, in[at].hash);

		if (place == TK_NOT_FOUND)
			place = tk_table_append(dst, in[at].key, in[at].len, in[at].hash);
		merge->places[at] = place;
	}
}

/* Add to the entries. False if two incoming keys are one. */
static bool
add_entries(TkSketch *dst, const TkIncoming *in, uint32_t count, const Merge *merge)
{
	const uint32_t *places = merge->places;
	TkEntry *entries = dst->entries;
	uint64_t *gaps = merge->with_gaps ? dst->gaps : NULL;
	uint8_t *seen = merge->seen;
	uint8_t twice = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t place = places[i];

		twice |= seen[place];
		seen[place] = 1;
		entries[place].excess += in[i].excess;
		if (gaps != NULL)
			gaps[place] += in[i].gap;
	}
	return !twice;
}

/* Undo the placing and adding of entries: the table is as it was, but for its size. */
static void
take_back(TkSketch *dst, const TkIncoming *in, uint32_t count, const Merge *merge)
{
	for (uint32_t i = 0; i < count; i++)
	{
		dst->entries[merge->places[i]].excess -= in[i].excess;
		if (merge->with_gaps)
			dst->gaps[merge->places[i]] -= in[i].gap;
	}
	dst->count = merge->count_before;
	dst->arena_used = merge->arena_before;
	tk_table_reindex(dst);
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
merge_entries(TkSketch *dst, const TkSummary *src, const TkSketch *source, const TkIncoming *in,
			  uint64_t key_bytes)
{
	Merge merge;
	TkStatus status = check_merge(dst, src);

	if (status != TK_OK)
		return status;
	plan_merge(dst, src, &merge);
	status = prepare_merge(dst, src, key_bytes, &merge);
	if (status == TK_OK)
	{
		place_entries(dst, in, src->count, &merge);
		if (add_entries(dst, in, src->count, &merge))
		{
			merge_filters(dst, src, source);
			finish_merge(dst, src, &merge);
		}
		else
		{
			take_back(dst, in, src->count, &merge);
			status = TK_CORRUPT;
		}
	}
	tk_release(&dst->alloc, merge.scratch);
	tk_release(&dst->alloc, merge.places);
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
		in[i].hash = src->entries[i].hash;
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
